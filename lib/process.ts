/**
 * Processes by pid: whether the one that was meant still runs; making this process the reaper of orphans; its limits.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { LinuxError } from "./linux.ts";

const PR_SET_CHILD_SUBREAPER = 36;
const PR_SET_PTRACER = 0x59616d61;
const RLIMIT_NOFILE = 7;

/**
 * Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22): tells it from a later process of the
 * same number. Undefined for no process, and for one that has ended and only waits to be reaped.
 */
export function startTicksOf(pid: number): string | undefined {
  const fields = statOf(pid);
  return fields === undefined || fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

/** The parent's pid (field 4); undefined for no process. */
export function parentOf(pid: number): number | undefined {
  const parent = statOf(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of proc_pid_stat(5) from the third on, the state. */
function statOf(pid: number): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name may hold spaces and parentheses: fields count from the last ")".
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // No such process.
  }
}

/** Orphans below this process become its children (prctl(2)). Outlives exec, is not inherited by children. */
export function becomeSubreaper(): void {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) === 0) return;
  throw new LinuxError("EINVAL", "Cannot become the reaper of orphans: prctl failed");
}

/**
 * Lets one other process of this user take descriptors of this one (linux.ts takeDescriptor); undefined: none any more.
 * Without Yama all of the user's may, and there is nothing to do; with it (Ubuntu's default, kernel.yama.ptrace_scope
 * 1) a process may take those of its descendants alone.
 */
export function allowTaking(pid: number | undefined): void {
  prctl(PR_SET_PTRACER, pid ?? 0);
}

function prctl(option: number, argument: number): number {
  const call = koffi
    .load(null)
    .func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)");
  return call(option, argument, 0, 0, 0) as number;
}

/**
 * Lets this process, and those that it starts, have `wanted` files open at least (setrlimit(2)). Without the right to,
 * the limit stays as it is: false.
 */
export function raiseOpenFiles(wanted: number): boolean {
  const hard = /^Max open files +\S+ +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  if (hard === "unlimited" || Number(hard) >= wanted) return true;
  const setrlimit = koffi.load(null).func("int setrlimit(int resource, const uint64_t *limit)");
  return (setrlimit(RLIMIT_NOFILE, [wanted, wanted]) as number) === 0;
}

/** Sends a signal; a process that is gone already is well. Negative pids are groups. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
