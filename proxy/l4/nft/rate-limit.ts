/**
 * How often nft may run: a few times in a row at once, then at a steady rate. kube-proxy's bounded-frequency runner.
 */
import type { Clock } from "#lib/clock.ts";

export interface RateLimitOptions {
  readonly clock: Clock;
  /** Runs a second in the long term, > 0. */
  readonly perSecond: number;
  /** Runs at once after a rest, >= 1. */
  readonly burst: number;
}

export class RateLimit {
  readonly #options: RateLimitOptions;
  #tokens: number;
  #atMs: number;

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#atMs = options.clock.monotonicMs();
  }

  /** 0 and a run is counted, or the time to wait before asking again, in ms. */
  take(): number {
    const { clock, perSecond, burst } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#atMs) * perSecond) / 1000);
    this.#atMs = nowMs;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    return Math.max(1, Math.ceil(((1 - this.#tokens) * 1000) / perSecond));
  }
}
