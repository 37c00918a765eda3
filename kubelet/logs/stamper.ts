/**
 * Watches logs grow and notes when.
 *
 *   container ─ appends to 0.log by itself ─▶ file notification ─▶ look(): size and time ─▶ 0.times
 *
 * The container holds its log file, not a pipe of ours: so it neither blocks nor loses a line when the kubelet is
 * killed, and no further process runs for each container. The price: a time is that of the look, some milliseconds
 * late, and what was written while no kubelet ran gets the time at which the next one sees it.
 */
import { type FSWatcher, appendFileSync, renameSync, statSync, watch, writeFileSync } from "node:fs";
import type { Clock, Timer } from "#lib/clock.ts";
import { readOptional } from "../pod-dirs.ts";
import { type Stamps, formatMark, formatStamps, noStamps, parseStamps } from "./stamps.ts";

/** Shortest time between two looks at one log, in ms: what a busy log may cost. */
const restMs = 10;

/** The file of times beside a log. */
export function timesFile(logFile: string): string {
  return logFile.replace(/\.log$/, ".times");
}

/** What is noted of a log. */
export function readStamps(logFile: string): Stamps {
  const text = readOptional(timesFile(logFile));
  return text === undefined ? noStamps : parseStamps(text);
}

/** Replaces what is noted of a log. */
export function writeStamps(logFile: string, stamps: Stamps): void {
  const file = timesFile(logFile);
  writeFileSync(`${file}.new`, formatStamps(stamps), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

interface Watched {
  readonly watcher: FSWatcher | undefined;
  /** What is marked so far. */
  offset: number;
  rest: Timer | undefined;
  isDue: boolean;
}

export class LogStamper {
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on. What is in the log already and has no time yet gets the present one. */
  start(logFile: string): void {
    if (this.#watched.has(logFile)) return;
    const offset = readStamps(logFile).marks.at(-1)?.offset ?? 0;
    this.#watched.set(logFile, { watcher: this.#watch(logFile), offset, rest: undefined, isDue: false });
    this.look(logFile);
  }

  /** The container has ended: one last look. */
  stop(logFile: string): void {
    const watched = this.#watched.get(logFile);
    if (watched === undefined) return;
    this.look(logFile);
    watched.watcher?.close();
    watched.rest?.cancel();
    this.#watched.delete(logFile);
  }

  close(): void {
    for (const logFile of this.#watched.keys()) this.stop(logFile);
  }

  /**
   * Notes what has been written since the last look. Readers look before they read, so that all they read is marked.
   */
  look(logFile: string): void {
    const watched = this.#watched.get(logFile);
    if (watched === undefined) return;
    const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
    // Emptied because the file system cannot give up the beginning of a file: all offsets begin anew.
    if (size < watched.offset) {
      watched.offset = 0;
      writeStamps(logFile, noStamps);
    }
    if (size === watched.offset) return;
    watched.offset = size;
    appendFileSync(timesFile(logFile), `${formatMark({ offset: size, timeMs: this.#clock.nowMs() })}\n`, {
      mode: 0o600,
    });
  }

  #watch(logFile: string): FSWatcher | undefined {
    try {
      const watcher = watch(logFile, { persistent: false }, () => this.#noticed(logFile));
      // The file went with its pod: nothing is left to watch.
      watcher.on("error", () => watcher.close());
      return watcher;
    } catch {
      return undefined; // No notifications to be had: readers' looks and the last one must do.
    }
  }

  #noticed(logFile: string): void {
    const watched = this.#watched.get(logFile);
    if (watched === undefined) return;
    if (watched.rest !== undefined) {
      watched.isDue = true;
      return;
    }
    this.look(logFile);
    watched.isDue = false;
    watched.rest = this.#clock.after(restMs, () => {
      watched.rest = undefined;
      if (watched.isDue) this.#noticed(logFile);
    });
  }
}
