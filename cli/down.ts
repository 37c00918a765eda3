/** `wherry down`: stops a cluster. Idempotent: one that does not run is well. */
import { readFileSync, rmSync } from "node:fs";
import { realClock } from "#lib/clock.ts";
import { parentOf, signalProcess, startTicksOf } from "#lib/process.ts";
import { findClusterGroups, removeGroups } from "../kubelet/cgroups.ts";
import { CliError } from "./errors.ts";
import { checkClusterName, readRecord, removeRecord, stateDirOf } from "./launcher/state-dir.ts";

/** Time for the launcher to end by itself, in ms; then it is killed, which ends the cluster all the same. */
const patienceMs = 900;

export interface DownOptions {
  readonly name: string;
  readonly purge?: boolean;
  readonly output: "text" | "json" | "quiet";
}

export async function down({ name, purge, output }: DownOptions): Promise<void> {
  const dir = stateDirOf(process.env, checkClusterName(name));
  const record = readRecord(dir);
  // Found while the launcher can still say in which group it runs.
  const groups = findClusterGroups(name, record === undefined ? ["self"] : [record.pid, "self"]);
  if (record !== undefined) {
    const guardian = guardianOf(record.pid);
    signalProcess(record.pid, "SIGTERM");
    if (!(await hasEnded(record))) signalProcess(record.pid, "SIGKILL");
    if (!(await hasEnded(record)))
      throw new CliError("Failed", `Cannot stop cluster ${name}: launcher ${record.pid} does not end`);
    // It ends behind the launcher, and behind the orphans of one that was killed.
    if (guardian !== undefined) await hasEnded(guardian);
    removeRecord(dir);
  }
  // The last processes of a killed namespace leave their groups a moment later. What is left goes with the next start.
  for (let waitedMs = 0; !removeGroups(groups) && waitedMs < patienceMs; waitedMs += 10) await realClock.sleep(10);
  if (purge === true) rmSync(dir, { recursive: true, force: true });
  const wasRunning = record !== undefined;
  if (output === "json") process.stdout.write(`${JSON.stringify({ name, wasRunning, purged: purge === true })}\n`);
  if (output === "text")
    process.stdout.write(wasRunning ? `Cluster ${name} is down\n` : `Cluster ${name} is not running\n`);
}

interface KnownProcess {
  readonly pid: number;
  readonly startTicks: string;
}

/** Waits for a process to end, within `patienceMs`. */
async function hasEnded({ pid, startTicks }: KnownProcess): Promise<boolean> {
  const runs = (): boolean => startTicksOf(pid) === startTicks;
  for (let waitedMs = 0; runs() && waitedMs < patienceMs; waitedMs += 10) await realClock.sleep(10);
  return !runs();
}

/** The shell that guards a launcher (launcher/guardian.ts); undefined when the launcher has another parent. */
function guardianOf(launcher: number): KnownProcess | undefined {
  const pid = parentOf(launcher);
  const startTicks = pid === undefined ? undefined : startTicksOf(pid);
  if (pid === undefined || startTicks === undefined) return undefined;
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.includes("wherry-guardian") ? { pid, startTicks } : undefined;
  } catch {
    return undefined; // It ended in between.
  }
}
