/**
 * Services balanced per request, without a sidecar: connections that the node's rules redirect are served by the node's
 * HTTP engine.
 *
 *   Services ─▶ apply() ─▶ frontends ─▶ engine.ts ◀─ accept() ◀─ connections with their original destination
 *                              └▶ onServing(true): l4/ sends connections here, until this says nothing more
 *
 * Invariants: without a Service that asks for it nothing listens and the engine is not loaded; nothing is sent here
 * before the engine knows every Service and the policies are known; a connection whose Service is gone is reset.
 */
import { createServer, type Server, type Socket } from "node:net";
import { Counter, renderPage } from "#api/metrics/exposition.ts";
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { ExchangeRecord } from "#proxy/l7/context.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { parseFacts } from "../config.ts";
import type { Target } from "../l4/categories.ts";
import type { NodeFacts } from "../l4/facts.ts";
import { hasZoneHints, type NamedService } from "../state.ts";
import { type Frontend, planFrontends } from "../userspace/frontends.ts";
import { isPerRequest } from "./choice.ts";
import type { RequestEngine } from "./engine.ts";

export interface RequestProxyOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Those of the node proxy. */
  readonly facts: Partial<NodeFacts>;
  /** Makes `server` listen at `facts.requestPort`. */
  readonly listen: (server: Server) => Promise<void>;
  /** Where a redirected connection was going; undefined for one that was not redirected. */
  readonly originalDestination: (socket: Socket) => SocketAddress | undefined;
  /** Whether connections may be sent here. */
  readonly onServing: (isServing: boolean) => void;
}

type Labels = "service_namespace" | "service_name" | "response_code" | "response_flags";

export class RequestProxy {
  readonly #options: RequestProxyOptions;
  #facts: NodeFacts;
  /** By Service: those whose endpoints are for zones. */
  readonly #zonal = new Map<string, ServiceResource>();
  readonly #requests = new Counter<Labels>({
    name: "wherry_node_requests_total",
    help: "Requests to Services that the node balances per request.",
    labels: ["service_namespace", "service_name", "response_code", "response_flags"],
  });
  /** By Service: what it is reached by, and the endpoints behind that. */
  readonly #services = new Map<string, ReadonlyMap<string, readonly Target[]>>();
  /** By what it is reached by: the Services that want it. */
  readonly #claimants = new Map<string, Set<string>>();
  /** What changed, and the engine does not know yet. */
  readonly #unsettled = new Set<string>();
  /** By what it is reached by: the Service that has it. */
  readonly #owners = new Map<string, string>();
  #state: "unready" | "ready" | "starting" | "serving" = "unready";
  #loading: Promise<RequestEngine> | undefined;
  #engine: RequestEngine | undefined;
  #server: Server | undefined;

  constructor(options: RequestProxyOptions) {
    this.#options = options;
    this.#facts = parseFacts(options.facts);
  }

  /** Takes a delta, as the node proxy does. */
  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    for (const { name, resource } of updated) {
      if (hasZoneHints(resource)) this.#zonal.set(name, resource);
      else this.#zonal.delete(name);
      this.#put(name, frontendsOf(resource, this.#facts));
    }
    for (const name of removed) {
      this.#zonal.delete(name);
      this.#put(name, new Map());
    }
  }

  /** Says that the node stands in another zone, as the node proxy is told. */
  setZone(zone: string): void {
    this.#facts = { ...this.#facts, zone };
    for (const [name, resource] of this.#zonal) this.#put(name, frontendsOf(resource, this.#facts));
  }

  /** Says that every Service and every policy there is has been told once. Nothing is served before. */
  markReady(): void {
    if (this.#state === "unready") this.#state = "ready";
    this.#serve();
  }

  /** Prometheus text exposition. */
  collect(): string {
    return this.#state === "serving" ? renderPage([this.#requests]) : "";
  }

  /** Ends every connection. */
  close(): void {
    this.#options.onServing(false);
    this.#server?.close();
    this.#engine?.close();
  }

  #put(name: string, frontends: ReadonlyMap<string, readonly Target[]>): void {
    const before = this.#services.get(name);
    if (before === undefined && frontends.size === 0) return;
    if (frontends.size === 0) this.#services.delete(name);
    else this.#services.set(name, frontends);
    for (const key of before?.keys() ?? []) this.#note(key, name, false);
    for (const key of frontends.keys()) this.#note(key, name, true);
    this.#loading ??= this.#load();
    void this.#loading.then((engine) => this.#settle(engine));
    this.#serve();
  }

  #note(key: string, name: string, isWanted: boolean): void {
    this.#unsettled.add(key);
    const claimants = this.#claimants.get(key) ?? new Set();
    if (isWanted) this.#claimants.set(key, claimants.add(name));
    else if (claimants.delete(name) && claimants.size === 0) this.#claimants.delete(key);
  }

  /**
   * Tells the engine of all that changed in this turn at once. Of two Services with one address and port the first by
   * name has it, as in l4/claims.ts.
   */
  #settle(engine: RequestEngine): void {
    const changes = new Map<string, readonly Target[] | undefined>();
    for (const key of this.#unsettled) {
      const [owner] = [...(this.#claimants.get(key) ?? [])].sort();
      if (owner === undefined) this.#owners.delete(key);
      else this.#owners.set(key, owner);
      changes.set(key, owner === undefined ? undefined : (this.#services.get(owner)?.get(key) ?? []));
    }
    this.#unsettled.clear();
    if (changes.size > 0) engine.update(changes);
  }

  async #load(): Promise<RequestEngine> {
    const { clock, random, log } = this.#options;
    const { RequestEngine: Engine } = await import("./engine.ts");
    const observe = (frontend: string, record: ExchangeRecord): void => this.#count(frontend, record);
    this.#engine = new Engine({ clock, random, log, observe });
    return this.#engine;
  }

  /**
   * Ready => Starting. From the first Service on.
   * Starting => Serving, when it listens. Where it cannot, connections are balanced.
   * Serving => Serving. Without a Service it listens on, and is sent nothing.
   */
  #serve(): void {
    const { onServing, log } = this.#options;
    if (this.#state === "serving") return onServing(this.#services.size > 0);
    if (this.#state !== "ready" || this.#loading === undefined) return;
    this.#state = "starting";
    this.#listen(this.#loading).then(
      () => {
        this.#state = "serving";
        onServing(this.#services.size > 0);
      },
      (error: unknown) =>
        log.error("Cannot balance Services per request, only per connection", { error: messageOf(error) }),
    );
  }

  async #listen(loading: Promise<RequestEngine>): Promise<void> {
    const engine = await loading;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket, engine));
    await this.#options.listen(this.#server);
  }

  #accept(socket: Socket, engine: RequestEngine): void {
    socket.on("error", () => socket.destroy());
    const destination = this.#options.originalDestination(socket);
    const key = destination === undefined ? undefined : this.#find(destination);
    // Called by its own address, or of a Service that went meanwhile.
    if (destination === undefined || key === undefined) socket.resetAndDestroy();
    else engine.accept(socket, key, destination);
  }

  #find({ address, port }: SocketAddress): string | undefined {
    return [`${address} ${port}`, `* ${port}`].find((key) => this.#owners.has(key));
  }

  #count(frontend: string, { status, flag }: ExchangeRecord): void {
    const [namespace = "", name = ""] = (this.#owners.get(frontend) ?? "").split("/");
    const labels = { service_namespace: namespace, service_name: name };
    this.#requests.add({ ...labels, response_code: String(status), response_flags: flag });
  }
}

/** By `address port`, or `* port` for a node port: the endpoints of what a Service has balanced per request. */
function frontendsOf(service: ServiceResource, facts: NodeFacts): ReadonlyMap<string, readonly Target[]> {
  const ports = service.ports.filter((port) => isPerRequest(service, port));
  if (ports.length === 0) return new Map();
  const { frontends } = planFrontends({ ...service, ports }, facts);
  const nodePorts = new Set(ports.map(({ nodePort }) => nodePort).filter((port) => port > 0));
  const isNodePort = ({ address, port }: Frontend): boolean => nodePorts.has(port) && facts.nodeIPs.includes(address);
  return new Map(
    [...frontends.values()].map((frontend): [string, readonly Target[]] => [
      `${isNodePort(frontend) ? "*" : frontend.address} ${frontend.port}`,
      frontend.targets,
    ]),
  );
}
