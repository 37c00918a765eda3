/**
 * A cluster at run time: the endpoints that may serve, and whose turn it is.
 *
 *   config/cluster.ts (ClusterSpec, EndpointSpec[]) ─▶ Cluster ─▶ exchange.ts, tcp-proxy.ts: pick(), report()
 *                       outlier detection, health checks ─┘ └─ balance/: priorities, localities, subsets, policy
 *
 *   made ─▶ start(): in force, checks and sweeps run ─▶ close()
 *
 * Invariants: an update swaps the list of endpoints whole; requests in flight keep the endpoint they have; an endpoint
 * that stays keeps its connections, one that left loses its idle ones at once and the others with their responses.
 */
import type { Metadata } from "./accesslog/types.ts";
import type { BalancingPolicy } from "./balance/balancer.ts";
import { HostSet, type HostSetOptions } from "./balance/host-set.ts";
import { type SubsetSpec, Subsets } from "./balance/subsets.ts";
import { ConnectionBudget, openMax } from "./connection-budget.ts";
import { Endpoint, type EndpointSpec } from "./endpoint.ts";
import { type UpstreamOptions, upstreamOptionsDefault } from "./options.ts";
import { Pool, type PoolOptions } from "./pool.ts";
import { type AccrualSpec, FailureAccrual } from "./resilience/accrual.ts";
import { type HealthCheckSpec, HealthChecker } from "./resilience/health-check.ts";
import { Limits, type Thresholds, noThresholds } from "./resilience/limits.ts";
import { OutlierDetector, type OutlierSpec, type TryResult } from "./resilience/outlier.ts";
import type { TryCounts } from "./retry.ts";
import type { RoutingPriority } from "./route/types.ts";
import { addressOf } from "./socket-address.ts";
import { alpnFor } from "./tls/config.ts";
import { createUpstreamTLS } from "./tls/context.ts";
import type { UpstreamTLSSpec } from "./tls/types.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

/** Most original destinations remembered; the one unused for longest is dropped beyond. */
const originalDestinationsMax = 1024;

export interface ServiceName {
  readonly host: string;
  readonly name: string;
  readonly namespace: string;
}

/** How the names of a cluster are resolved. */
export interface DNSSpec {
  /** STRICT_DNS: every address is an endpoint; LOGICAL_DNS: the first one is the only endpoint. */
  readonly type: "STRICT_DNS" | "LOGICAL_DNS";
  readonly family: "AUTO" | "V4_ONLY" | "V6_ONLY" | "V4_PREFERRED" | "ALL";
  /** Time between two resolutions, and after one that failed, in ms. */
  readonly refreshMs: number;
  readonly failureMs: number;
}

export interface ClusterSpec {
  readonly name: string;
  readonly type: "EDS" | "STATIC" | "STRICT_DNS" | "LOGICAL_DNS" | "ORIGINAL_DST";
  /** The name asked for over EDS. */
  readonly serviceName: string;
  /** Time for a connection to come about, in ms, default 5000 (Envoy's). */
  readonly connectTimeoutMs: number;
  /** Istio's `istio.services[0]` metadata. */
  readonly service: ServiceName | undefined;
  readonly metadata?: Metadata | undefined;
  /** STATIC, and with host names as addresses STRICT_DNS and LOGICAL_DNS. */
  readonly endpoints: readonly EndpointSpec[];
  /** How its connections speak; default HTTP/1. */
  readonly upstream?: UpstreamOptions;
  /** Undefined: plaintext. */
  readonly tls?: UpstreamTLSSpec | undefined;
  readonly dns?: DNSSpec | undefined;
  /** Default round-robin. */
  readonly policy?: BalancingPolicy;
  /** Default 50 (Envoy's). */
  readonly panicThreshold?: number;
  /** Default 140 (Envoy's). */
  readonly overprovisioning?: number;
  readonly weighsLocalities?: boolean;
  readonly subsets?: SubsetSpec | undefined;
  /** Default none. */
  readonly thresholds?: Readonly<Record<RoutingPriority, Thresholds>>;
  readonly outlier?: OutlierSpec | undefined;
  readonly healthChecks?: readonly HealthCheckSpec[];
  readonly accrual?: AccrualSpec | undefined;
}

/** What decides whose turn it is. */
export interface PickRequest {
  /** In this request. */
  readonly tried: readonly Endpoint[];
  /** Where the connection was going before it was intercepted. */
  readonly destination: SocketAddress | undefined;
  readonly hash?: bigint | undefined;
  /** Key → JSON text. */
  readonly metadataMatch?: ReadonlyMap<string, string> | undefined;
}

export class Cluster {
  readonly spec: ClusterSpec;
  readonly #deps: EngineDeps;
  readonly limits: Readonly<Record<RoutingPriority, Limits>>;
  readonly outliers: OutlierDetector<Endpoint> | undefined;
  readonly checks: HealthChecker | undefined;
  readonly budgets: Readonly<Record<RoutingPriority, ConnectionBudget>>;
  readonly tryCounts: TryCounts = { timeouts: 0, retrySuccesses: 0, retryLimitsExceeded: 0 };
  readonly #pool: PoolOptions;
  readonly #hosts: HostSet;
  readonly #subsets: Subsets | undefined;
  #endpoints = new Map<string, Endpoint>();
  #members: readonly Endpoint[] = [];
  #byAddress: ReadonlyMap<string, Endpoint> | undefined;
  #hasEndpoints: boolean;
  #state: "made" | "started" | "closed" = "made";

  constructor(spec: ClusterSpec, deps: EngineDeps) {
    this.spec = spec;
    this.#deps = deps;
    this.#pool = poolOptionsOf(spec);
    const thresholds = spec.thresholds ?? { default: noThresholds, high: noThresholds };
    this.limits = { default: new Limits(thresholds.default), high: new Limits(thresholds.high) };
    this.budgets = {
      default: new ConnectionBudget(Math.min(thresholds.default.connections, openMax)),
      high: new ConnectionBudget(Math.min(thresholds.high.connections, openMax)),
    };
    const hosts = hostSetOptionsOf(spec);
    this.#hosts = new HostSet(hosts, deps);
    this.#subsets = spec.subsets === undefined ? undefined : new Subsets(spec.subsets, hosts, deps);
    this.outliers = spec.outlier === undefined ? undefined : this.#detect(spec.outlier);
    const [check] = spec.healthChecks ?? [];
    this.checks = check === undefined ? undefined : this.#checking(check);
    this.#hasEndpoints = spec.type === "ORIGINAL_DST";
    if (spec.type === "STATIC") this.update(spec.endpoints);
  }

  /** It is in force: checks and sweeps begin. Before, there is nothing to be closed; afterwards, nothing to be done. */
  start(): void {
    if (this.#state !== "made") return;
    this.#state = "started";
    this.checks?.start();
    if (this.outliers !== undefined) this.#sweepLater(this.outliers, this.spec.outlier!);
  }

  get name(): string {
    return this.spec.name;
  }

  /** True once the endpoints are known, be there none. */
  get isWarm(): boolean {
    return this.#hasEndpoints;
  }

  /** The endpoints that may be picked without need. */
  get serving(): readonly Endpoint[] {
    return this.#members.filter(({ isHealthy }) => isHealthy);
  }

  /** All endpoints. */
  get members(): readonly Endpoint[] {
    return this.#members;
  }

  /** Results of tries matter to somebody. */
  get isWatching(): boolean {
    const { accrual, policy } = this.spec;
    return this.outliers !== undefined || accrual !== undefined || policy?.kind === "peakEWMA";
  }

  get connectionCount(): number {
    return this.budgets.default.open + this.budgets.high.open;
  }

  /** Connections made so far, those that failed among them. */
  get connectionTotal(): number {
    return this.budgets.default.total + this.budgets.high.total;
  }

  /** Connections that were wanted beyond max_connections so far: Envoy's upstream_cx_overflow. */
  get connectionOverflows(): number {
    return this.budgets.default.overflows + this.budgets.high.overflows;
  }

  /** Replaces the endpoints. */
  update(specs: readonly EndpointSpec[]): void {
    const next = new Map<string, Endpoint>();
    const nowMs = this.#deps.nowMs();
    for (const spec of specs) {
      // The workload is part of the identity: an address that moved to another pod has nothing to keep.
      const key = `${spec.address} ${spec.port} ${spec.workload}`;
      const known = this.#endpoints.get(key);
      known?.configure(spec, nowMs);
      next.set(key, known ?? new Endpoint(spec, this.budgets.default, this.#deps, this.#pool));
    }
    for (const [key, endpoint] of this.#endpoints) if (!next.has(key)) endpoint.close();
    this.#endpoints = next;
    this.#members = [...next.values()];
    this.#byAddress = undefined;
    this.checks?.update(this.#members);
    this.#arrange();
    this.#hasEndpoints = true;
  }

  /** The endpoint for the next try. */
  pick({ tried, destination, hash, metadataMatch }: PickRequest): Endpoint | undefined {
    if (this.spec.type === "ORIGINAL_DST")
      return destination === undefined ? undefined : this.#originalDestination(destination);
    const hosts = this.#subsets === undefined ? this.#hosts : this.#subsets.find(metadataMatch, this.#hosts);
    return hosts?.pick(tried, hash);
  }

  /** The endpoint at "ADDRESS:PORT", where it is one of this cluster's and healthy or degraded. */
  healthyAt(address: string): Endpoint | undefined {
    // Made with the first question: most clusters are never asked.
    this.#byAddress ??= new Map(this.#members.map((endpoint) => [addressOf(endpoint), endpoint]));
    const endpoint = this.#byAddress.get(address);
    return endpoint !== undefined && (endpoint.isHealthy || endpoint.isDegraded) ? endpoint : undefined;
  }

  /**
   * The connections of `endpoint` for requests that count in `limits`, one of the two of this cluster: those of one
   * priority are not what the others wait for.
   */
  poolOf(endpoint: Endpoint, limits: Limits): Pool {
    if (limits !== this.limits.high) return endpoint.pool;
    endpoint.highPool ??= new Pool(endpoint, this.budgets.high, this.#deps, this.#pool);
    return endpoint.highPool;
  }

  /** One try at `endpoint` is over; `tookMs` to its head. */
  report(endpoint: Endpoint, result: TryResult, tookMs: number): void {
    if (this.spec.policy?.kind === "peakEWMA") endpoint.observe(tookMs, this.#deps.nowMs());
    this.outliers?.report(endpoint, result);
    if (this.spec.accrual === undefined) return;
    const hasFailed = result.kind === "local" || result.status >= 500;
    if (hasFailed) endpoint.accrual ??= new FailureAccrual(this.spec.accrual, this.#deps.random, () => this.#arrange());
    endpoint.accrual?.report(hasFailed);
  }

  /** For a cluster that is gone: closes the idle connections. Requests in flight may still be retried here. */
  close(): void {
    this.#state = "closed";
    this.checks?.close();
    for (const endpoint of this.#endpoints.values()) endpoint.close();
  }

  /** Health has changed: who may be picked is looked up anew. */
  #arrange(): void {
    this.#hosts.update(this.#members);
    this.#subsets?.update(this.#members);
  }

  #detect(spec: OutlierSpec): OutlierDetector<Endpoint> {
    const { nowMs, random } = this.#deps;
    const onChange = (): void => this.#arrange();
    return new OutlierDetector<Endpoint>(spec, () => this.#members, { nowMs, random: () => random.next(), onChange });
  }

  /** Checks speak HTTP/1.1, so that they offer no protocol but those that the TLS context names. */
  #checking(spec: HealthCheckSpec): HealthChecker {
    const tls = this.spec.tls === undefined ? undefined : createUpstreamTLS(this.spec.tls);
    return new HealthChecker(spec, this.#deps, { tls, onChange: () => this.#arrange() });
  }

  #sweepLater(detector: OutlierDetector<Endpoint>, spec: OutlierSpec): void {
    this.#deps.after(spec.intervalMs, () => {
      if (this.#state === "closed") return;
      detector.sweep();
      this.#sweepLater(detector, spec);
    });
  }

  #originalDestination(to: SocketAddress): Endpoint {
    const key = `${to.address} ${to.port}`;
    let endpoint = this.#endpoints.get(key);
    if (endpoint === undefined) {
      const spec = { address: to.address, port: to.port, workload: "", isServing: true, priority: 0 };
      endpoint = new Endpoint(spec, this.budgets.default, this.#deps, this.#pool);
      const oldest = this.#endpoints.keys().next();
      if (this.#endpoints.size >= originalDestinationsMax && oldest.done !== true) {
        this.#endpoints.get(oldest.value)?.close();
        this.#endpoints.delete(oldest.value);
      }
    } else this.#endpoints.delete(key);
    // A map keeps the order of insertion: moved to its end, the first is the one unused for longest.
    this.#endpoints.set(key, endpoint);
    return endpoint;
  }
}

function hostSetOptionsOf({ policy, panicThreshold, overprovisioning, weighsLocalities }: ClusterSpec): HostSetOptions {
  return {
    policy: policy ?? { kind: "roundRobin", slowStart: undefined },
    panicThreshold: panicThreshold ?? 50,
    overprovisioning: overprovisioning ?? 140,
    weighsLocalities: weighsLocalities ?? false,
  };
}

/** Reads the certificates, so that a cluster that is accepted can connect. */
function poolOptionsOf({ tls, upstream = upstreamOptionsDefault }: ClusterSpec): PoolOptions {
  return { upstream, tls: tls === undefined ? undefined : createUpstreamTLS(tls, alpnFor(upstream.protocol)) };
}
