/**
 * Reads a container's log: from where, how much, with or without times, and on as it grows.
 *
 *   0.log, 0.times ─▶ readLog() ─▶ chunks ─▶ kubelet server
 *
 * Invariant: with equal options every reader gets equal bytes, whoever wrote the log and whichever kubelet marked it.
 */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Clock } from "#lib/clock.ts";
import { LogError } from "./errors.ts";
import type { LogOptions } from "./log-options.ts";
import { readStamps } from "./stamper.ts";
import { type Stamps, formatStamp, offsetSince, timeAt } from "./stamps.ts";

const chunkBytes = 64 * 1024;
const followMs = 100;
const newline = 0x0a;

export interface LogReader {
  readonly file: string;
  readonly options: LogOptions;
  readonly clock: Clock;
  /** Ends a reader that follows. */
  readonly signal: AbortSignal;
  /** Marks what has been written up to now. */
  readonly look: () => void;
  /** Whether the container may still write. */
  readonly isOpen: () => boolean;
}

/** Throws LogError when there is no such file. */
export async function* readLog(reader: LogReader): AsyncGenerator<Buffer> {
  const { file, options } = reader;
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) throw new LogError("NotFound", "Cannot read log: it has been removed");
  try {
    reader.look();
    const start = await startOf(handle, readStamps(file), options);
    if (start === undefined && !options.follow) return;
    const position = start ?? (await handle.stat()).size;
    const chunks = follow(handle, position, reader);
    yield* limit(options.timestamps ? stamped(chunks, reader) : plain(chunks), options.limitBytes);
  } finally {
    await handle.close();
  }
}

/** Where to begin: the later of what the last lines and the time ask for; undefined when no line is late enough. */
async function startOf(
  handle: FileHandle,
  stamps: Stamps,
  { tailLines, sinceMs }: LogOptions,
): Promise<number | undefined> {
  const tail = tailLines === undefined ? stamps.start : await tailStart(handle, tailLines, stamps.start);
  if (sinceMs === undefined) return tail;
  const since = offsetSince(stamps, sinceMs);
  if (since === undefined) return undefined;
  return Math.max(tail, since === stamps.start ? since : await lineStart(handle, since));
}

interface Chunk {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** The bytes from `position` on; while the container may write and the reader follows, also those to come. */
async function* follow(
  handle: FileHandle,
  from: number,
  { options, file, clock, signal, look, isOpen }: LogReader,
): AsyncGenerator<Chunk> {
  let position = from;
  while (!signal.aborted) {
    // Asked before reading: what is written before the container ends is read all the same.
    const mayGrow = options.follow && isOpen();
    const { size } = await handle.stat();
    // Emptied: what follows begins anew.
    if (size < position) position = 0;
    look();
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position);
    const bytes = buffer.subarray(0, bytesRead);
    const { start } = bytes[0] === 0 ? readStamps(file) : { start: 0 };
    // The hole of what was given up since.
    if (start > position) position = start;
    else if (bytesRead > 0) {
      yield { offset: position, bytes };
      position += bytesRead;
    } else if (!mayGrow) return;
    else await clock.sleep(followMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
  }
}

async function* plain(chunks: AsyncIterable<Chunk>): AsyncGenerator<Buffer> {
  for await (const { bytes } of chunks) yield bytes;
}

/** Each line with its time before it. */
async function* stamped(chunks: AsyncIterable<Chunk>, { file, clock }: LogReader): AsyncGenerator<Buffer> {
  let stamps = readStamps(file);
  let isLineStart = true;
  const stampAt = (offset: number): Buffer => {
    if (timeAt(stamps, offset) === undefined) stamps = readStamps(file);
    return Buffer.from(`${formatStamp(timeAt(stamps, offset) ?? clock.nowMs())} `);
  };
  for await (const { offset, bytes } of chunks) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length;) {
      if (isLineStart) pieces.push(stampAt(offset + at));
      const end = bytes.indexOf(newline, at);
      const next = end < 0 ? bytes.length : end + 1;
      pieces.push(bytes.subarray(at, next));
      isLineStart = end >= 0;
      at = next;
    }
    yield Buffer.concat(pieces);
  }
}

async function* limit(chunks: AsyncIterable<Buffer>, bytesMax: number | undefined): AsyncGenerator<Buffer> {
  let left = bytesMax ?? Infinity;
  for await (const chunk of chunks) {
    yield chunk.length <= left ? chunk : chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/** Where the line begins that holds the byte at `offset`, or begins there. */
async function lineStart(handle: FileHandle, offset: number): Promise<number> {
  let position = offset;
  while (true) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, position - 1);
    if (bytesRead === 0) return position;
    const at = buffer.subarray(0, bytesRead).indexOf(newline);
    if (at >= 0) return position + at;
    position += bytesRead;
  }
}

/** Where the last `lines` lines begin, not before `start`. */
async function tailStart(handle: FileHandle, lines: number, start: number): Promise<number> {
  const { size } = await handle.stat();
  if (lines === 0) return size;
  let position = size;
  let found = 0;
  while (position > start) {
    const length = Math.min(chunkBytes, position - start);
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, position - length);
    for (let at = length - 1; at >= 0; at -= 1) {
      const absolute = position - length + at;
      // The end of the last line is not the start of another.
      if (buffer[at] !== newline || absolute === size - 1) continue;
      found += 1;
      if (found === lines) return absolute + 1;
    }
    position -= length;
  }
  return start;
}

/** The end of a log as text: a container's last words when it left no others. At most so many lines and bytes. */
export function logEnd(file: string, linesMax: number, bytesMax: number): string {
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) return "";
  const fd = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(bytesMax);
    const text = buffer.subarray(0, readSync(fd, buffer, 0, bytesMax, Math.max(0, size - bytesMax))).toString();
    const lines = text.split("\n");
    // The end of the last line is not the start of another.
    const ended = lines.at(-1) === "" ? 1 : 0;
    return lines.slice(-linesMax - ended).join("\n");
  } finally {
    closeSync(fd);
  }
}
