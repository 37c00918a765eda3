/**
 * A token bucket that is filled in steps. Pure: time is an argument.
 *
 * Source: envoy.type.v3.TokenBucket: so many tokens at most, so many more each interval; full at first.
 */
export interface TokenBucketSpec {
  readonly tokensMax: number;
  readonly perFill: number;
  /** In ms, > 0. */
  readonly fillMs: number;
}

export class TokenBucket {
  readonly #spec: TokenBucketSpec;
  #tokens: number;
  #filledMs: number;

  constructor(spec: TokenBucketSpec, nowMs: number) {
    this.#spec = spec;
    this.#tokens = spec.tokensMax;
    this.#filledMs = nowMs;
  }

  /** True when there was one. */
  take(nowMs: number): boolean {
    const { tokensMax, perFill, fillMs } = this.#spec;
    const fills = Math.floor((nowMs - this.#filledMs) / fillMs);
    if (fills > 0) {
      this.#tokens = Math.min(tokensMax, this.#tokens + fills * perFill);
      this.#filledMs += fills * fillMs;
    }
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
