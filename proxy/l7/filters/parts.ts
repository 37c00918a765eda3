/**
 * One direction of a message on its way through filters: its parts in order, and where the first of them is. Pure.
 *
 *   pass.ts ─▶ Direction: [head | data | end, …], the filter that sees the first one next
 *
 * Invariant: `heldBytes` is the length of all data in the queue.
 */
import type { Headers } from "../http1/headers.ts";

export type Part =
  | { readonly kind: "head"; readonly isWhole: boolean }
  | { readonly kind: "data"; readonly data: Buffer }
  | { readonly kind: "end"; readonly trailers: Headers | undefined };

export interface Direction {
  readonly queue: Part[];
  heldBytes: number;
  /** The filter that sees the first part next. */
  at: number;
  /** The filter that is asked about the end next: those before it were. */
  endAt: number;
  isStopped: boolean;
  isRunning: boolean;
}

export function newDirection(): Direction {
  return { queue: [], heldBytes: 0, at: 0, endAt: 0, isStopped: false, isRunning: false };
}

/** Nothing of it goes on any more. */
export function clear(direction: Direction): void {
  direction.queue.length = 0;
  direction.heldBytes = 0;
  direction.isStopped = true;
}

/** The first part is done: the next one begins with the first filter, an end with the first that was not asked. */
export function dropFirst(direction: Direction): void {
  const part = direction.queue.shift();
  if (part?.kind === "data") direction.heldBytes -= part.data.length;
  direction.at = direction.queue[0]?.kind === "end" ? direction.endAt : 0;
}

/** `data` goes before the end, from the next filter on; the one at hand has then been asked. False: there is none. */
export function putInFront(direction: Direction, data: Buffer | undefined): boolean {
  if (data === undefined || data.length === 0) return false;
  direction.queue.unshift({ kind: "data", data });
  direction.heldBytes += data.length;
  direction.endAt = direction.at + 1;
  direction.at++;
  return true;
}

/** `data` instead of the first part, or before it where that is the end. False: the part goes on as it is. */
export function replaceFirst(direction: Direction, data: Buffer): boolean {
  const [part] = direction.queue;
  if (part?.kind !== "data") return part?.kind === "end" && putInFront(direction, data);
  if (data.length === 0) {
    dropFirst(direction);
    return true;
  }
  direction.heldBytes += data.length - part.data.length;
  direction.queue[0] = { kind: "data", data };
  direction.at++;
  return true;
}
