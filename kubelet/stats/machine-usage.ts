/**
 * What the whole machine uses, by /proc: a node's figures, for that machine is what the node reports as its capacity.
 * All nodes of a cluster on one machine show the same.
 */
import { totalmem } from "node:os";
import { memoryAvailable } from "../node/machine.ts";
import { readOptional } from "../pod-dirs.ts";
import type { Usage } from "./processes.ts";

const nsPerTick = 1e7;

export function readMachineUsage(): Usage {
  const available = memoryAvailable(readOptional("/proc/meminfo") ?? "") ?? 0;
  return { cpuNs: busyOf(readOptional("/proc/stat") ?? ""), memory: Math.max(0, totalmem() - available) };
}

/** Time that all cores were busy, by the first line of proc_stat(5), in ns. Pure. */
export function busyOf(stat: string): number {
  const words = (stat.split("\n")[0] ?? "").trim().split(/\s+/).slice(1).map(Number);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = words;
  return (user + nice + system + irq + softirq) * nsPerTick;
}
