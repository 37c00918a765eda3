/**
 * Container logs: what a container wrote, from its file.
 *
 * The container appends to the file by itself, so logs go on while the kubelet is down. Bounded: beyond 10 MiB the file is
 * cut back to its second half.
 */
import { type FileHandle, open, readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#lib/clock.ts";
import { CodedError } from "#lib/errors.ts";

export class LogError extends CodedError<"NotFound"> {}

export interface LogOptions {
  /** Go on as it grows, until the signal aborts. */
  readonly follow: boolean;
  /** Only the last lines; all when undefined. */
  readonly tailLines: number | undefined;
}

const chunkBytes = 64 * 1024;
const followMs = 100;
/** Size beyond which a log is cut back. */
export const logBytesMax: number = 10 * 1024 * 1024;

/** The bytes of a log file. Throws LogError when there is none. */
export async function* streamLog(
  file: string,
  { follow, tailLines }: LogOptions,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) throw new LogError("NotFound", "Cannot read logs: the container has not started");
  try {
    let position = tailLines === undefined ? 0 : await tailStart(handle, tailLines);
    while (!signal.aborted) {
      const { size } = await handle.stat();
      if (size < position) position = 0; // It was cut back.
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
      position += bytesRead;
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if (!follow) return;
      else await clock.sleep(followMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
    }
  } finally {
    await handle.close();
  }
}

/** Where the last `lines` lines begin. */
async function tailStart(handle: FileHandle, lines: number): Promise<number> {
  const { size } = await handle.stat();
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
