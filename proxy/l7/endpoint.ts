/**
 * One address of a cluster: its connections, and what is known of its health and its speed. Identity matters: an
 * endpoint that stays over an update keeps all of it.
 */
import type { Metadata } from "./accesslog/types.ts";
import type { Balanced } from "./balance/balancer.ts";
import { Latency } from "./balance/peak-ewma.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import { Pool, type PoolOptions } from "./pool.ts";
import type { FailureAccrual } from "./resilience/accrual.ts";
import { OutlierState } from "./resilience/outlier.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

export class Endpoint implements SocketAddress, Balanced {
  readonly address: string;
  readonly port: number;
  /** Istio's `istio.workload` metadata, or empty. */
  readonly workload: string;
  /** The name by which it was configured, or its address. */
  readonly hostname: string;
  readonly hashKey: string;
  /** Its connections for requests of priority DEFAULT, and for TCP. */
  readonly pool: Pool;
  /** Those for requests of priority HIGH: from the first of them on (cluster.ts). */
  highPool: Pool | undefined;
  readonly outlier: OutlierState = new OutlierState();
  /** From its first failure on, in clusters that have a breaker. */
  accrual: FailureAccrual | undefined;
  activeRequests = 0;
  /** Tries that had a connection so far, and TCP connections: Envoy's rq_total of a host. */
  requestTotal = 0;
  /** Tries so far that were answered with less than 500, that failed, and those of them whose time passed. */
  requestSuccesses = 0;
  requestErrors = 0;
  requestTimeouts = 0;
  servesSinceMs: number;
  /** What active health checks say; true without any. */
  isChecked = true;
  #spec: EndpointSpec;
  #latency: Latency | undefined;

  constructor(spec: EndpointSpec, budget: ConnectionBudget, deps: EngineDeps, options?: PoolOptions) {
    this.address = spec.address;
    this.port = spec.port;
    this.workload = spec.workload;
    this.hostname = spec.hostname ?? spec.address;
    this.hashKey = spec.hashKey ?? `${spec.address}:${spec.port}`;
    this.pool = new Pool(spec, budget, deps, options);
    this.servesSinceMs = deps.nowMs();
    this.#spec = spec;
  }

  /** The same address, configured anew. */
  configure(spec: EndpointSpec, nowMs: number): void {
    if (spec.isServing && !this.#spec.isServing) this.servesSinceMs = nowMs;
    this.#spec = spec;
  }

  get weight(): number {
    return this.#spec.weight ?? 1;
  }

  get priority(): number {
    return this.#spec.priority;
  }

  get locality(): string {
    return this.#spec.locality ?? "";
  }

  get localityWeight(): number {
    return this.#spec.localityWeight ?? 1;
  }

  /** As it was configured, for logs and header values. */
  get filterMetadata(): Metadata | undefined {
    return this.#spec.filterMetadata;
  }

  /** Of `envoy.lb`, as JSON texts by key. */
  get metadata(): ReadonlyMap<string, string> {
    return this.#spec.metadata ?? noMetadata;
  }

  /** May be picked without need. */
  get isHealthy(): boolean {
    return this.#spec.isDegraded !== true && this.#isAvailable;
  }

  /** May be picked where the healthy ones are not enough. */
  get isDegraded(): boolean {
    return this.#spec.isDegraded === true && this.#isAvailable;
  }

  get #isAvailable(): boolean {
    return this.#spec.isServing && this.isChecked && !this.outlier.isEjected && this.accrual?.isAdmitting !== false;
  }

  /** Connections of both priorities that are open or in the making. */
  get connectionCount(): number {
    return this.pool.openCount + (this.highPool?.openCount ?? 0);
  }

  /** Connections of both priorities made so far, those that failed among them. */
  get connectionTotal(): number {
    return this.pool.madeCount + (this.highPool?.madeCount ?? 0);
  }

  /** Those that did not come about. */
  get connectFailures(): number {
    return this.pool.failedCount + (this.highPool?.failedCount ?? 0);
  }

  /** It has left its cluster: idle connections are closed, others with their responses. */
  close(): void {
    this.pool.close();
    this.highPool?.close();
    this.accrual?.close();
  }

  /** One answer took `tookMs`. */
  observe(tookMs: number, nowMs: number): void {
    (this.#latency ??= new Latency(nowMs)).observe(tookMs, nowMs);
  }

  latencyMs(nowMs: number): number {
    return (this.#latency ??= new Latency(nowMs)).at(nowMs);
  }
}

const noMetadata: ReadonlyMap<string, string> = new Map();

/** An endpoint as configured. */
export interface EndpointSpec extends SocketAddress {
  readonly workload: string;
  /** What auto_host_rewrite sends as Host; default the address. */
  readonly hostname?: string;
  /** What consistent hashing knows it by; default "ADDRESS:PORT". */
  readonly hashKey?: string;
  /** May be picked: health UNKNOWN, HEALTHY or DEGRADED. */
  readonly isServing: boolean;
  /** Health DEGRADED: only where the healthy ones are not enough. Default false. */
  readonly isDegraded?: boolean;
  /** 0 is used while it has serving endpoints, then 1, and so on. */
  readonly priority: number;
  /** Default 1. */
  readonly weight?: number;
  /** "region/zone/sub_zone"; default empty. */
  readonly locality?: string;
  /** Of its locality; default 1. */
  readonly localityWeight?: number;
  /** `envoy.lb` metadata, for subsets: key → JSON text of the value. */
  readonly metadata?: ReadonlyMap<string, string>;
  readonly filterMetadata?: Metadata | undefined;
}
