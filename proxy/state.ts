/**
 * The node proxy: Services in, kernel rules out.
 *
 *   ADS wherry.v1.Service ─▶ apply() ─▶ l4/plan.ts ─▶ l4/nft/apply.ts, l4/conntrack.ts
 *
 * Invariants: nothing is programmed before `markSynced()`, so a half-known cluster never rejects what exists. Changes that
 * come while a transaction runs are one transaction together. Losing the control plane changes nothing here.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { parseFacts } from "./config.ts";
import { ConntrackReconciler } from "./l4/conntrack.ts";
import type { Exec } from "./l4/exec.ts";
import { Applier } from "./l4/nft/apply.ts";
import { type NodeFacts, planServices } from "./l4/plan.ts";
import { applySysctls } from "./l4/sysctl.ts";
import { ProxyMetrics } from "./metrics.ts";

export interface NodeProxyOptions {
  /** Runs nft and conntrack in the node's network namespace; `systemExec(clock)` of l4/exec.ts in production. */
  readonly exec: Exec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Default: Wherry's own network plan (config.ts). */
  readonly facts?: Partial<NodeFacts>;
  /** Between checks that the table is still there, in ms. Default 30 000. */
  readonly syncPeriodMs?: number;
}

/** One Service of a push; an ADS resource is one. `name` is `namespace/name`. */
export interface NamedService {
  readonly name: string;
  readonly resource: ServiceResource;
}

export interface NodeProxy {
  /** Takes a delta. An ADS client's handler: what cannot be programmed is logged and counted, and stops nothing else. */
  apply(updated: readonly NamedService[], removed: readonly string[]): void;
  /** Says that every Service there is has been applied once. Programming starts with the first call. */
  markSynced(): void;
  /** Whether the kernel has held a complete ruleset once. */
  readonly synced: boolean;
  /** Resolves when the kernel holds all that was applied up to now; never while it cannot be programmed. */
  programmed(): Promise<void>;
  readonly metrics: ProxyMetrics;
  /** Stops. The rules stay, as with kube-proxy: the next proxy takes them over. */
  close(): void;
}

/** A node proxy. Does nothing to the kernel until `markSynced()`. Throws InvalidConfig for bad facts. */
export function createNodeProxy(options: NodeProxyOptions): NodeProxy {
  return new KernelProxy(options);
}

class KernelProxy implements NodeProxy {
  readonly metrics = new ProxyMetrics();
  readonly #options: NodeProxyOptions;
  readonly #facts: NodeFacts;
  readonly #services = new Map<string, ServiceResource>();
  readonly #applier: Applier;
  readonly #conntrack: ConntrackReconciler;
  #state: "unsynced" | "programming" | "synced" | "closed" = "unsynced";
  #flushQueued = false;
  #lastFlush: Promise<void> = Promise.resolve();
  #conntrackTail: Promise<void> = Promise.resolve();
  #reported = new Set<string>();
  #timer: Timer | undefined;

  constructor(options: NodeProxyOptions) {
    const { exec, clock, random, log } = options;
    this.#options = options;
    this.#facts = parseFacts(options.facts ?? {});
    this.#applier = new Applier({ exec, clock, random, log, observer: this.metrics });
    this.#conntrack = new ConntrackReconciler(exec, log);
  }

  get synced(): boolean {
    return this.#state === "synced";
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    for (const { name, resource } of updated) this.#services.set(name, resource);
    for (const name of removed) this.#services.delete(name);
    this.metrics.changesTotal += updated.length + removed.length;
    this.metrics.changesPending += updated.length + removed.length;
    this.metrics.lastQueuedMs = this.#options.clock.nowMs();
    if (this.#state === "programming" || this.#state === "synced") this.#queueFlush();
  }

  markSynced(): void {
    if (this.#state !== "unsynced") return;
    this.#state = "programming";
    void applySysctls(this.#options.exec, this.#options.log);
    this.#queueFlush();
    this.#watchTable();
  }

  async programmed(): Promise<void> {
    await Promise.resolve();
    await this.#lastFlush;
  }

  close(): void {
    this.#state = "closed";
    this.#timer?.cancel();
    this.#applier.close();
  }

  /** Plans once for all that comes in this turn. */
  #queueFlush(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    this.#lastFlush = Promise.resolve().then(() => this.#flush());
  }

  async #flush(): Promise<void> {
    this.#flushQueued = false;
    const { ruleset, udpBackends, problems } = planServices(this.#services.values(), this.#facts);
    this.#report(problems);
    const pending = this.metrics.changesPending;
    await this.#applier.set(ruleset);
    if (this.#state === "closed") return;
    if (this.#state === "programming") this.#state = "synced";
    this.metrics.changesPending = Math.max(0, this.metrics.changesPending - pending);
    this.metrics.lastSyncedMs = this.#options.clock.nowMs();
    // One after the other, and only once the rules no longer lead there: else a flow would come back.
    this.#conntrackTail = this.#conntrackTail.then(() => this.#conntrack.reconcile(udpBackends));
    await this.#conntrackTail;
    this.metrics.conntrackDeleted = this.#conntrack.deleted;
  }

  /** Logs each problem once for as long as it lasts. */
  #report(problems: readonly string[]): void {
    for (const problem of problems) if (!this.#reported.has(problem)) this.#options.log.warn(problem);
    this.#reported = new Set(problems);
    this.metrics.problems = problems.length;
  }

  #watchTable(): void {
    this.#timer = this.#options.clock.after(this.#options.syncPeriodMs ?? 30_000, () => {
      void this.#applier.verify().finally(() => {
        if (this.#state !== "closed") this.#watchTable();
      });
    });
  }
}
