/**
 * The next moment at which a pod worker has something to do. Times are the monotonic clock's, which never jumps.
 *
 * Invariant: at most one timer is set, for the earliest moment asked for since the last `clear`.
 */
import type { Clock, Timer } from "#lib/clock.ts";

export class StepTimer {
  readonly #clock: Clock;
  readonly #step: () => void;
  #timer: Timer | undefined;
  #dueAtMs = 0;

  constructor(clock: Clock, step: () => void) {
    this.#clock = clock;
    this.#step = step;
  }

  clear(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Steps at `atMs`, or before when something else is due earlier. */
  at(atMs: number): void {
    if (this.#timer !== undefined && this.#dueAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#dueAtMs = atMs;
    this.#timer = this.#clock.after(Math.max(1, atMs - this.#clock.monotonicMs()), this.#step);
  }
}
