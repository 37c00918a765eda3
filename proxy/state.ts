/**
 * The node proxy: Services in, kernel rules out.
 *
 *   ADS wherry.v1.Service ─▶ apply() ─▶ l4/family-proxy.ts, one a family ─▶ nft, conntrack
 *   NetworkPolicies, pods ─▶ setPolicies() ─▶ policy/family-policy.ts, one a family ─▶ nft
 *
 * Invariants: nothing is programmed before `markSynced()`, so a half-known cluster never rejects what exists. Changes that
 * come while a transaction runs are one transaction together. Losing the control plane changes nothing here.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { parseFacts } from "./config.ts";
import { TableGuard, type TableWatch } from "./guard.ts";
import { HealthPorts, wantedHealthPort } from "./health-ports.ts";
import type { Exec } from "./l4/exec.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { FamilyProxy } from "./l4/family-proxy.ts";
import { LocalhostPorts } from "./localhost-ports.ts";
import type { Family } from "./l4/ip.ts";
import { applySysctls } from "./l4/sysctl.ts";
import { ProxyMetrics } from "./metrics.ts";
import { FamilyPolicy } from "./policy/family-policy.ts";
import { isolationOf } from "./policy/isolation.ts";
import type { PolicyView } from "./policy/view.ts";
import { ProgrammingTimes } from "./programming-times.ts";

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
  /** Between two changes in the long term, in ms. Default 8. */
  readonly minSyncPeriodMs?: number;
  /** Default: nobody watches, and what others do is found after `syncPeriodMs`. */
  readonly watch?: TableWatch;
  /** Where health check node ports listen. Default: the node's first address; nowhere without one. */
  readonly healthHost?: string;
}

/** One Service of a push; an ADS resource is one. `name` is `namespace/name`. */
export interface NamedService {
  readonly name: string;
  readonly resource: ServiceResource;
}

export interface NodeProxy {
  /** Takes a delta. An ADS client's handler: what cannot be programmed is logged and counted, and stops nothing else. */
  apply(updated: readonly NamedService[], removed: readonly string[]): void;
  /** Takes the policies that there are, and what they are about. */
  setPolicies(view: PolicyView): void;
  /** Says that the node stands in another zone; "" for none. Until then it is `facts.zone`. */
  setZone(zone: string): void;
  /**
   * Says whether the node's HTTP engine takes connections at `facts.requestPort`, for Services that are balanced per
   * request. Until it does, and from when this process says nothing more, they are balanced as all others.
   */
  serveRequests(isServing: boolean): void;
  /** Says that every Service there is has been applied once. Programming starts with the first call. */
  markSynced(): void;
  /** Whether the kernel has held a complete ruleset once. */
  readonly synced: boolean;
  /** Whether it has, and no change waits for more than two sync periods: kube-proxy's healthTimeout. */
  readonly healthy: boolean;
  /** Resolves when the kernel holds all that was applied up to now; never while it cannot be programmed. */
  programmed(): Promise<void>;
  readonly metrics: ProxyMetrics;
  /**
   * Stops. The rules stay, as with kube-proxy: the next proxy takes them over. `programmed()` then resolves when nothing
   * of this one is being written any more, and not before that may the next one begin.
   */
  close(): void;
}

/** Between two words that the HTTP engine is there, and how long one holds, in ms. */
const aliveMs = 1000;
const aliveForMs = 4000;

/** A node proxy. Does nothing to the kernel until `markSynced()`. Throws InvalidConfig for bad facts. */
export function createNodeProxy(options: NodeProxyOptions): NodeProxy {
  return new KernelProxy(options);
}

class KernelProxy implements NodeProxy {
  readonly metrics = new ProxyMetrics();
  readonly #options: NodeProxyOptions;
  #facts: NodeFacts;
  readonly #families: readonly FamilyProxy[];
  readonly #policies: readonly FamilyPolicy[];
  readonly #health: HealthPorts | undefined;
  readonly #localhost: LocalhostPorts | undefined;
  #state: "unsynced" | "programming" | "synced" | "closed" = "unsynced";
  #flushQueued = false;
  /** When each change was queued that the kernel does not hold yet, oldest first; in monotonic ms. */
  readonly #pending = new Set<{ readonly sinceMs: number }>();
  #lastFlush: Promise<void> = Promise.resolve();
  readonly #services = new Map<string, ServiceResource>();
  readonly #problems = new Map<string, readonly string[]>();
  readonly #times: ProgrammingTimes;
  readonly #guard: TableGuard;
  #alive: Timer | undefined;

  constructor(options: NodeProxyOptions) {
    const { exec, clock, random, log, watch } = options;
    this.#options = options;
    const facts = parseFacts(options.facts ?? {});
    this.#facts = facts;
    this.#times = new ProgrammingTimes({ clock, metrics: this.metrics });
    const host = options.healthHost ?? facts.nodeIPs[0];
    this.#health = host === undefined ? undefined : new HealthPorts({ host, log, isHealthy: () => this.healthy });
    const isOnLoopback = facts.nodePortAddresses.includes("localhost");
    this.#localhost = isOnLoopback ? new LocalhostPorts({ facts, clock, log }) : undefined;
    const ofFamily = (["IPv4", "IPv6"] as const satisfies readonly Family[]).map((family) => ({
      exec,
      clock,
      random,
      log,
      facts,
      family,
      metrics: this.metrics,
      touching: (isTouching: boolean) => watch?.setPaused(isTouching),
      minSyncPeriodMs: options.minSyncPeriodMs ?? 0,
    }));
    this.#families = ofFamily.map((each) => new FamilyProxy(each));
    this.#policies = ofFamily.map((each) => new FamilyPolicy(each));
    this.#guard = new TableGuard({ clock, log, tables: this.#tables, watch, syncPeriodMs: this.#syncPeriodMs });
  }

  /** What has tables in the kernel. */
  get #tables(): readonly (FamilyProxy | FamilyPolicy)[] {
    return [...this.#families, ...this.#policies];
  }

  get synced(): boolean {
    return this.#state === "synced";
  }

  get healthy(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const [oldest = { sinceMs: nowMs }] = this.#pending;
    return this.synced && nowMs - oldest.sinceMs < 2 * this.#syncPeriodMs;
  }

  get #syncPeriodMs(): number {
    return this.#options.syncPeriodMs ?? 30_000;
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    for (const { name, resource } of updated) this.#put(name, resource);
    for (const name of removed) this.#put(name, undefined);
    this.metrics.lastQueuedMs = this.#options.clock.nowMs();
    if (this.#state === "programming" || this.#state === "synced") this.#queueFlush();
  }

  setPolicies(view: PolicyView): void {
    for (const policy of this.#policies) policy.put(view);
    const isolation = isolationOf(view, this.#facts.nodeName);
    for (const family of this.#families) family.isolate(isolation);
    if (this.#state === "programming" || this.#state === "synced") this.#queueFlush();
  }

  setZone(zone: string): void {
    if (zone === this.#facts.zone) return;
    this.#facts = { ...this.#facts, zone };
    for (const family of this.#families) family.setZone(zone);
    this.#localhost?.setZone(zone);
    for (const [name, service] of this.#services) if (hasZoneHints(service)) this.#plan(name, service);
    if (this.#state === "programming" || this.#state === "synced") this.#queueFlush();
  }

  serveRequests(isServing: boolean): void {
    if (isServing === (this.#alive !== undefined)) return;
    this.#alive?.cancel();
    this.#alive = isServing ? this.#options.clock.after(0, () => void this.#sayAlive()) : undefined;
  }

  markSynced(): void {
    if (this.#state !== "unsynced") return;
    this.#state = "programming";
    void applySysctls(this.#options.exec, this.#options.log);
    this.#queueFlush();
    this.#guard.start();
  }

  async programmed(): Promise<void> {
    await Promise.resolve();
    await this.#lastFlush;
  }

  close(): void {
    this.#state = "closed";
    this.#alive?.cancel();
    this.#guard.close();
    this.#health?.close();
    this.#localhost?.close();
    const ended = Promise.all(this.#tables.map((table) => table.close()));
    this.#lastFlush = ended.then(() => this.#options.watch?.close());
  }

  #put(name: string, service: ServiceResource | undefined): void {
    const before = this.#services.get(name);
    this.#times.put(name, before, service);
    const isEndpoints = before !== undefined && service !== undefined && isSameBut(before, service);
    if (service === undefined) this.#services.delete(name);
    else this.#services.set(name, service);
    if (isEndpoints) {
      this.metrics.endpointChangesTotal++;
      this.metrics.endpointChangesPending++;
    } else {
      this.metrics.changesTotal++;
      this.metrics.changesPending++;
    }
    this.#plan(name, service);
    this.#setHealth(name, service);
  }

  #plan(name: string, service: ServiceResource | undefined): void {
    const rivals = this.#families.flatMap((family) => family.put(name, service));
    this.#localhost?.set(name, service);
    for (const each of new Set([name, ...rivals])) this.#report(each);
  }

  #setHealth(name: string, service: ServiceResource | undefined): void {
    this.#health?.set(name, service === undefined ? undefined : wantedHealthPort(service, this.#facts));
  }

  /** Flushes once for all that comes in this turn. */
  #queueFlush(): void {
    if (this.#flushQueued) return;
    this.#flushQueued = true;
    this.#lastFlush = Promise.resolve().then(() => this.#flush());
  }

  async #flush(): Promise<void> {
    this.#flushQueued = false;
    const pending = { sinceMs: this.#options.clock.monotonicMs() };
    this.#pending.add(pending);
    const { changesPending, endpointChangesPending } = this.metrics;
    const tellTimes = this.#times.take();
    await Promise.all(this.#tables.map((table) => table.flush()));
    this.#pending.delete(pending);
    if (this.#state === "closed") return;
    tellTimes();
    if (this.#state === "programming") this.#state = "synced";
    this.metrics.changesPending = Math.max(0, this.metrics.changesPending - changesPending);
    this.metrics.endpointChangesPending = Math.max(0, this.metrics.endpointChangesPending - endpointChangesPending);
    this.metrics.lastSyncedMs = this.#options.clock.nowMs();
  }

  /** Logs each problem once for as long as it lasts. */
  #report(name: string): void {
    const known = this.#problems.get(name) ?? [];
    const ofFamilies = this.#families.map((family) => family.problemsOf(name));
    // As nearly always.
    if (known.length === 0 && ofFamilies.every(({ length }) => length === 0)) return;
    const problems = [...new Set(ofFamilies.flat())];
    for (const problem of problems) if (!known.includes(problem)) this.#options.log.warn(problem);
    if (problems.length === 0) this.#problems.delete(name);
    else this.#problems.set(name, problems);
    this.metrics.problems += problems.length - known.length;
  }

  async #sayAlive(): Promise<void> {
    this.#alive = this.#options.clock.after(aliveMs, () => void this.#sayAlive());
    for (const family of this.#families) await family.sayAlive(aliveForMs);
  }
}

/** Whether it matters in which zone the node is. */
export function hasZoneHints({ endpoints }: ServiceResource): boolean {
  return endpoints.some(({ hintZones }) => hintZones.length > 0);
}

/** Whether only endpoints differ. */
function isSameBut(a: ServiceResource, b: ServiceResource): boolean {
  const { endpoints: _a, changedMs: _aMs, ...restOfA } = a;
  const { endpoints: _b, changedMs: _bMs, ...restOfB } = b;
  return JSON.stringify(restOfA) === JSON.stringify(restOfB);
}
