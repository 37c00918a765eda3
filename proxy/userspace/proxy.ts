/**
 * The node proxy without nftables: Services are answered by sockets of this process.
 *
 *   apply() ─▶ frontends.ts ─▶ one TCPFrontend or UDPFrontend an address and port ─▶ endpoints
 *
 * A Service's address that is not this node's is put on `lo` while the Service is there, where that is allowed; where
 * not, the Service is not served there, which is logged. Sources are not kept: endpoints see this node. NetworkPolicies
 * are not enforced, which is logged.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { parseFacts } from "../config.ts";
import { HealthPorts, wantedHealthPort } from "../health-ports.ts";
import type { NodeFacts } from "../l4/facts.ts";
import { ProxyMetrics } from "../metrics.ts";
import { ProgrammingTimes } from "../programming-times.ts";
import { hasZoneHints, type NamedService, type NodeProxy, type NodeProxyOptions } from "../state.ts";
import { LoopbackAddresses } from "./addresses.ts";
import { type Claim, Claims } from "./claims.ts";
import { type FrontendPlan, planFrontends } from "./frontends.ts";
import { TCPFrontend } from "./tcp.ts";
import { UDPFrontend } from "./udp.ts";

interface Served {
  readonly relay: TCPFrontend | UDPFrontend;
  owner: string;
}

const nothing: FrontendPlan = { frontends: new Map(), addresses: new Set(), problems: [] };

/**
 * A node proxy of sockets. Listens nowhere until `markSynced()`, and until `before`, which was closed, has ended. Throws
 * InvalidConfig for bad facts.
 */
export function createUserspaceProxy(options: NodeProxyOptions, before?: NodeProxy): NodeProxy {
  return new UserspaceProxy(options, before?.programmed());
}

class UserspaceProxy implements NodeProxy {
  readonly metrics = new ProxyMetrics();
  readonly #options: NodeProxyOptions;
  #facts: NodeFacts;
  readonly #health: HealthPorts | undefined;
  readonly #services = new Map<string, ServiceResource>();
  readonly #served = new Map<string, Served>();
  readonly #claims = new Claims();
  readonly #addresses: LoopbackAddresses;
  /** By key and Service: which one has what it wants, as the log was told. */
  readonly #losses = new Map<string, string>();
  readonly #changed = new Set<string>();
  readonly #times: ProgrammingTimes;
  #tail: Promise<void>;
  #state: "unsynced" | "programming" | "synced" | "closed" = "unsynced";
  #saidPolicies = false;

  constructor(options: NodeProxyOptions, ready: Promise<void> = Promise.resolve()) {
    this.#options = options;
    this.#tail = ready;
    this.#facts = parseFacts(options.facts ?? {});
    this.#addresses = new LoopbackAddresses(options.exec);
    const host = options.healthHost ?? this.#facts.nodeIPs[0];
    const { clock, log } = options;
    this.#times = new ProgrammingTimes({ clock, metrics: this.metrics });
    this.#health = host === undefined ? undefined : new HealthPorts({ host, log, isHealthy: () => this.healthy });
  }

  get synced(): boolean {
    return this.#state === "synced";
  }

  get healthy(): boolean {
    return this.synced;
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    for (const { name, resource } of updated) this.#put(name, resource);
    for (const name of removed) this.#put(name, undefined);
    this.metrics.lastQueuedMs = this.#options.clock.nowMs();
    if (this.#state === "programming" || this.#state === "synced") this.#flushLater();
  }

  setPolicies({ policies }: { readonly policies: readonly unknown[] }): void {
    if (policies.length === 0 || this.#saidPolicies) return;
    this.#saidPolicies = true;
    this.#options.log.warn("Cannot enforce NetworkPolicies: userspace mode (wanted nftables mode)");
  }

  setZone(zone: string): void {
    this.#facts = { ...this.#facts, zone };
    for (const [name, service] of this.#services) if (hasZoneHints(service)) this.#changed.add(name);
    if (this.#state === "programming" || this.#state === "synced") this.#flushLater();
  }

  /** Connections are what is balanced here, whatever there is beside it. */
  serveRequests(): void {}

  markSynced(): void {
    if (this.#state !== "unsynced") return;
    this.#state = "programming";
    this.#tail = this.#tail.then(() => this.#addresses.adopt());
    this.#flushLater();
  }

  async programmed(): Promise<void> {
    await this.#tail;
  }

  /** Nothing can be left behind here: every connection ends. `programmed()` then waits for addresses to be removed. */
  close(): void {
    this.#state = "closed";
    this.#health?.close();
    for (const { relay } of this.#served.values()) relay.close(true);
    this.#served.clear();
    this.#tail = this.#tail.then(() => this.#addresses.dropAll());
  }

  #put(name: string, service: ServiceResource | undefined): void {
    this.#times.put(name, this.#services.get(name), service);
    if (service === undefined) this.#services.delete(name);
    else this.#services.set(name, service);
    this.#changed.add(name);
    this.metrics.changesTotal++;
    this.#health?.set(name, service === undefined ? undefined : wantedHealthPort(service, this.#facts));
  }

  #flushLater(): void {
    this.#tail = this.#tail.then(() => this.#flush());
  }

  async #flush(): Promise<void> {
    const names = [...this.#changed];
    this.#changed.clear();
    const tellTimes = this.#times.take();
    const keys = new Set<string>();
    for (const name of names) for (const key of await this.#claim(name)) keys.add(key);
    // What is free from now on may be another's.
    for (const key of keys) if (this.#claims.winnerOf(key) === undefined) this.#end(key);
    for (const key of keys) await this.#serve(key);
    await this.#addresses.dropUnused();
    if (this.#state === "closed") return;
    tellTimes();
    this.#state = "synced";
    this.metrics.lastSyncedMs = this.#options.clock.nowMs();
  }

  /** Takes what a Service wants now. Returns the keys that this is about. */
  async #claim(name: string): Promise<readonly string[]> {
    const service = this.#services.get(name);
    const { frontends, addresses, problems } = service === undefined ? nothing : planFrontends(service, this.#facts);
    for (const problem of problems) this.#options.log.warn(problem);
    if (this.#state !== "closed") await this.#addresses.hold(name, addresses);
    return this.#claims.put(name, frontends);
  }

  async #serve(key: string): Promise<void> {
    const winner = this.#claims.winnerOf(key);
    if (winner === undefined || this.#state === "closed") return;
    const served = this.#served.get(key);
    if (served === undefined) await this.#open(key, winner);
    else {
      served.owner = winner.owner;
      served.relay.update(winner.frontend);
    }
    this.#tellLosses(key, winner.owner);
  }

  #end(key: string): void {
    this.#served.get(key)?.relay.close(false);
    this.#served.delete(key);
  }

  /** Once for as long as it lasts. */
  #tellLosses(key: string, owner: string): void {
    this.#losses.delete(`${key} ${owner}`);
    for (const name of this.#claims.losersOf(key)) {
      if (this.#losses.get(`${key} ${name}`) === owner) continue;
      this.#losses.set(`${key} ${name}`, owner);
      this.#options.log.warn(`Cannot serve Service ${name} on ${key}: Service ${owner} has that address and port`);
    }
  }

  async #open(key: string, { owner, frontend }: Claim): Promise<void> {
    const { log, clock } = this.#options;
    const relay = frontend.transport === "tcp" ? new TCPFrontend(frontend, clock) : new UDPFrontend(frontend, clock);
    try {
      await relay.listen();
      if (this.#state === "closed") relay.close(true);
      else this.#served.set(key, { owner, relay });
    } catch (error) {
      relay.close(true);
      const hint = errnoOf(error) === "EADDRNOTAVAIL" ? " (wanted an address of this node, or CAP_NET_ADMIN)" : "";
      log.warn(`Cannot serve Service ${owner} on ${key}: ${messageOf(error)}${hint}`);
    }
  }
}
