/**
 * Keys to reconcile: each waits at most once, is worked on by one at a time, and comes back later when its work failed.
 *
 *   informer handlers ─ add(key) ─▶ Workqueue ─ reconcile(key) ─▶ done | failed ─▶ again after the back-off
 *
 * A key added while it is being worked on is worked on once more afterwards, so the last state is always seen.
 * Bounded by the number of objects: a key is held once.
 */
import { type BackoffConfig, backoffMs } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { isConflict } from "../status.ts";

export interface WorkqueueOptions {
  readonly name: string;
  readonly reconcile: (key: string) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Keys worked on at the same time. Default 1. */
  readonly concurrency?: number;
}

const backoff: BackoffConfig = { baseMs: 5, maxMs: 30_000, jitterRatio: 0.1 };

export class Workqueue {
  readonly #options: WorkqueueOptions;
  readonly #waiting = new Set<string>();
  readonly #working = new Set<string>();
  readonly #failures = new Map<string, number>();
  #running = false;

  constructor(options: WorkqueueOptions) {
    this.#options = options;
  }

  /** Keys that wait. */
  get depth(): number {
    return this.#waiting.size;
  }

  add(key: string): void {
    this.#waiting.add(key);
    if (this.#running) queueMicrotask(() => this.#dispatch());
  }

  /** Adds `key` when `delayMs` has passed. */
  addAfter(key: string, delayMs: number): void {
    this.#options.clock.after(delayMs, () => this.add(key));
  }

  /** Starts the work; keys added before are worked on now. Ends with `signal`. */
  start(signal: AbortSignal): void {
    this.#running = true;
    signal.addEventListener("abort", () => (this.#running = false), { once: true });
    this.#dispatch();
  }

  #dispatch(): void {
    for (const key of this.#waiting) {
      if (!this.#running || this.#working.size >= (this.#options.concurrency ?? 1)) return;
      if (this.#working.has(key)) continue;
      this.#waiting.delete(key);
      this.#working.add(key);
      void this.#work(key);
    }
  }

  async #work(key: string): Promise<void> {
    const { reconcile, clock, random, log, name } = this.#options;
    try {
      await reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      // A conflict only says that our cache is a moment behind.
      const level = isConflict(error) ? "debug" : "warn";
      log[level]("Reconcile failed", { queue: name, key, error: messageOf(error), failures });
      clock.after(backoffMs(failures, backoff, random), () => this.add(key));
    } finally {
      this.#working.delete(key);
      this.#dispatch();
    }
  }
}
