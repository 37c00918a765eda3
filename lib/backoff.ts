/**
 * Exponential backoff with jitter, as pure arithmetic: the caller owns the attempt count and the timer.
 */
import type { Random } from "./random.ts";

export interface BackoffConfig {
  /** First delay, in ms, > 0. */
  readonly baseMs: number;
  /** Longest delay, in ms, >= `baseMs`. */
  readonly maxMs: number;
  /** Share of the delay drawn by chance, 0 to 1: 0 is exact, 1 is full jitter. Default 0. */
  readonly jitterRatio?: number;
}

/** For back-offs without jitter: nothing is left to chance. */
export const noJitter: Random = { next: () => 0, bytes: (length) => new Uint8Array(length) };

/** The delay before attempt `attempt` (0 is the first retry), in ms: base × 2^attempt, at most `maxMs`, less the jitter. */
export function backoffMs(attempt: number, config: BackoffConfig, random: Random): number {
  const fullMs = Math.min(config.baseMs * 2 ** Math.min(attempt, 30), config.maxMs);
  return fullMs * (1 - (config.jitterRatio ?? 0) * random.next());
}
