/**
 * Brings the kernel to the desired table: decides when what is written.
 *
 *   update(Change), flush() ─▶ one change at a time ─▶ kernel-table.ts
 *   tell, check, sweep ─▶ chores, between changes
 *
 * Changes that come while nft runs merge into the next run. The first run, and the one after each failure, replaces the
 * whole table. A failed transaction changes nothing there, so the last good table stays until a retry succeeds; retries
 * back off.
 *
 *   idle ─update─▶ working ─done─▶ idle;  working ─failed─▶ waiting ─backoff─▶ working
 *   idle ─update, too many of late─▶ waiting ─a little─▶ working
 *   idle ─chore─▶ working ─done─▶ idle
 *
 * A chore waits for the work under way, and goes before the next change, so that no stream of changes holds it off; one
 * of a kind waits, the newest. What concerns a table that is about to be replaced is left out.
 */
import { backoffMs, type BackoffConfig } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Exec } from "../exec.ts";
import { KernelTable } from "./kernel-table.ts";
import { type TableNames, tableNames } from "./names.ts";
import { RateLimit } from "./rate-limit.ts";
import { Table } from "./table.ts";
import type { Change, Skeleton } from "./types.ts";

/** What happened, for metrics; and what has to be known around each run of nft. */
export interface ApplyObserver {
  applied(result: { readonly isFull: boolean; readonly ms: number }): void;
  failed(): void;
  /** What nothing names any more could not be deleted. */
  cleanupFailed(): void;
  /** nft begins to run, and has ended. */
  touching?(isTouching: boolean): void;
}

export interface ApplierOptions {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observer: ApplyObserver;
  readonly skeleton: Skeleton;
  /** Default: `tableNames`. */
  readonly names?: TableNames;
  /** Between two runs in the long term, in ms; 0 or nothing for the default. */
  readonly minSyncPeriodMs?: number;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "working" }
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "closed" };

interface Chore {
  readonly work: () => Promise<void>;
  readonly done: () => void;
}

const backoff: BackoffConfig = { baseMs: 100, maxMs: 30_000, jitterRatio: 0.2 };
/** How long what is retired stays, in ms (see retired.ts). */
const retireMs = 1000;

export class Applier {
  readonly #options: ApplierOptions;
  readonly #table: Table;
  readonly #kernel: KernelTable;
  readonly #rate: RateLimit;
  #state: State = { kind: "idle" };
  #isStarted = false;
  #attempts = 0;
  #left: Promise<boolean> | undefined;
  readonly #chores = new Map<"tell" | "check" | "sweep", Chore>();
  #sweep: Timer | undefined;
  /** Who waits for what is wanted now, and for what nft is being told. */
  #waiters: (() => void)[] = [];
  #served: (() => void)[] = [];

  constructor(options: ApplierOptions) {
    const { exec, clock, skeleton, observer, names = tableNames } = options;
    this.#options = options;
    this.#table = new Table(skeleton);
    const touching = (isTouching: boolean): void => observer.touching?.(isTouching);
    this.#kernel = new KernelTable({ exec, skeleton, names, touching });
    const periodMs = options.minSyncPeriodMs ?? 0;
    // kube-proxy's burst where kube-proxy's period is asked for.
    const pace = periodMs > 0 ? { perSecond: 1000 / periodMs, burst: 2 } : { perSecond: 120, burst: 60 };
    this.#rate = new RateLimit({ clock, ...pace });
  }

  /** Wants `change` from now on; nothing is done about it before `flush()`. */
  update(change: Change): void {
    this.#table.update(change);
  }

  /** Resolves when the kernel holds what is wanted now, or something later; never rejects. */
  flush(): Promise<void> {
    if (this.#state.kind === "closed" || (this.#state.kind === "idle" && this.#isCurrent)) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#isStarted = true;
      this.#wake();
    });
  }

  /** Whether nothing of any Service is wanted. */
  get isEmpty(): boolean {
    return this.#table.isEmpty;
  }

  /** Whether sets of Services or policies are wanted. */
  get hasSets(): boolean {
    return this.#table.hasSets;
  }

  /** Forgets what the kernel holds: the next run replaces the table. */
  invalidate(): void {
    this.#kernel.forget();
    if (this.#isStarted) this.#wake();
  }

  /** Whether an earlier proxy left a table; asked once. Where one is, it must not stay, even if nothing is wanted. */
  findLeft(): Promise<boolean> {
    return (this.#left ??= this.#kernel.findLeft().then(
      (name) => name !== undefined,
      (error: unknown) => {
        this.#options.log.warn("Cannot look for the table of an earlier proxy", { error: messageOf(error) });
        return false;
      },
    ));
  }

  /** Finds out whether the base chains have their rules, and replaces the table if not. Never rejects. */
  verify(): Promise<void> {
    return this.#do("check", async () => {
      try {
        const fault = this.#kernel.isKnown ? await this.#kernel.findFault() : undefined;
        if (fault !== undefined) this.#miss(fault);
      } catch (error) {
        this.#options.log.warn("Cannot verify the table", { error: messageOf(error) });
      }
    });
  }

  /**
   * Does something to the table that is none of what is wanted of it; a replacement undoes it. Replaces the table when
   * it fails. Never rejects.
   */
  tell(text: (table: string) => string): Promise<void> {
    return this.#do("tell", async () => {
      if (!this.#kernel.isKnown) return;
      try {
        await this.#kernel.tell(text);
      } catch (error) {
        this.#miss(messageOf(error));
      }
    });
  }

  /** Stops; the kernel keeps the rules. Who still waits is released. Resolves when nothing of ours runs any more. */
  close(): Promise<void> {
    if (this.#state.kind === "waiting") this.#state.timer.cancel();
    this.#state = { kind: "closed" };
    this.#sweep?.cancel();
    for (const { done } of this.#chores.values()) done();
    this.#chores.clear();
    for (const resolve of [...this.#served.splice(0), ...this.#waiters.splice(0)]) resolve();
    return this.#kernel.close();
  }

  get #isCurrent(): boolean {
    return this.#kernel.isKnown && !this.#table.isChanged;
  }

  /** What the kernel should hold is not there. */
  #miss(why: string): void {
    if (this.#state.kind === "closed") return;
    this.#options.log.warn("Replaces the table", { error: why });
    this.#kernel.forget();
  }

  #wake(): void {
    if (this.#state.kind !== "idle") return;
    for (const [kind, { work, done }] of this.#chores) {
      this.#chores.delete(kind);
      this.#state = { kind: "working" };
      void work().then(() => {
        done();
        this.#rest();
      });
      return;
    }
    if (!this.#isStarted || (this.#isCurrent && this.#waiters.length === 0)) return;
    const waitMs = this.#rate.take();
    if (waitMs > 0) return this.#waitFor(waitMs);
    this.#state = { kind: "working" };
    // After the current turn, so that changes which come together are one transaction.
    queueMicrotask(() => void this.#apply());
  }

  #waitFor(ms: number): void {
    const timer = this.#options.clock.after(ms, () => {
      this.#state = { kind: "idle" };
      this.#wake();
    });
    this.#state = { kind: "waiting", timer };
  }

  /** Back to idle after work, unless closed meanwhile; and on with what waits. */
  #rest(): void {
    if (this.#state.kind === "working") this.#state = { kind: "idle" };
    this.#wake();
  }

  /** Resolves when the chore is done, or another one of its kind has taken its place. */
  #do(kind: "tell" | "check" | "sweep", work: () => Promise<void>): Promise<void> {
    if (this.#state.kind === "closed") return Promise.resolve();
    return new Promise((done) => {
      this.#chores.get(kind)?.done();
      this.#chores.set(kind, { work, done });
      this.#wake();
    });
  }

  async #apply(): Promise<void> {
    const { clock, observer } = this.#options;
    if (this.#state.kind !== "working") return;
    this.#served.push(...this.#waiters.splice(0));
    if (!this.#isCurrent) {
      const isFull = !this.#kernel.isKnown;
      const startMs = clock.monotonicMs();
      try {
        if (isFull) await this.#kernel.replace(this.#table.takeAll());
        else await this.#kernel.change(this.#table.take());
      } catch (error) {
        return this.#fail(error);
      }
      this.#attempts = 0;
      observer.applied({ isFull, ms: clock.monotonicMs() - startMs });
      this.#planSweep();
    }
    for (const resolve of this.#served.splice(0)) resolve();
    this.#rest();
  }

  #planSweep(): void {
    if (this.#state.kind === "closed" || !this.#kernel.hasRetired) return;
    this.#sweep ??= this.#options.clock.after(retireMs, () => {
      this.#sweep = undefined;
      void this.#do("sweep", () => this.#deleteRetired());
    });
  }

  /** A failure is harmless: nothing leads to what was retired, and a replacement removes it. */
  async #deleteRetired(): Promise<void> {
    if (!this.#kernel.isKnown) return;
    try {
      await this.#kernel.sweep();
    } catch (error) {
      this.#options.observer.cleanupFailed();
      this.#options.log.debug("Leaves what nothing leads to", { error: messageOf(error) });
    }
  }

  #fail(error: unknown): void {
    const { random, log, observer } = this.#options;
    if (this.#state.kind !== "working") return;
    this.#kernel.forget();
    const retryMs = backoffMs(this.#attempts++, backoff, random);
    observer.failed();
    log.error("Cannot program nftables", { error: messageOf(error), retryMs: Math.round(retryMs) });
    this.#waitFor(retryMs);
  }
}
