/** Memory of a process as the kernel counts it. */
import { readFileSync } from "node:fs";

/** Proportional set size, in bytes: shared pages count by their share. 0 for a process that has ended. */
export function pssOf(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) * 1024;
  } catch {
    return 0; // Ended meanwhile.
  }
}
