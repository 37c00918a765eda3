/**
 * The part of a request's body that is held: until there is a connection, and for another try.
 *
 *   exchange.ts ─▶ hold() ─▶ slices ─▶ the next try
 *
 * Invariants: what is held is never more than `replayBytesMax` and one read; while there is no connection nothing is
 * dropped, the downstream waits instead; once something was dropped the request is not sent again.
 */

/** Largest request body kept for another try, in bytes (linkerd2-proxy's). */
export const replayBytesMax: number = 64 * 1024;

const none: readonly Buffer[] = [];

export class Replay {
  #slices: Buffer[] | undefined;
  #bytes = 0;
  #isWhole = true;

  get slices(): readonly Buffer[] {
    return this.#slices ?? none;
  }

  /** Everything of the body so far is held. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  get isFull(): boolean {
    return this.#bytes > replayBytesMax;
  }

  hold(slice: Buffer): void {
    if (this.#slices === undefined) this.#slices = [slice];
    else this.#slices.push(slice);
    this.#bytes += slice.length;
  }

  /** What is held is not wanted any more. */
  drop(): void {
    if (this.#bytes > 0) this.#isWhole = false;
    this.#slices = undefined;
  }

  /** Nothing is sent again, whatever is held. */
  close(): void {
    this.#isWhole = false;
    this.#slices = undefined;
  }
}
