/**
 * One family's half of the node proxy: planner, table and flows together. kube-proxy has one proxier a family, too.
 *
 *   state.ts ─ put, flush ─▶ planner.ts ─▶ nft/apply.ts, conntrack.ts
 *
 * Invariant: nothing is done in the kernel before the first `flush()` that has something to program, so that a cluster
 * of one family leaves the other alone; but what an earlier proxy left there is replaced.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Isolation } from "../policy/isolation.ts";
import type { ProxyMetrics } from "../metrics.ts";
import { ConntrackReconciler } from "./conntrack.ts";
import type { Exec } from "./exec.ts";
import type { NodeFacts } from "./facts.ts";
import { contains, type Family, normalizeAddress } from "./ip.ts";
import { Applier } from "./nft/apply.ts";
import { Planner } from "./planner.ts";
import { planSkeleton, rangesOf, requestsAlive } from "./skeleton.ts";

export interface FamilyProxyOptions {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly facts: NodeFacts;
  readonly family: Family;
  readonly metrics: ProxyMetrics;
  /** nft begins to run, and has ended. */
  readonly touching: (isTouching: boolean) => void;
  /** See state.ts; 0 for the default. */
  readonly minSyncPeriodMs: number;
}

export class FamilyProxy {
  readonly #options: FamilyProxyOptions;
  readonly #planner: Planner;
  readonly #applier: Applier;
  readonly #conntrack: ConntrackReconciler;
  #isUsed: boolean;

  constructor(options: FamilyProxyOptions) {
    const { exec, clock, random, log, facts, family, metrics, touching, minSyncPeriodMs } = options;
    this.#options = options;
    this.#planner = new Planner(facts, family);
    // What the node of a private cluster has is IPv4: that table is there from the start, and rejects.
    this.#isUsed = family === "IPv4";
    this.#applier = new Applier({
      exec,
      clock,
      random,
      log,
      observer: metrics.observer(family, touching),
      skeleton: planSkeleton(facts, family),
      minSyncPeriodMs,
    });
    const ranges = rangesOf(facts.nodePortAddresses, family);
    this.#conntrack = new ConntrackReconciler({
      exec,
      log,
      family,
      isNodeAddress: (address) =>
        facts.nodeIPs.some((nodeIP) => normalizeAddress(nodeIP) === address) ||
        ranges.some((range) => contains(range, address)),
      observe: (result) => metrics.reconciled(family, result),
      clock,
    });
  }

  /**
   * Takes a Service, or undefined for one that is gone. Nothing is programmed yet. Returns the Services that want an
   * address and port of it, before or now: their problems are others from now on.
   */
  put(name: string, service: ServiceResource | undefined): readonly string[] {
    const before = this.#planner.flowsOf(name);
    const rivals = this.#planner.rivalsOf(name);
    this.#applier.update(this.#planner.put(name, service));
    this.#conntrack.expect(before, this.#planner.flowsOf(name));
    return [...rivals, ...this.#planner.rivalsOf(name)];
  }

  /** Plans by another zone from now on; Services that have hints are to be put again. */
  setZone(zone: string): void {
    this.#planner.setZone(zone);
  }

  /** Takes what policies isolate. Nothing is programmed yet. */
  isolate(isolation: Isolation): void {
    for (const change of this.#planner.isolate(isolation)) this.#applier.update(change);
  }

  /**
   * Says once more that the node's HTTP engine takes connections; after `forMs` it counts as gone. A replacement of the
   * table takes the word away, until it is said the next time.
   */
  async sayAlive(forMs: number): Promise<void> {
    // What is there is not made younger by adding it again, and what is not there cannot be deleted.
    const statement = (verb: string, timeout = ""): ((table: string) => string) => {
      return (table) => `${verb} element ${table} ${requestsAlive} { tcp${timeout} }\n`;
    };
    const steps = [statement("add"), statement("delete"), statement("add", ` timeout ${forMs}ms`)];
    if (this.#isUsed) await this.#applier.tell((table) => steps.map((step) => step(table)).join(""));
  }

  problemsOf(name: string): readonly string[] {
    return this.#planner.problemsOf(name);
  }

  /** Resolves when the kernel holds all that was put, and has no flow left that contradicts it. */
  async flush(): Promise<void> {
    // What was left is replaced, not removed: without any NAT the kernel would not translate what is established.
    this.#isUsed ||= !this.#applier.isEmpty || (await this.#applier.findLeft());
    if (!this.#isUsed) return;
    const changed = this.#conntrack.takeChanged();
    await this.#applier.flush();
    this.#options.metrics.setNoLocal(this.#options.family, this.#planner.noLocal);
    // Only once the rules no longer lead there: else a flow would come back.
    await this.#conntrack.reconcile(changed);
  }

  /** Makes sure that the table is there. */
  async verify(): Promise<void> {
    if (this.#isUsed) await this.#applier.verify();
  }

  /** Replaces the table, should elements be gone; not where sets hold whom session affinity has led where. */
  renew(): void {
    if (!this.#applier.hasSets) this.invalidate();
  }

  /** Somebody else changed the table: it is replaced. */
  invalidate(): void {
    if (this.#isUsed) this.#applier.invalidate();
  }

  /** Resolves when nothing is being written any more. */
  close(): Promise<void> {
    this.#conntrack.close();
    return this.#applier.close();
  }
}
