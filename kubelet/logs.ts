/**
 * Container logs: what a container wrote, from its file.
 *
 * The container appends to the file by itself, so logs go on while the kubelet is down. Bounded: beyond 10 MiB the
 * file is cut back to its second half.
 */
import { type FileHandle, access, open, readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#lib/clock.ts";
import { CodedError } from "#lib/errors.ts";

export class LogError extends CodedError<
  | "NotFound" // no such pod, container or file
  | "BadRequest" // a parameter that cannot be read
> {}

export interface LogOptions {
  /** Go on as it grows, until the signal aborts. */
  readonly follow: boolean;
  /** Only the last lines, an integer >= 0; all when undefined. */
  readonly tailLines: number | undefined;
}

const chunkBytes = 64 * 1024;
const followMs = 100;
/** What a reader remembers of what it read, to find its place when the file was cut back. */
const seenBytes = 4096;
const notStarted = "Cannot read logs: the container has not started";
/** Size beyond which a log is cut back. */
export const logBytesMax: number = 10 * 1024 * 1024;

/** Throws LogError when there is no log file: to answer so before the first byte goes out. */
export async function requireLog(file: string): Promise<void> {
  const found = await access(file).then(
    () => true,
    () => false,
  );
  if (!found) throw new LogError("NotFound", notStarted);
}

/** The bytes of a log file. Throws LogError when there is none. */
export async function* streamLog(
  file: string,
  { follow, tailLines }: LogOptions,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) throw new LogError("NotFound", notStarted);
  try {
    let position = tailLines === undefined ? 0 : await tailStart(handle, tailLines);
    let seen = Buffer.alloc(0);
    while (!signal.aborted) {
      const { size } = await handle.stat();
      // Cut back, and what is kept was put back: go on after what was read. Empty: it is about to be put back.
      if (size < position && size > 0) position = await findEnd(handle, seen, size);
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
      position += bytesRead;
      const chunk = buffer.subarray(0, bytesRead);
      seen = Buffer.concat([seen, chunk]).subarray(-seenBytes);
      if (bytesRead > 0) yield chunk;
      else if (!follow) return;
      else await clock.sleep(followMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
    }
  } finally {
    await handle.close();
  }
}

/** Where in the first `size` bytes those that were read last end; 0 when they are not there any more. */
async function findEnd(handle: FileHandle, seen: Buffer, size: number): Promise<number> {
  if (seen.length === 0) return 0;
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(size), 0, size, 0);
  const at = buffer.subarray(0, bytesRead).lastIndexOf(seen);
  return at < 0 ? 0 : at + seen.length;
}

/** Where the last `lines` lines begin. */
async function tailStart(handle: FileHandle, lines: number): Promise<number> {
  const { size } = await handle.stat();
  if (lines === 0) return size;
  let position = size;
  let found = 0;
  while (position > 0) {
    const length = Math.min(chunkBytes, position);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, position - length);
    for (let at = length - 1; at >= 0; at -= 1) {
      const absolute = position - length + at;
      // The end of the last line is not the start of another.
      if (buffer[at] !== 0x0a || absolute === size - 1) continue;
      found += 1;
      if (found === lines) return absolute + 1;
    }
    position -= length;
  }
  return 0;
}

/** Cuts back every log under `root` that has grown beyond the bound. */
export async function boundLogs(root: string): Promise<void> {
  const names = await readdir(root, { recursive: true }).catch(() => []); // No logs yet.
  for (const name of names) if (name.endsWith(".log")) await boundLog(join(root, name));
}

async function boundLog(file: string): Promise<void> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) return; // Its pod has just gone.
  try {
    const { size } = await handle.stat();
    if (size <= logBytesMax) return;
    const kept = Buffer.alloc(logBytesMax / 2);
    await handle.read(kept, 0, kept.length, size - kept.length);
    // Writers append, so they go on after what is put back.
    await truncate(file, 0);
    await writeFile(file, kept.subarray(kept.indexOf(0x0a) + 1), { flag: "a" });
  } finally {
    await handle.close();
  }
}
