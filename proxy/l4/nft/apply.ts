/**
 * Brings the kernel to the desired table: the only place that runs nft.
 *
 *   update(Change) ─▶ one change at a time, of one transaction or a few ─▶ `nft -f -`
 *
 * Changes that come while nft runs merge into the next run. The first run, and the one after each failure, replaces the
 * whole table; what is in the kernel is never listed. A failed transaction changes nothing there, so the last good
 * table stays until a retry succeeds; retries back off.
 *
 *   idle ─update─▶ applying ─done─▶ idle;  applying ─failed─▶ waiting ─backoff─▶ applying
 *   idle ─update, too many of late─▶ waiting ─a little─▶ applying
 */
import { backoffMs, type BackoffConfig } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { ProxyError } from "../../errors.ts";
import type { Exec } from "../exec.ts";
import { explainRefusal } from "./refusal.ts";
import { RateLimit } from "./rate-limit.ts";
import { Table } from "./table.ts";
import { isSmall, planChange, planCheck, planSweep, planWhole } from "./transactions.ts";
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

type TableNames = readonly [string, string];

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "applying" }
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "closed" };

/** The second one is for tables too large for one transaction: it is filled while the other one serves. */
export const tableNames: TableNames = ["wherry-proxy", "wherry-proxy-2"];
/** Those of NetworkPolicy. */
export const policyTableNames: TableNames = ["wherry-policy", "wherry-policy-2"];
const backoff: BackoffConfig = { baseMs: 100, maxMs: 30_000, jitterRatio: 0.2 };
/** How long a retired chain stays, in ms (see transactions.ts). */
const retireMs = 1000;
/** After a change, in ms, before the table is looked after. */
const checkMs = 1000;

export class Applier {
  readonly #options: ApplierOptions;
  readonly #names: TableNames;
  readonly #table: Table;
  readonly #rate: RateLimit;
  #state: State = { kind: "idle" };
  /** The table that the kernel holds as `#table` was last taken; undefined when that is not known. */
  #live: string | undefined;
  /** Where it was last, for what replaces it. */
  #lastLive: string | undefined;
  #isStarted = false;
  #attempts = 0;
  #retired: { chains: Set<string>; sets: Set<string> } = { chains: new Set(), sets: new Set() };
  #sweep: Timer | undefined;
  #check: Timer | undefined;
  /** Who waits for what is wanted now, and for what nft is being told. */
  #waiters: (() => void)[] = [];
  #served: (() => void)[] = [];

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#names = options.names ?? tableNames;
    this.#table = new Table(options.skeleton);
    const periodMs = options.minSyncPeriodMs ?? 0;
    // kube-proxy's burst where kube-proxy's period is asked for.
    const pace = periodMs > 0 ? { perSecond: 1000 / periodMs, burst: 2 } : { perSecond: 60, burst: 60 };
    this.#rate = new RateLimit({ clock: options.clock, ...pace });
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
    this.#live = undefined;
    if (this.#isStarted) this.#wake();
  }

  /**
   * Finds out whether the table and the rules of its base chains are still there, and replaces it if not. Without
   * listing: the kernel must refuse to delete chains that those lead to. Never rejects.
   */
  async verify(): Promise<void> {
    const live = this.#live;
    if (this.#state.kind !== "idle" || live === undefined) return;
    this.#state = { kind: "applying" };
    const { text, refusals } = planCheck(this.#named(live), this.#table.skeleton);
    try {
      const { stderr } = await this.#options.exec(["nft", "-f", "-"], text);
      const errors = stderr.split("\n").filter((line) => line.includes("Error: "));
      const others = errors.filter((line) => !/busy/i.test(line));
      if (errors.length - others.length < refusals) this.#miss(others[0]?.slice(0, 300) ?? "its rules are gone");
    } catch (error) {
      this.#options.log.warn("Cannot verify the table", { error: messageOf(error) });
    }
    this.#rest();
    this.#wake();
  }

  /**
   * Does something to the table that is none of what is wanted of it, unless it is being changed; replaces it when that
   * fails. Never rejects.
   */
  async tell(text: (table: string) => string): Promise<void> {
    const live = this.#live;
    if (this.#state.kind !== "idle" || live === undefined) return;
    this.#state = { kind: "applying" };
    try {
      await this.#run(text(this.#named(live)));
      this.#planCheck();
    } catch (error) {
      this.#miss(messageOf(error));
    }
    this.#rest();
    this.#wake();
  }

  /** What the kernel should hold is not there. */
  #miss(why: string): void {
    this.#options.log.warn("Replaces the table", { error: why });
    this.#live = undefined;
  }

  /** Stops; the kernel keeps the rules. Who still waits is released. */
  close(): void {
    if (this.#state.kind === "waiting") this.#state.timer.cancel();
    this.#state = { kind: "closed" };
    this.#sweep?.cancel();
    this.#check?.cancel();
    this.#release();
  }

  get #isCurrent(): boolean {
    return this.#live !== undefined && !this.#table.isChanged;
  }

  #wake(): void {
    if (this.#state.kind !== "idle" || (this.#isStarted && this.#isCurrent && this.#waiters.length === 0)) return;
    const waitMs = this.#rate.take();
    if (waitMs > 0) return this.#waitFor(waitMs);
    this.#state = { kind: "applying" };
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

  /** Back to idle after an effect, unless closed meanwhile. */
  #rest(): void {
    if (this.#state.kind === "applying") this.#state = { kind: "idle" };
  }

  async #apply(): Promise<void> {
    const { clock, observer } = this.#options;
    if (this.#state.kind !== "applying") return;
    this.#served.push(...this.#waiters.splice(0));
    if (!this.#isCurrent) {
      const isFull = this.#live === undefined;
      const startMs = clock.monotonicMs();
      try {
        await (this.#live === undefined ? this.#replace() : this.#change(this.#live));
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#attempts = 0;
      observer.applied({ isFull, ms: clock.monotonicMs() - startMs });
      this.#planCheck();
    }
    for (const resolve of this.#served.splice(0)) resolve();
    this.#rest();
    this.#wake();
  }

  async #replace(): Promise<void> {
    const { skeleton } = this.#table;
    const whole = this.#table.takeAll();
    const longest = this.#names.reduce((a, b) => (a.length < b.length ? b : a));
    const isAtOnce = isSmall(this.#named(longest), skeleton, whole);
    const target = isAtOnce ? (this.#lastLive ?? this.#names[0]) : await this.#spareTable();
    const others = this.#names.filter((name) => name !== target).map((name) => this.#named(name));
    const texts = planWhole(this.#named(target), others, skeleton, whole);
    await this.#runAll(texts.head);
    // Side by side, for what nft does before the kernel has its turn; after a failure one by one, to be sure.
    const sharing = Array.from({ length: this.#attempts === 0 ? 2 : 1 }, () => this.#runAll(texts.elements));
    for (const result of await Promise.allSettled(sharing)) if (result.status === "rejected") throw result.reason;
    await this.#runAll(texts.tail);
    this.#live = target;
    this.#lastLive = target;
    this.#retired = { chains: new Set(), sets: new Set() };
  }

  /** The name that does not serve. A proxy before us may have left its table: this once, names are listed. */
  async #spareTable(): Promise<string> {
    let serving = this.#lastLive;
    if (serving === undefined) {
      const { stdout } = await this.#options.exec(["nft", "list", "tables", this.#table.skeleton.family]);
      const names = stdout.split("\n").map((line) => line.trim());
      serving = this.#names.find((name) => names.includes(`table ${this.#named(name)}`));
    }
    return serving === this.#names[0] ? this.#names[1] : this.#names[0];
  }

  async #change(live: string): Promise<void> {
    const delta = this.#table.take();
    const { texts, retired } = planChange(this.#named(live), this.#table.skeleton.collections, delta);
    for (const text of texts) await this.#run(text);
    for (const [name, { after }] of delta.chains) if (after !== undefined) this.#retired.chains.delete(name);
    for (const [name, { after }] of delta.sets) if (after !== undefined) this.#retired.sets.delete(name);
    for (const name of retired.chains) this.#retired.chains.add(name);
    for (const name of retired.sets) this.#retired.sets.add(name);
    this.#planSweep();
  }

  /** While we change the table nobody hears what others do to it (see watch.ts): looks a little later. */
  #planCheck(): void {
    this.#check ??= this.#options.clock.after(checkMs, () => {
      this.#check = undefined;
      if (this.#state.kind === "idle") void this.verify();
      else this.#planCheck();
    });
  }

  #planSweep(): void {
    if (this.#retired.chains.size + this.#retired.sets.size === 0) return;
    this.#sweep ??= this.#options.clock.after(retireMs, () => void this.#deleteRetired());
  }

  /** Deletes what nothing names any more. A failure is harmless: it is empty, and a replacement removes it. */
  async #deleteRetired(): Promise<void> {
    this.#sweep = undefined;
    const live = this.#live;
    if (this.#state.kind === "closed" || live === undefined) return;
    if (this.#state.kind !== "idle") return this.#planSweep();
    this.#state = { kind: "applying" };
    const { chains, sets } = this.#retired;
    this.#retired = { chains: new Set(), sets: new Set() };
    try {
      for (const text of planSweep(this.#named(live), [...chains], [...sets])) await this.#run(text);
    } catch (error) {
      this.#options.observer.cleanupFailed();
      this.#options.log.debug("Leaves empty chains", { chains: chains.size, error: messageOf(error) });
    }
    this.#rest();
    this.#wake();
  }

  #fail(error: unknown): void {
    const { random, log, observer } = this.#options;
    if (this.#state.kind !== "applying") return;
    this.#live = undefined;
    const retryMs = backoffMs(this.#attempts++, backoff, random);
    observer.failed();
    log.error("Cannot program nftables", { error: messageOf(error), retryMs: Math.round(retryMs) });
    this.#waitFor(retryMs);
  }

  #release(): void {
    for (const resolve of [...this.#served.splice(0), ...this.#waiters.splice(0)]) resolve();
  }

  #named(name: string): string {
    return `${this.#table.skeleton.family} ${name}`;
  }

  /** Runs texts one by one. Of a generator that is shared, each takes what the others do not; a failure ends all. */
  async #runAll(texts: Iterable<string>): Promise<void> {
    for (const text of texts) await this.#run(text);
  }

  async #run(text: string): Promise<void> {
    const { exec, observer } = this.#options;
    observer.touching?.(true);
    try {
      const { exitCode, stderr } = await exec(["nft", "-f", "-"], text);
      if (exitCode === 0) return;
      throw new ProxyError("CommandFailed", `Cannot apply nft transaction: ${explainRefusal(stderr)}`);
    } finally {
      observer.touching?.(false);
    }
  }
}
