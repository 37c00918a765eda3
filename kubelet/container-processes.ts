/**
 * The processes that stand around a container's program, found by /proc.
 *
 *   outer shell (keeps the exit code) ─▶ shell in the namespaces ─▶ pid 1 of the container ─▶ the program
 */
import { readOptional } from "./pod-dirs.ts";

/** Outer shell → the shell in the namespaces → pid 1 of the container; undefined while it is not up. */
export function containerInit(outer: number): number | undefined {
  const inner = firstChild(outer);
  return inner === undefined ? undefined : firstChild(inner);
}

/** Pid 1 of a container whose program has been started. */
export function programInit(outer: number): number | undefined {
  const init = containerInit(outer);
  return init !== undefined && catchesTerm(init) ? init : undefined;
}

function firstChild(pid: number): number | undefined {
  const text = readOptional(`/proc/${pid}/task/${pid}/children`)?.trim() ?? "";
  return text === "" ? undefined : Number(text.split(" ")[0]);
}

/** Whether a process has a handler for TERM. Pid 1 of a container has one before its program starts, not earlier. */
function catchesTerm(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readOptional(`/proc/${pid}/status`) ?? "")?.[1] ?? "0";
  const term = 15n;
  return ((BigInt(`0x${caught}`) >> (term - 1n)) & 1n) === 1n;
}
