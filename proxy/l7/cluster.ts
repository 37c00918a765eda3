/**
 * A cluster at run time: the endpoints that may serve, and whose turn it is.
 *
 *   config/cluster.ts (ClusterSpec, EndpointSpec[]) ─▶ Cluster ─▶ exchange.ts, tcp-proxy.ts: pick()
 *
 * Invariants: an update swaps the list of endpoints whole; requests in flight keep the endpoint they have; an endpoint
 * that stays keeps its connections, one that left loses its idle ones at once and the others with their responses.
 */
import { RoundRobin } from "./balance/round-robin.ts";
import { Endpoint, type EndpointSpec } from "./endpoint.ts";
import type { ConnectionBudget } from "./pool.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

/** Most upstream connections of one cluster; a request beyond is answered 503 UO. */
export const clusterConnectionsMax = 16_384;
/** Most original destinations remembered; the one unused for longest is dropped beyond. */
const originalDestinationsMax = 1024;

export interface ServiceName {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

export interface ClusterSpec {
  readonly name: string;
  readonly type: "EDS" | "STATIC" | "ORIGINAL_DST";
  /** The name asked for over EDS. */
  readonly serviceName: string;
  /** Time for a connection to come about, in ms, default 5000 (Envoy's). */
  readonly connectTimeoutMs: number;
  /** Istio's `istio.services[0]` metadata. */
  readonly service: ServiceName | undefined;
  /** STATIC only. */
  readonly endpoints: readonly EndpointSpec[];
}

export class Cluster {
  readonly spec: ClusterSpec;
  readonly #deps: EngineDeps;
  readonly #budget: ConnectionBudget = { open: 0, max: clusterConnectionsMax };
  readonly #balancer = new RoundRobin<Endpoint>();
  #endpoints = new Map<string, Endpoint>();
  #serving: readonly Endpoint[] = [];
  #hasEndpoints: boolean;

  constructor(spec: ClusterSpec, deps: EngineDeps) {
    this.spec = spec;
    this.#deps = deps;
    this.#hasEndpoints = spec.type === "ORIGINAL_DST";
    if (spec.type === "STATIC") this.update(spec.endpoints);
  }

  get name(): string {
    return this.spec.name;
  }

  /** True once the endpoints are known, be there none. */
  get isWarm(): boolean {
    return this.#hasEndpoints;
  }

  /** The endpoints that may be picked. */
  get serving(): readonly Endpoint[] {
    return this.#serving;
  }

  get connectionCount(): number {
    return this.#budget.open;
  }

  /** Replaces the endpoints. */
  update(specs: readonly EndpointSpec[]): void {
    const next = new Map<string, Endpoint>();
    for (const spec of specs) {
      // The workload is part of the identity: an address that moved to another pod has nothing to keep.
      const key = `${spec.address} ${spec.port} ${spec.workload}`;
      next.set(key, this.#endpoints.get(key) ?? new Endpoint(spec, this.#budget, this.#deps));
    }
    for (const [key, endpoint] of this.#endpoints) if (!next.has(key)) endpoint.pool.close();
    this.#endpoints = next;
    const servingSpecs = specs.filter((spec) => spec.isServing);
    const priority = Math.min(...servingSpecs.map((spec) => spec.priority));
    this.#serving = servingSpecs
      .filter((spec) => spec.priority === priority)
      .map((spec) => next.get(`${spec.address} ${spec.port} ${spec.workload}`)!);
    this.#hasEndpoints = true;
  }

  /** The endpoint for the next try. `destination` is where the connection was going before it was intercepted. */
  pick(tried: readonly Endpoint[], destination: SocketAddress | undefined): Endpoint | undefined {
    if (this.spec.type !== "ORIGINAL_DST") return this.#balancer.pick(this.#serving, tried);
    return destination === undefined ? undefined : this.#originalDestination(destination);
  }

  /** For a cluster that is gone: closes the idle connections. Requests in flight may still be retried here. */
  close(): void {
    for (const endpoint of this.#endpoints.values()) endpoint.pool.close();
  }

  #originalDestination(to: SocketAddress): Endpoint {
    const key = `${to.address} ${to.port}`;
    let endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) {
      const spec = { address: to.address, port: to.port, workload: "", isServing: true, priority: 0 };
      endpoint = new Endpoint(spec, this.#budget, this.#deps);
      const oldest = this.#endpoints.keys().next();
      if (this.#endpoints.size >= originalDestinationsMax && oldest.done !== true) {
        this.#endpoints.get(oldest.value)?.pool.close();
        this.#endpoints.delete(oldest.value);
      }
    } else this.#endpoints.delete(key);
    // A map keeps the order of insertion: moved to its end, the first is the one unused for longest.
    this.#endpoints.set(key, endpoint);
    return endpoint;
  }
}
