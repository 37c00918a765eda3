/** CPU time of a process, as the kernel counts it. */
import { readFileSync } from "node:fs";

/** Ticks a second of the times in /proc (USER_HZ). */
export const ticksPerSecond = 100;

/** User and system time so far, in ticks; 0 for a process that has ended. */
export function ticksOf(pid: number): number {
  try {
    // After the name, which may hold blanks: state is field 3, utime 14, stime 15 (proc(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0; // Ended meanwhile.
  }
}
