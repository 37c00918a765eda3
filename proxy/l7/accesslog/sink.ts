/**
 * Writes access logs: lines are gathered and written once in a while, never waited for.
 *
 *   Observer.onExchange ─▶ AccessLogs.observer(specs) ─▶ one buffer a file ─▶ append
 *
 * Bounded: a buffer that is full drops new lines and counts them; a file that cannot be written is told once and tried
 * again with each flush. reopen() lets go of the files, so that they can be rotated (SIGUSR1, as in Envoy).
 */
import {
  accessSync,
  closeSync,
  constants,
  createWriteStream,
  existsSync,
  openSync,
  statSync,
  type WriteStream,
} from "node:fs";
import { dirname } from "node:path";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type AccessLogSpec, type LogTarget, formatLine } from "./log.ts";
import { copyRecord } from "./record.ts";
import type { FormatRecord } from "./types.ts";

/** Most bytes that wait for one file. */
export const bufferBytesMax: number = 1024 * 1024;
/** Bytes that are written at once, before the interval is over. */
const flushBytes = 64 * 1024;

export interface AccessLogsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** Longest time a line waits, in ms, default 1000. */
  readonly flushMs?: number;
}

export interface KnownOfRecord {
  /** The wall-clock start, in ms since 1970, of a record that does not say it. */
  readonly startMs: number;
  readonly requestId?: string | undefined;
}

interface Waiting {
  readonly target: LogTarget;
  lines: string[];
  bytes: number;
  timer: Timer | undefined;
  stream: NodeJS.WritableStream | undefined;
}

export class AccessLogs {
  /** Lines dropped because their file took no more. */
  dropped: number = 0;
  readonly #options: AccessLogsOptions;
  readonly #files = new Map<string, Waiting>();

  constructor(options: AccessLogsOptions) {
    this.#options = options;
  }

  /** Writes the record, with what is known besides, to each log whose filter takes it. */
  write(specs: readonly AccessLogSpec[], undated: FormatRecord, known: KnownOfRecord): void {
    const record: FormatRecord = { ...copyRecord(undated), ...known, startMs: undated.startMs ?? known.startMs };
    for (const { filter, format, target } of specs)
      if (filter === undefined || filter(record, this.#options.random))
        this.#append(target, formatLine(format, record));
  }

  /** Makes the files of these logs; throws for one that cannot be made, as Envoy does when it starts. */
  create(specs: readonly AccessLogSpec[]): void {
    tryFiles(specs, (path) => closeSync(openSync(path, "a")));
  }

  /** As create(), but makes none: throws for a file that cannot be written, or made in its folder. */
  check(specs: readonly AccessLogSpec[]): void {
    tryFiles(specs, (path) => {
      const isThere = existsSync(path);
      if (isThere && statSync(path).isDirectory()) throw new Error("EISDIR: it is a folder");
      accessSync(isThere ? path : `${dirname(path)}/`, isThere ? constants.W_OK : constants.W_OK | constants.X_OK);
    });
  }

  /** Writes what waits. */
  flush(): void {
    for (const file of this.#files.values()) this.#flushOne(file);
  }

  /** Lets go of the files; the next line makes them anew. */
  reopen(): void {
    this.flush();
    for (const file of this.#files.values()) {
      if (file.target.kind === "file") file.stream?.end();
      file.stream = undefined;
    }
  }

  /** Resolves when everything is written. */
  async close(): Promise<void> {
    this.flush();
    const files = [...this.#files.values()].filter(({ target }) => target.kind === "file");
    this.#files.clear();
    await Promise.all(files.map(({ stream }) => new Promise<void>((resolve) => closeStream(stream, resolve))));
  }

  #append(target: LogTarget, line: string): void {
    const file = this.#fileOf(target);
    const bytes = Buffer.byteLength(line);
    if (file.bytes + bytes > bufferBytesMax || isFull(file.stream)) {
      this.dropped++;
      return;
    }
    file.lines.push(line);
    file.bytes += bytes;
    if (file.bytes >= flushBytes) return this.#flushOne(file);
    file.timer ??= this.#options.clock.after(this.#options.flushMs ?? 1000, () => this.#flushOne(file));
  }

  #fileOf(target: LogTarget): Waiting {
    const key = target.kind === "file" ? target.path : target.kind;
    let file = this.#files.get(key);
    if (file === undefined) {
      file = { target, lines: [], bytes: 0, timer: undefined, stream: undefined };
      this.#files.set(key, file);
    }
    return file;
  }

  #flushOne(file: Waiting): void {
    file.timer?.cancel();
    file.timer = undefined;
    if (file.lines.length === 0) return;
    const text = file.lines.join("");
    file.lines = [];
    file.bytes = 0;
    file.stream ??= this.#open(file);
    file.stream.write(text);
  }

  #open(file: Waiting): NodeJS.WritableStream {
    const { target } = file;
    if (target.kind !== "file") return target.kind === "stdout" ? process.stdout : process.stderr;
    const stream = createWriteStream(target.path, { flags: "a" });
    stream.on("error", (error) => {
      this.#options.log.error(`Cannot write access log ${target.path}: ${messageOf(error)}`);
      file.stream = undefined;
    });
    return stream;
  }
}

function tryFiles(specs: readonly AccessLogSpec[], step: (path: string) => void): void {
  for (const { target } of specs) {
    if (target.kind !== "file") continue;
    try {
      step(target.path);
    } catch (error) {
      throw new Error(`Cannot write ${target.field} (${target.path}): ${messageOf(error)}`, { cause: error });
    }
  }
}

/** What waits in the stream itself counts, too: a disk that does not take it must not fill the memory. */
function isFull(stream: NodeJS.WritableStream | undefined): boolean {
  return stream !== undefined && "writableLength" in stream && Number(stream.writableLength) > bufferBytesMax;
}

function closeStream(stream: NodeJS.WritableStream | undefined, done: () => void): void {
  if (stream === undefined) return done();
  (stream as WriteStream).once("error", done);
  stream.end(done);
}
