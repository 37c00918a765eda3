/**
 * The node proxy without nftables: Services are answered by sockets of this process.
 *
 *   apply() ─▶ frontends.ts ─▶ one TCPFrontend or UDPFrontend an address and port ─▶ endpoints
 *
 * An address that is not this node's is put on `lo`, where that is allowed; where not, the Service is not served there,
 * which is logged. Sources are not kept: endpoints see this node. NetworkPolicies are not enforced, which is logged.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { parseFacts } from "../config.ts";
import { HealthPorts, wantedHealthPort } from "../health-ports.ts";
import type { NodeFacts } from "../l4/facts.ts";
import { familyOf } from "../l4/ip.ts";
import { ProxyMetrics } from "../metrics.ts";
import { ProgrammingTimes } from "../programming-times.ts";
import { hasZoneHints, type NamedService, type NodeProxy, type NodeProxyOptions } from "../state.ts";
import { type Frontend, planFrontends } from "./frontends.ts";
import { TCPFrontend } from "./tcp.ts";
import { UDPFrontend } from "./udp.ts";

interface Served {
  readonly owner: string;
  readonly relay: TCPFrontend | UDPFrontend;
}

/** A node proxy of sockets. Listens nowhere until `markSynced()`. Throws InvalidConfig for bad facts. */
export function createUserspaceProxy(options: NodeProxyOptions): NodeProxy {
  return new UserspaceProxy(options);
}

class UserspaceProxy implements NodeProxy {
  readonly metrics = new ProxyMetrics();
  readonly #options: NodeProxyOptions;
  #facts: NodeFacts;
  readonly #health: HealthPorts | undefined;
  readonly #services = new Map<string, ServiceResource>();
  readonly #served = new Map<string, Served>();
  readonly #onLoopback = new Set<string>();
  readonly #changed = new Set<string>();
  readonly #times: ProgrammingTimes;
  #tail: Promise<void> = Promise.resolve();
  #state: "unsynced" | "programming" | "synced" | "closed" = "unsynced";
  #saidPolicies = false;

  constructor(options: NodeProxyOptions) {
    this.#options = options;
    this.#facts = parseFacts(options.facts ?? {});
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
    const addresses = [...this.#onLoopback];
    this.#tail = this.#tail.then(async () => {
      for (const address of addresses) await this.#changeAddress("del", address);
    });
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
    for (const name of names) await this.#serve(name);
    if (this.#state === "closed") return;
    tellTimes();
    this.#state = "synced";
    this.metrics.lastSyncedMs = this.#options.clock.nowMs();
  }

  async #serve(name: string): Promise<void> {
    const { log } = this.#options;
    const service = this.#services.get(name);
    const { frontends, problems } =
      service === undefined
        ? { frontends: new Map<string, Frontend>(), problems: [] }
        : planFrontends(service, this.#facts);
    for (const problem of problems) log.warn(problem);
    for (const [key, { owner, relay }] of this.#served) {
      if (owner !== name || frontends.has(key)) continue;
      relay.close(false);
      this.#served.delete(key);
    }
    await this.#dropAddresses();
    for (const [key, frontend] of frontends) {
      const served = this.#served.get(key);
      if (served === undefined) await this.#open(name, key, frontend);
      else if (served.owner === name) served.relay.update(frontend);
      else log.warn(`Cannot serve Service ${name} on ${key}: Service ${served.owner} has that address and port`);
    }
  }

  async #open(owner: string, key: string, frontend: Frontend): Promise<void> {
    const { log } = this.#options;
    try {
      const relay = await this.#listen(frontend);
      if (this.#state === "closed") relay.close(true);
      else this.#served.set(key, { owner, relay });
    } catch (error) {
      const hint = errnoOf(error) === "EADDRNOTAVAIL" ? " (wanted an address of this node, or CAP_NET_ADMIN)" : "";
      log.warn(`Cannot serve Service ${owner} on ${key}: ${messageOf(error)}${hint}`);
    }
  }

  /** The address is put on `lo` when the first attempt finds that the node does not have it. */
  async #listen(frontend: Frontend): Promise<Served["relay"]> {
    for (let tries = 0; ; tries++) {
      const { clock } = this.#options;
      const relay = frontend.transport === "tcp" ? new TCPFrontend(frontend, clock) : new UDPFrontend(frontend, clock);
      try {
        await relay.listen();
        return relay;
      } catch (error) {
        relay.close(true);
        const isElsewhere = tries === 0 && errnoOf(error) === "EADDRNOTAVAIL";
        if (!isElsewhere || !(await this.#changeAddress("replace", frontend.address))) throw error;
        this.#onLoopback.add(frontend.address);
      }
    }
  }

  /** Those that we put there and nothing is served on any more. */
  async #dropAddresses(): Promise<void> {
    const used = new Set([...this.#served.keys()].map((key) => key.slice(4, key.lastIndexOf(":"))));
    for (const address of this.#onLoopback) {
      if (used.has(address)) continue;
      this.#onLoopback.delete(address);
      await this.#changeAddress("del", address);
    }
  }

  async #changeAddress(verb: "replace" | "del", address: string): Promise<boolean> {
    const bits = familyOf(address) === "IPv4" ? 32 : 128;
    const result = await this.#options
      .exec(["ip", "addr", verb, `${address}/${bits}`, "dev", "lo"])
      // No `ip`: as if it had refused.
      .catch(() => undefined);
    return result?.exitCode === 0;
  }
}
