/**
 * Looks after the tables: others may change them, too.
 *
 *   l4/nft/netlink/watch.ts ─ poll() ─▶ TableGuard ─ verify, renew, invalidate ─▶ l4/family-proxy.ts, policy/family-policy.ts
 *
 * What is heard to be changed is replaced at once. Where something was missed (watch.ts) it may be a table of ours or
 * none of ours: those are replaced, too, but a few times, then once a minute, so that somebody who never rests does
 * not make us replace large tables for ever. Whatever is heard, base chains are looked at each sync period, and the
 * tables replaced once an hour, as kube-proxy does.
 */
import type { Clock, Timer } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import { RateLimit } from "./l4/nft/rate-limit.ts";

/** "changed": a table of ours, by somebody else. "missed": perhaps one of ours. */
export type TableNews = "none" | "changed" | "missed";

/** Tells of changes that others make to our tables; l4/nft/netlink/watch.ts. */
export interface TableWatch {
  /** Our own changes are not told: this is called before and after each transaction. */
  setPaused(isPaused: boolean): void;
  /** What happened since the last time. */
  poll(): TableNews;
  close(): void;
}

/** Tables of one kind and family. */
export interface GuardedTable {
  /** Makes sure that the base chains have their rules; never rejects. */
  verify(): Promise<void>;
  /** Replaces them, unless that would cost what they have learned. */
  renew(): void;
  /** Replaces them. */
  invalidate(): void;
}

export interface TableGuardOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly tables: readonly GuardedTable[];
  /** Default: nobody watches. */
  readonly watch: TableWatch | undefined;
  readonly syncPeriodMs: number;
}

/** Between looks at what others do, in ms. */
const watchMs = 250;
/** Replacements for what was missed: so many in a row, then one a minute. */
const missedRate: { readonly perSecond: number; readonly burst: number } = { perSecond: 1 / 60, burst: 10 };
/** Between replacements of tables that look well, in ms: kube-proxy's FullSyncPeriod. */
const renewMs = 3_600_000;

export class TableGuard {
  readonly #options: TableGuardOptions;
  readonly #timers = new Set<Timer>();
  readonly #missedLimit: RateLimit;
  #isMissed = false;
  #isClosed = false;

  constructor(options: TableGuardOptions) {
    this.#options = options;
    this.#missedLimit = new RateLimit({ clock: options.clock, ...missedRate });
  }

  start(): void {
    const { watch, syncPeriodMs } = this.#options;
    this.#every(syncPeriodMs, () => this.#verify());
    this.#every(renewMs, () => this.#renew());
    if (watch !== undefined) this.#every(watchMs, () => this.#look(watch));
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers) timer.cancel();
  }

  async #look(watch: TableWatch): Promise<void> {
    const { log, tables } = this.#options;
    const news = watch.poll();
    if (news === "changed") {
      this.#isMissed = false;
      log.warn("Replaces the table: somebody else changed it");
      for (const table of tables) table.invalidate();
      return;
    }
    this.#isMissed ||= news === "missed";
    if (!this.#isMissed || this.#missedLimit.take() > 0) return;
    this.#isMissed = false;
    log.warn("Replaces the table: somebody else changed nftables unheard");
    this.#renew();
    await this.#verify();
  }

  #renew(): void {
    for (const table of this.#options.tables) table.renew();
  }

  async #verify(): Promise<void> {
    for (const table of this.#options.tables) await table.verify();
  }

  #every(periodMs: number, action: () => void | Promise<void>): void {
    const timer = this.#options.clock.after(periodMs, () => {
      this.#timers.delete(timer);
      void Promise.resolve(action()).finally(() => {
        if (!this.#isClosed) this.#every(periodMs, action);
      });
    });
    this.#timers.add(timer);
  }
}
