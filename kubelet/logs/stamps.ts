/**
 * When the bytes of a log were written: marks (offset, time) beside the log. Pure.
 *
 *   stamper.ts ─ appends "OFFSET MS" lines ─▶ 0.times ─▶ parseStamps() ─▶ timeAt(), offsetSince()
 *
 * A mark says that everything before its offset and after the mark before had been written at its time. A line's time
 * is that of its first byte. `start OFFSET` says that what is before was given up.
 */

export interface Stamps {
  /** Where what is kept begins. */
  readonly start: number;
  /** Ascending in both. */
  readonly marks: readonly Mark[];
}

export interface Mark {
  readonly offset: number;
  /** Wall clock, in ms. */
  readonly timeMs: number;
}

export const noStamps: Stamps = { start: 0, marks: [] };

/** Lines that cannot be read (half a line at the end) are passed over. */
export function parseStamps(text: string): Stamps {
  let start = 0;
  const marks: Mark[] = [];
  for (const line of text.split("\n")) {
    const found = /^(?:start (\d{1,16})|(\d{1,16}) (\d{1,16}))$/.exec(line);
    if (found === null) continue;
    const [, from, offset, timeMs] = found;
    if (from !== undefined) start = Number(from);
    else if (Number(offset) > (marks.at(-1)?.offset ?? 0))
      marks.push({ offset: Number(offset), timeMs: Number(timeMs) });
  }
  return { start, marks };
}

export function formatStamps({ start, marks }: Stamps): string {
  return [`start ${start}`, ...marks.map(formatMark)].join("\n").concat("\n");
}

export function formatMark({ offset, timeMs }: Mark): string {
  return `${offset} ${timeMs}`;
}

/** When the byte at `offset` was written; undefined for one that is not marked yet. */
export function timeAt({ marks }: Stamps, offset: number): number | undefined {
  return marks[firstAfter(marks, (mark) => mark.offset > offset)]?.timeMs;
}

/** Where the bytes begin that were written at `sinceMs` or later; undefined when none were. */
export function offsetSince({ start, marks }: Stamps, sinceMs: number): number | undefined {
  const at = firstAfter(marks, (mark) => mark.timeMs >= sinceMs);
  if (at === marks.length) return undefined;
  return Math.max(start, marks[at - 1]?.offset ?? 0);
}

/** Index of the first mark that holds, by bisection: from some mark on, all hold. */
function firstAfter(marks: readonly Mark[], holds: (mark: Mark) => boolean): number {
  let low = 0;
  let high = marks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const mark = marks[middle];
    if (mark !== undefined && holds(mark)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Gives up what is before `start`, and every second mark while there are more than `marksMax`. */
export function thin({ marks }: Stamps, start: number, marksMax: number): Stamps {
  let kept = marks.filter(({ offset }) => offset > start);
  while (kept.length > marksMax) kept = kept.filter((_, at) => at % 2 === 1 || at === kept.length - 1);
  return { start, marks: kept };
}

/** `timeMs` as logs show it: RFC 3339 with nanoseconds, UTC. */
export function formatStamp(timeMs: number): string {
  return new Date(timeMs).toISOString().replace("Z", "000000Z");
}
