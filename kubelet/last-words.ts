/**
 * A container's last words: the file that it may leave them in, or the end of its log. They become the message of its
 * status once it has ended.
 */
import { chmodSync, closeSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { logEnd } from "./logs/read-log.ts";

/** The longest message that a container can leave, in bytes; and that is taken from its log, in lines and bytes. */
const wordsBytesMax = 4096;
const logWordsLinesMax = 80;
const logWordsBytesMax = 2048;

/** An empty file that every user of the container may write. */
export function makeWords(file: string): void {
  rmSync(file, { force: true });
  writeFileSync(file, "");
  chmodSync(file, 0o666);
}

/** The beginning of a file that a container wrote, and can have made as long as it liked. */
function readStart(file: string, bytesMax: number): string {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch {
    return ""; // Its container was never started.
  }
  try {
    const buffer = Buffer.alloc(bytesMax);
    return buffer.subarray(0, readSync(fd, buffer, 0, bytesMax, 0)).toString();
  } finally {
    closeSync(fd);
  }
}

/** What was left in `file`; else the end of `log`, where that is to do. */
export function lastWords(file: string, log: string | undefined): string {
  const words = readStart(file, wordsBytesMax);
  return words !== "" || log === undefined ? words : logEnd(log, logWordsLinesMax, logWordsBytesMax);
}
