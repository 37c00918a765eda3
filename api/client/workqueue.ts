/**
 * Keys to reconcile: each waits at most once, is worked on by one at a time, and comes back later when its work failed.
 *
 *   informer handlers ─ add(key) ─▶ Workqueue ─ reconcile(key) ─▶ done | failed ─▶ again after the back-off
 *
 * A key added while it is being worked on is worked on once more afterwards, so the last state is always seen.
 * Bounded by the number of objects: a key is held once.
 */
import { type BackoffConfig, backoffMs } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { isConflict } from "../status.ts";

/** A queue as metrics see it. */
export interface WatchedQueue {
  readonly name: string;
  /** Keys that wait. */
  readonly depth: () => number;
  /** Since when each key is worked on, in monotonic ms. */
  readonly working: () => Iterable<number>;
}

/** Told what happens to keys; must not throw. */
export interface WorkqueueObserver {
  watch(queue: WatchedQueue): void;
  /** A key came that was not waiting. */
  added(name: string): void;
  /** A key comes again, because its work failed or was to be done later. */
  retried(name: string): void;
  taken(name: string, waitedMs: number): void;
  done(name: string, workedMs: number): void;
}

export interface WorkqueueOptions {
  readonly name: string;
  readonly reconcile: (key: string) => Promise<void>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Keys worked on at the same time. Default 1. */
  readonly concurrency?: number;
  readonly observer?: WorkqueueObserver | undefined;
}

const backoff: BackoffConfig = { baseMs: 5, maxMs: 30_000, jitterRatio: 0.1 };

export class Workqueue {
  readonly #options: WorkqueueOptions;
  /** Since when, in monotonic ms. */
  readonly #waiting = new Map<string, number>();
  readonly #working = new Map<string, number>();
  readonly #failures = new Map<string, number>();
  readonly #later = new Map<string, { readonly timer: Timer; readonly dueMs: number }>();
  #running = false;

  constructor(options: WorkqueueOptions) {
    this.#options = options;
    const { name } = options;
    options.observer?.watch({ name, depth: () => this.depth, working: () => this.#working.values() });
  }

  /** Keys that wait. */
  get depth(): number {
    return this.#waiting.size;
  }

  add(key: string): void {
    const { name, clock, observer } = this.#options;
    if (!this.#waiting.has(key)) {
      this.#waiting.set(key, clock.monotonicMs());
      observer?.added(name);
    }
    if (this.#running) queueMicrotask(() => this.#dispatch());
  }

  /**
   * Adds `key` when `delayMs` has passed, or before when that was asked for already: a key has one timer at most, and one
   * that comes early only looks again.
   */
  addAfter(key: string, delayMs: number): void {
    const { name, clock, observer } = this.#options;
    observer?.retried(name);
    const dueMs = clock.monotonicMs() + delayMs;
    const known = this.#later.get(key);
    if (known !== undefined && known.dueMs <= dueMs) return;
    known?.timer.cancel();
    const timer = clock.after(delayMs, () => {
      this.#later.delete(key);
      this.add(key);
    });
    this.#later.set(key, { timer, dueMs });
  }

  /** Starts the work; keys added before are worked on now. Ends with `signal`. */
  start(signal: AbortSignal): void {
    this.#running = true;
    signal.addEventListener("abort", () => (this.#running = false), { once: true });
    this.#dispatch();
  }

  #dispatch(): void {
    for (const [key, sinceMs] of this.#waiting) {
      if (!this.#running || this.#working.size >= (this.#options.concurrency ?? 1)) return;
      if (this.#working.has(key)) continue;
      this.#waiting.delete(key);
      const nowMs = this.#options.clock.monotonicMs();
      this.#working.set(key, nowMs);
      this.#options.observer?.taken(this.#options.name, nowMs - sinceMs);
      void this.#work(key, nowMs);
    }
  }

  async #work(key: string, startMs: number): Promise<void> {
    const { reconcile, clock, random, log, name, observer } = this.#options;
    try {
      await reconcile(key);
      this.#failures.delete(key);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      // A conflict only says that our cache is a moment behind.
      const level = isConflict(error) ? "debug" : "warn";
      log[level]("Reconcile failed", { queue: name, key, error: messageOf(error), failures });
      this.addAfter(key, backoffMs(failures, backoff, random));
    } finally {
      observer?.done(name, clock.monotonicMs() - startMs);
      this.#working.delete(key);
      this.#dispatch();
    }
  }
}
