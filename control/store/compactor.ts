/**
 * Compaction of a store, little and often: history older than `historyMs` is forgotten every `intervalMs`.
 *
 *   clock ─▶ Compactor ─▶ store.compact(the revision that was newest `historyMs` ago)
 *
 * Invariant: a client that was away for less than `historyMs` resumes without a new list, as far as the caches'
 * rings reach. kube-apiserver compacts etcd every 5 minutes; in one go, which users see as a stall (k3s #13720).
 */
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { type Store, StoreError } from "./store.ts";

export interface CompactorConfig {
  /** How far back history reaches, in ms. Default 300 000. */
  readonly historyMs?: number;
  /** Time between compactions, in ms. Default 10 000. */
  readonly intervalMs?: number;
}

interface Mark {
  readonly atMs: number;
  readonly revision: number;
}

/** Construct, then `start()`; `close()` ends it. */
export class Compactor {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #historyMs: number;
  readonly #intervalMs: number;
  /** Which revision was newest when; oldest first, at most historyMs / intervalMs of them. */
  #marks: Mark[] = [];
  #timer: Timer | undefined;

  constructor(store: Store, clock: Clock, log: Logger, config: CompactorConfig = {}) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    this.#historyMs = config.historyMs ?? 300_000;
    this.#intervalMs = config.intervalMs ?? 10_000;
  }

  start(): void {
    this.#timer = this.#clock.after(this.#intervalMs, () => {
      void this.#compact().finally(() => {
        if (this.#timer !== undefined) this.start();
      });
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #compact(): Promise<void> {
    try {
      const nowMs = this.#clock.monotonicMs();
      this.#marks.push({ atMs: nowMs, revision: await this.#store.revision() });
      const old = this.#marks.findLastIndex((mark) => mark.atMs <= nowMs - this.#historyMs);
      const mark = this.#marks[old];
      if (mark === undefined) return;
      this.#marks = this.#marks.slice(old + 1);
      await this.#store.compact(mark.revision);
    } catch (error) {
      // The next round tries again; until then the history only grows.
      if (!(error instanceof StoreError && error.code === "Closed"))
        this.#log.warn("Cannot compact the store", { error: messageOf(error) });
    }
  }
}
