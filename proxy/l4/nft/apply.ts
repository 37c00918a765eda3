/**
 * Brings the kernel to the desired ruleset: the only place that runs nft.
 *
 *   set(Ruleset) ─▶ one transaction at a time ─▶ `nft -f -`
 *
 * Rulesets that come while a transaction runs merge into the next one. The first transaction, and the one after each
 * failure, replaces the whole table; nothing is ever listed. A failed transaction changes nothing in the kernel, so the
 * last good ruleset stays until a retry succeeds; retries back off.
 *
 *   idle ─set─▶ applying ─ok─▶ idle;  applying ─failed─▶ waiting ─backoff─▶ applying
 */
import { backoffMs, type BackoffConfig } from "#lib/backoff.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { ProxyError } from "../../errors.ts";
import type { Exec } from "../exec.ts";
import { diffRulesets } from "./diff.ts";
import { deleteChain, flushChain, renderRuleset } from "./render.ts";
import type { Ruleset } from "./types.ts";

/** What happened, for metrics. */
export interface ApplyObserver {
  applied(result: { readonly isFull: boolean; readonly ms: number }): void;
  failed(): void;
}

export interface ApplierOptions {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly observer: ApplyObserver;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "applying" }
  | { readonly kind: "waiting"; readonly timer: Timer }
  | { readonly kind: "closed" };

const backoff: BackoffConfig = { baseMs: 100, maxMs: 30_000, jitterRatio: 0.2 };
/** How long a retired chain stays, in ms (see diff.ts). */
const retireMs = 1000;

export class Applier {
  readonly #options: ApplierOptions;
  #state: State = { kind: "idle" };
  #desired: Ruleset | undefined;
  /** What the kernel holds; undefined when that is not known. */
  #applied: Ruleset | undefined;
  #attempts = 0;
  #retired = new Set<string>();
  #sweep: Timer | undefined;
  #waiters: { readonly ruleset: Ruleset; readonly resolve: () => void }[] = [];

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  /** Wants `ruleset` from now on. Resolves when the kernel holds it or a later one; never rejects. */
  set(ruleset: Ruleset): Promise<void> {
    this.#desired = ruleset;
    if (this.#state.kind === "closed" || (this.#applied === ruleset && this.#state.kind === "idle")) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiters.push({ ruleset, resolve });
      this.#wake();
    });
  }

  /** Forgets what the kernel holds: the next transaction replaces the table. */
  invalidate(): void {
    this.#applied = undefined;
    this.#wake();
  }

  /**
   * Finds out, without listing, whether the table is still there: somebody may have flushed the whole ruleset. Replaces
   * it if not.
   */
  async verify(): Promise<void> {
    const applied = this.#applied;
    if (this.#state.kind !== "idle" || applied === undefined) return;
    this.#state = { kind: "applying" };
    try {
      const chain = "sentinel";
      await this.#run(`add chain ${applied.table} ${chain}\ndelete chain ${applied.table} ${chain}\n`);
    } catch (error) {
      this.#options.log.warn("Replaces the table", { error: messageOf(error) });
      this.#applied = undefined;
    }
    this.#rest();
    this.#wake();
  }

  /** Stops; the kernel keeps the rules. Who still waits is released. */
  close(): void {
    if (this.#state.kind === "waiting") this.#state.timer.cancel();
    this.#state = { kind: "closed" };
    this.#sweep?.cancel();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #wake(): void {
    if (this.#state.kind !== "idle" || this.#desired === undefined) return;
    this.#state = { kind: "applying" };
    // After the current turn, so that changes which come together are one transaction.
    queueMicrotask(() => void this.#apply());
  }

  /** Back to idle after an effect, unless closed meanwhile. */
  #rest(): void {
    if (this.#state.kind === "applying") this.#state = { kind: "idle" };
  }

  async #apply(): Promise<void> {
    const { clock, observer } = this.#options;
    while (this.#state.kind === "applying" && this.#desired !== undefined && this.#desired !== this.#applied) {
      const desired = this.#desired;
      const isFull = this.#applied === undefined;
      const startMs = clock.monotonicMs();
      try {
        await this.#transact(this.#applied, desired);
      } catch (error) {
        this.#fail(error);
        return;
      }
      this.#attempts = 0;
      this.#applied = desired;
      observer.applied({ isFull, ms: clock.monotonicMs() - startMs });
    }
    this.#rest();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  async #transact(from: Ruleset | undefined, to: Ruleset): Promise<void> {
    if (from === undefined) {
      await this.#run(renderRuleset(to));
      this.#retired.clear();
      return;
    }
    const { text, retired } = diffRulesets(from, to);
    if (text !== "") await this.#run(text);
    for (const name of to.chains.keys()) this.#retired.delete(name);
    for (const name of retired) this.#retired.add(name);
    if (this.#retired.size > 0) this.#sweep ??= this.#options.clock.after(retireMs, () => void this.#deleteRetired());
  }

  /** Deletes chains that nothing names any more. A failure is harmless: they are empty, and a full replace removes them. */
  async #deleteRetired(): Promise<void> {
    this.#sweep = undefined;
    const table = this.#applied?.table;
    if (this.#state.kind === "closed" || table === undefined || this.#retired.size === 0) return;
    if (this.#state.kind !== "idle") {
      this.#sweep = this.#options.clock.after(retireMs, () => void this.#deleteRetired());
      return;
    }
    this.#state = { kind: "applying" };
    const names = [...this.#retired];
    this.#retired.clear();
    try {
      await this.#run(`${names.map((name) => `${flushChain(table, name)}\n${deleteChain(table, name)}`).join("\n")}\n`);
    } catch (error) {
      this.#options.log.debug("Leaves empty chains", { chains: names.length, error: messageOf(error) });
    }
    this.#rest();
    this.#wake();
  }

  #fail(error: unknown): void {
    const { clock, random, log, observer } = this.#options;
    if (this.#state.kind !== "applying") return;
    this.#applied = undefined;
    const retryMs = backoffMs(this.#attempts++, backoff, random);
    observer.failed();
    log.error("Cannot program nftables", { error: messageOf(error), retryMs: Math.round(retryMs) });
    const timer = clock.after(retryMs, () => {
      this.#state = { kind: "idle" };
      this.#wake();
    });
    this.#state = { kind: "waiting", timer };
  }

  async #run(text: string): Promise<void> {
    const { exitCode, stderr } = await this.#options.exec(["nft", "-f", "-"], text);
    if (exitCode === 0) return;
    throw new ProxyError("CommandFailed", `Cannot apply nft transaction: ${firstLine(stderr)}`);
  }
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0]?.slice(0, 300) ?? "";
}
