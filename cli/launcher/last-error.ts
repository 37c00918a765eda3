/**
 * The last thing that a process of the cluster complained about, from its log: the cause behind "not ready".
 *
 *   logs/NAME.log ─▶ lastErrorIn() ─▶ launcher.ts (the sentence that `wherry up` ends with)
 */
import { readFileSync } from "node:fs";

/** Length of a cause, in characters; a sentence is to stay one. */
const causeMax = 300;

/** The cause in the log file; undefined when there is no such file, or no complaint in it. */
export function readLastError(file: string): string | undefined {
  try {
    return lastErrorIn(readFileSync(file, "utf8"));
  } catch {
    return undefined; // Not written yet: then it has not complained.
  }
}

/** Pure. The last line of level error or the last error that ended the process, whichever is later. */
export function lastErrorIn(log: string): string | undefined {
  const lines = log.split("\n");
  for (const line of lines.toReversed()) {
    const cause = causeIn(line);
    if (cause !== undefined) return cause.slice(0, causeMax);
  }
  return undefined;
}

function causeIn(line: string): string | undefined {
  // What Node prints of an error that nobody caught.
  if (/^\w*Error\b.*: /.test(line)) return line;
  if (!line.startsWith('{"time"')) return undefined;
  try {
    const { level, message, error } = JSON.parse(line) as { level?: string; message?: string; error?: string };
    if (level !== "error") return undefined;
    return [message, error].filter((part) => part !== undefined).join(": ");
  } catch {
    return undefined; // A line that is cut: the one before it may say more.
  }
}
