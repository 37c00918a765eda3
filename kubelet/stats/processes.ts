/**
 * What the processes of containers use, by /proc: for nodes without control groups.
 *
 *   pid 1 of each container ─▶ its pid namespace ─▶ all processes in it ─▶ their CPU time and memory
 *
 * CPU of processes that ended counts as their parent's once it has waited for them. Memory is the proportional set
 * size: what is shared with others counts in shares.
 */
import { readdirSync, readlinkSync } from "node:fs";
import { readOptional } from "../pod-dirs.ts";

export interface Usage {
  /** CPU since the start, in ns. */
  readonly cpuNs: number;
  /** In bytes. */
  readonly memory: number;
}

/** The kernel's USER_HZ, the same on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** Usage by container key; `inits` gives a process of each. */
export function readUsage(inits: ReadonlyMap<string, number>): Map<string, Usage> {
  const keys = new Map<string, string>();
  for (const [key, pid] of inits) {
    const namespace = namespaceOf(pid);
    if (namespace !== undefined) keys.set(namespace, key);
  }
  const usage = new Map<string, Usage>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const key = keys.get(namespaceOf(Number(pid)) ?? "");
    if (key === undefined) continue;
    const sum = usage.get(key) ?? { cpuNs: 0, memory: 0 };
    const stat = readOptional(`/proc/${pid}/stat`) ?? "";
    const memory = memoryOf(readOptional(`/proc/${pid}/smaps_rollup`) ?? "");
    usage.set(key, { cpuNs: sum.cpuNs + cpuOf(stat), memory: sum.memory + memory });
  }
  return usage;
}

function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined; // It has ended, or is not ours.
  }
}

/** utime, stime, cutime and cstime of proc_pid_stat(5), in ns. Pure. */
export function cpuOf(stat: string): number {
  // The command name may hold spaces and parentheses: fields count from the last ")".
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, text) => sum + (Number(text) || 0), 0);
  return (ticks / ticksPerSecond) * 1e9;
}

/** Pss of smaps_rollup, in bytes. Pure. */
export function memoryOf(rollup: string): number {
  return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) * 1024;
}
