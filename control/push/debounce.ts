/**
 * Joins changes that come in quick succession into one push.
 *
 *   snapshot.onDirty ─▶ touch() ─▶ (quiet for 10 ms, or 100 ms after the first) ─▶ run(time of the first change)
 *
 * Invariant: after each touch, run follows within `maxMs`. As istiod's PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX.
 */
import type { Clock, Timer } from "#lib/clock.ts";

export interface DebounceConfig {
  /** Time without a change before the push, in ms. Default 10. */
  readonly quietMs: number;
  /** Longest time from the first change to the push, in ms, >= `quietMs`. Default 100. */
  readonly maxMs: number;
}

export const defaultDebounce: DebounceConfig = { quietMs: 10, maxMs: 100 };

export class Debounce {
  readonly #clock: Clock;
  readonly #config: DebounceConfig;
  readonly #run: (firstMs: number) => void;
  #firstMs: number | undefined;
  #lastMs = 0;
  #timer: Timer | undefined;

  /** `run` gets the monotonic time of the first change that it carries. */
  constructor(clock: Clock, config: DebounceConfig, run: (firstMs: number) => void) {
    this.#clock = clock;
    this.#config = config;
    this.#run = run;
  }

  /** Something changed. */
  touch(): void {
    this.#lastMs = this.#clock.monotonicMs();
    if (this.#firstMs !== undefined) return;
    this.#firstMs = this.#lastMs;
    this.#timer = this.#clock.after(this.#config.quietMs, () => this.#due());
  }

  close(): void {
    this.#timer?.cancel();
    this.#firstMs = undefined;
  }

  /** One timer serves any number of touches: it is set again for what is left of the quiet time. */
  #due(): void {
    if (this.#firstMs === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    const dueMs = Math.min(this.#lastMs + this.#config.quietMs, this.#firstMs + this.#config.maxMs);
    if (nowMs < dueMs) {
      this.#timer = this.#clock.after(dueMs - nowMs, () => this.#due());
      return;
    }
    const firstMs = this.#firstMs;
    this.#firstMs = undefined;
    this.#run(firstMs);
  }
}
