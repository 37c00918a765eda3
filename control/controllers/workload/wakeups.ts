/**
 * Reconciles that fall due by time alone: a pod becomes available, a deadline passes.
 *
 *   reconcile ─ at(key, delay) ─▶ one timer a key ─▶ queue.add(key)
 *
 * Bounded by the number of objects: an earlier moment replaces a later one, so a key has one timer at most.
 */
import type { Clock, Timer } from "#lib/clock.ts";

/** Longest delay of one timer, in ms: those of Node.js hold 31 bits. A key that wakes up early only looks again. */
const delayMsMax = 2 ** 31 - 1;

export class Wakeups {
  readonly #clock: Clock;
  readonly #wake: (key: string) => void;
  readonly #timers = new Map<string, { readonly timer: Timer; readonly atMs: number }>();

  constructor(clock: Clock, wake: (key: string) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes `key` in `delayMs`, or before when that was asked for already. Undefined: nothing falls due. */
  in(key: string, delayMs: number | undefined): void {
    if (delayMs === undefined) return;
    const delay = Math.min(Math.max(0, delayMs), delayMsMax);
    const atMs = this.#clock.monotonicMs() + delay;
    const known = this.#timers.get(key);
    if (known !== undefined && known.atMs <= atMs) return;
    known?.timer.cancel();
    const timer = this.#clock.after(delay, () => {
      this.#timers.delete(key);
      this.#wake(key);
    });
    this.#timers.set(key, { timer, atMs });
  }
}
