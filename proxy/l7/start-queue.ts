/**
 * Begins few requests in one turn of the event loop, so that upstreams answer between them.
 *
 *   downstream.ts ─▶ admit() ─▶ now, or begin() in one of the next turns, in order
 *
 * One poll may tell of a thousand requests. Begun at once, each takes an upstream connection of its own, and all that
 * belongs to a request has left the processor's caches before its answer comes. Begun a few at a time, a fast upstream
 * answers in between, and its last connections are used again while they are warm: a sixth of the CPU of a short
 * request. A slow one loses nothing: each turn begins the next ones, whether others were answered or not.
 *
 * Invariants: first come, first begun; who waits is begun within as many turns as there are `startsMax` before it; the
 * line is as long as there are connections, each of which is in it once.
 */
import { writeQueue } from "./write-queue.ts";

/** Requests that one turn begins. */
export const startsMax = 32;
/** Those left when the next turn is asked for: rarely enough to cost nothing, early enough to be in time. */
const wakeAt: number = startsMax / 2;
/** Places of those who have left the line, before they are cleared. */
const goneMax = 1024;

export interface Starter {
  begin(): void;
}

export class StartQueue {
  readonly #defer: (callback: () => void) => void;
  readonly #onTurn: () => void;
  #waiting: Starter[] = [];
  /** Who waits for longest. */
  #first = 0;
  #left = startsMax;
  #isDue = false;

  /** `defer` runs a callback once, in the next turn; `onTurn` is told when those of a turn were begun. */
  constructor(defer: (callback: () => void) => void, onTurn: () => void = () => undefined) {
    this.#defer = defer;
    this.#onTurn = onTurn;
  }

  /** True: `starter` may begin now. False: it is told to later. */
  admit(starter: Starter): boolean {
    if (this.#left > 0 && this.#first === this.#waiting.length) {
      if (--this.#left <= wakeAt) this.#wake();
      return true;
    }
    this.#waiting.push(starter);
    return false;
  }

  #wake(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#defer(this.#turn);
  }

  readonly #turn = (): void => {
    this.#isDue = false;
    this.#left = startsMax;
    // First of all, so that one who throws does not keep the others.
    if (this.#first < this.#waiting.length) this.#wake();
    while (this.#left > 0 && this.#first < this.#waiting.length) {
      this.#left--;
      this.#waiting[this.#first++]!.begin();
    }
    this.#onTurn();
    if (this.#first < this.#waiting.length && this.#first < goneMax) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
  };
}

/** Of this thread's event loop. */
export const startQueue: StartQueue = new StartQueue(setImmediate, () => writeQueue.flush());
