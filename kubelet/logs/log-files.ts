/**
 * Where logs are, and how they are held to their bounds.
 *
 *   <root>/<pod uid>/<container>/<attempt>.log, .times    the last two attempts of each container
 *
 * A log that takes more than its bound gives up its beginning as a hole in the file: offsets stay, so neither the
 * container, which appends, nor a reader, nor the marks notice. Where a file system cannot do that, the log is emptied.
 */
import { execFile } from "node:child_process";
import { open, readdir, stat, truncate } from "node:fs/promises";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { readStamps, timesFile, writeStamps } from "./stamper.ts";
import { thin } from "./stamps.ts";

/** What a log may take, in bytes. The kubelet's containerLogMaxSize. */
export const logBytesMax: number = 10 * 1024 * 1024;
/** Marks of a log that are kept, at most. */
const marksMax = 20_000;
const markBytes = 24;
const blockBytes = 4096;
const run = promisify(execFile);

export function logFolder(root: string, podUid: string, name: string): string {
  return join(root, podUid, name);
}

export function logFileOf(root: string, podUid: string, name: string, attempt: number): string {
  return join(logFolder(root, podUid, name), `${attempt}.log`);
}

/** Removes the logs of attempts before the last but one: before a new one starts. */
export function pruneLogs(folder: string, attempt: number): void {
  for (const file of readdirSync(folder)) {
    const number = Number(/^(\d+)\.(?:log|times)$/.exec(file)?.[1] ?? attempt);
    if (number < attempt - 1) rmSync(join(folder, file), { force: true });
  }
}

/** Holds every log of a pod under `root` to its bound. */
export async function boundPodLogs(root: string): Promise<void> {
  const names = await readdir(root, { recursive: true }).catch(() => []); // No logs yet.
  for (const name of names) if (name.endsWith(".log")) await boundLog(join(root, name));
}

async function boundLog(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return; // Its pod has just gone.
  const times = await stat(timesFile(file)).catch(() => undefined);
  const isTooLong = found.blocks * 512 > logBytesMax;
  if (!isTooLong && (times?.size ?? 0) < marksMax * markBytes) return;
  let { start } = readStamps(file);
  if (isTooLong) {
    const end = Math.floor((found.size - logBytesMax / 2) / blockBytes) * blockBytes;
    try {
      await run("fallocate", ["--punch-hole", "--offset", "0", "--length", String(end), file]);
    } catch {
      // The file system has no holes: less of the log is better than a full disk.
      await truncate(file, 0);
      return;
    }
    start = await nextLine(file, end);
  }
  writeStamps(file, thin(readStamps(file), start, marksMax / 2));
}

/** Where the first whole line at or after `offset` begins; `offset` itself in one that is very long. */
async function nextLine(file: string, offset: number): Promise<number> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, offset);
    return offset + buffer.subarray(0, bytesRead).indexOf(0x0a) + 1;
  } finally {
    await handle.close();
  }
}

/** Removes the logs of pods that are not among `podUids`: their objects went while no kubelet ran. */
export function removeLogsExcept(root: string, podUids: ReadonlySet<string>): void {
  let folders: string[];
  try {
    folders = readdirSync(root);
  } catch {
    return; // No logs yet.
  }
  for (const uid of folders) if (!podUids.has(uid)) rmSync(join(root, uid), { recursive: true, force: true });
}
