/**
 * How long the failed pods of a node wait to be replaced: twice as long each time they fail again.
 *
 *   controller ─ failed(key) ─▶ FailureBackoff ─ waitMs(key) ─▶ plan.ts
 *
 * Bounded: a key that has been quiet for long is forgotten, and the oldest when there are too many.
 * Follows: failedPodsBackoff in k8s.io/kubernetes pkg/controller/daemon (1 s to 15 min).
 */
import { type BackoffConfig, backoffMs, noJitter } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";

const config: BackoffConfig = { baseMs: 1000, maxMs: 900_000 };
const keysMax = 10_000;
/** Without jitter chance is never asked. */

export class FailureBackoff {
  readonly #clock: Clock;
  readonly #failures = new Map<string, { readonly count: number; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A pod failed and is replaced now; the next one waits longer. */
  failed(key: string): void {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#failures.get(key);
    const isOld = before !== undefined && nowMs - before.atMs > 2 * config.maxMs;
    const count = before === undefined || isOld ? 1 : before.count + 1;
    this.#failures.delete(key);
    this.#failures.set(key, { count, atMs: nowMs });
    const oldest = this.#failures.size > keysMax ? this.#failures.keys().next().value : undefined;
    if (oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Ms until the next replacement. */
  waitMs(key: string): number {
    const found = this.#failures.get(key);
    if (found === undefined) return 0;
    const dueMs = found.atMs + backoffMs(found.count - 1, config, noJitter);
    return Math.max(0, dueMs - this.#clock.monotonicMs());
  }
}
