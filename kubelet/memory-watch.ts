/**
 * Memory limits where there are no control groups: looked at, and enforced afterwards.
 *
 *   every 250 ms ─▶ pid 1 of the container and its descendants ─▶ anonymous and shared memory ─▶ above the limit: tell
 *
 * A container may be above its limit for that long. Files that it has mapped do not count, for most are shared with the
 * rest of the machine, nor does what is in its tmpfs volumes; commands of probes and hooks are not its descendants.
 */
import { readdirSync } from "node:fs";
import type { Clock, Timer } from "#lib/clock.ts";
import { readOptional } from "./pod-dirs.ts";

/** How often a container is looked at, in ms. */
const lookMs = 250;

/** Looks until the container is above `memory` bytes, and tells once; `init` gives its pid 1. Returns what ends it. */
export function watchMemory(
  clock: Clock,
  { init, memory, onExceeded }: { init: () => number | undefined; memory: number; onExceeded: () => void },
): () => void {
  let timer: Timer;
  const look = (): void => {
    const pid = init();
    if (pid !== undefined && isAbove(pid, memory)) onExceeded();
    else timer = clock.after(lookMs, look);
  };
  timer = clock.after(lookMs, look);
  return () => timer.cancel();
}

/** Whether a process and its descendants take more than `memory` bytes. */
export function isAbove(init: number, memory: number): boolean {
  const pids = descendants(init);
  // What the processes share counts in full here, and costs little to read; only above the limit is it asked in shares.
  if (sum(pids, "status", residentOf) <= memory) return false;
  return sum(pids, "smaps_rollup", shareOf) > memory;
}

function sum(pids: readonly number[], file: string, bytesOf: (text: string) => number): number {
  return pids.reduce((total, pid) => total + bytesOf(readOptional(`/proc/${pid}/${file}`) ?? ""), 0);
}

/** Anonymous and shared memory of proc_pid_status(5), in bytes. Pure. */
export function residentOf(status: string): number {
  return kilobytes(status, /^RssAnon:\s+(\d+) kB$/m) + kilobytes(status, /^RssShmem:\s+(\d+) kB$/m);
}

/** The same of smaps_rollup, what is shared in shares. Pure. */
export function shareOf(rollup: string): number {
  return kilobytes(rollup, /^Pss_Anon:\s+(\d+) kB$/m) + kilobytes(rollup, /^Pss_Shmem:\s+(\d+) kB$/m);
}

function kilobytes(text: string, line: RegExp): number {
  return Number(line.exec(text)?.[1] ?? 0) * 1024;
}

/** A process and all that descend from it: orphans are pid 1's. */
function descendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(descendants)];
}

/** Children are listed with the thread that forked them. */
function childrenOf(pid: number): number[] {
  let tasks: string[];
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // It has ended.
  }
  const texts = tasks.map((task) => readOptional(`/proc/${pid}/task/${task}/children`) ?? "");
  return texts.flatMap((text) => text.split(" ").filter(Boolean).map(Number));
}
