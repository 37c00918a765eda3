/**
 * The tries of one request: which endpoints they were at, and what of the cluster's limits they hold.
 *
 *   exchange.ts ─▶ begin() ─▶ start() ─▶ report() ─▶ [mayRetry() ─▶ start() …] ─▶ end()
 *
 * Invariant: what was taken is given back once, whatever way the request ends.
 */
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Limits } from "./resilience/limits.ts";
import type { TryResult } from "./resilience/outlier.ts";
import { type TriedRequest, type TryEnd, shouldRetry } from "./retry.ts";
import { type RequestHash, hashOf } from "./route/hash.ts";
import type { ForwardPlan } from "./route/plan.ts";
import type { RetryPolicy, RoutingPriority } from "./route/types.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";

const none: readonly Endpoint[] = [];

/** The request, as its tries need it. */
export interface TriesOwner {
  /** The time of one try passed. */
  onTryTimeout(): void;
}

export class Tries {
  readonly #deps: EngineDeps;
  readonly #owner: TriesOwner;
  /** Made for the second try. */
  #tried: Endpoint[] | undefined;
  #cluster: Cluster | undefined;
  #limits: Limits | undefined;
  #endpoint: Endpoint | undefined;
  /** Where the route has hash policies. */
  #hash: RequestHash | undefined;
  #holdsRetry = false;
  /** It waits for a connection. */
  #isPending = false;
  #startMs = 0;
  /** Made for the first try that has a limit. */
  #deadline: Deadline | undefined;

  constructor(deps: EngineDeps, owner: TriesOwner) {
    this.#deps = deps;
    this.#owner = owner;
  }

  /** Of all tries that are over. */
  get tried(): readonly Endpoint[] {
    return this.#tried ?? none;
  }

  /** False: the cluster has all the requests it may have. */
  begin(cluster: Cluster, priority: RoutingPriority): boolean {
    const limits = cluster.limits[priority];
    if (!limits.take("requests")) return false;
    this.#cluster = cluster;
    this.#limits = limits;
    return true;
  }

  /** The endpoint for the next try. */
  pick(
    { route, head, metadataMatch }: ForwardPlan,
    { destination, remoteAddress }: ConnectionInfo,
  ): Endpoint | undefined {
    if (route.hashPolicies.length > 0 && this.#hash === undefined) {
      const newCookie = (): string => Buffer.from(this.#deps.random.bytes(8)).toString("hex");
      this.#hash = hashOf(route.hashPolicies, head, { remoteAddress, newCookie });
    }
    return this.#cluster?.pick({ tried: this.tried, destination, hash: this.#hash?.hash, metadataMatch });
  }

  /** The cookie that the request's hash made, for its answer. */
  get setCookie(): string | undefined {
    return this.#hash?.setCookie;
  }

  /** One try at `endpoint`, from `nowMs`; `limitMs` 0 is no limit of its own. */
  start(endpoint: Endpoint, nowMs: number, limitMs: number): void {
    this.#endpoint = endpoint;
    endpoint.activeRequests++;
    endpoint.accrual?.begin();
    this.#startMs = nowMs;
    if (limitMs === 0) return;
    this.#deadline ??= new Deadline(() => this.#owner.onTryTimeout());
    this.#deps.wheel.arm(this.#deadline, nowMs + limitMs);
  }

  /** The try waits for a connection. False: as many wait as may. */
  wait(): boolean {
    this.#isPending = this.#limits?.take("pending") ?? false;
    return this.#isPending;
  }

  /** The connection is there, or the try is over. */
  endWait(): void {
    if (!this.#isPending) return;
    this.#isPending = false;
    this.#limits?.release("pending");
  }

  /** The head of the response is there, or the try has failed: its endpoint is judged by it. */
  report(result: TryResult): void {
    if (this.#deadline !== undefined) this.#deps.wheel.cancel(this.#deadline);
    const cluster = this.#cluster;
    if (this.#endpoint !== undefined && cluster?.isWatching === true)
      cluster.report(this.#endpoint, result, this.#deps.nowMs() - this.#startMs);
  }

  /** True when the try may be made again, and the cluster has room for a retry: which is taken. */
  mayRetry(policy: RetryPolicy | undefined, end: TryEnd, request: Omit<TriedRequest, "retries">): boolean {
    this.#releaseRetry();
    if (!shouldRetry(policy, end, { ...request, retries: this.tried.length })) return false;
    this.#holdsRetry = this.#limits?.take("retries") ?? false;
    if (!this.#holdsRetry) return false;
    const endpoint = this.#endpoint!;
    this.#leave();
    (this.#tried ??= []).push(endpoint);
    this.#deps.counters.retries++;
    return true;
  }

  end(): void {
    this.#leave();
    this.#releaseRetry();
    this.#limits?.release("requests");
    this.#limits = undefined;
    if (this.#deadline !== undefined) this.#deps.wheel.cancel(this.#deadline);
  }

  #leave(): void {
    this.endWait();
    if (this.#endpoint === undefined) return;
    this.#endpoint.activeRequests--;
    this.#endpoint.accrual?.abandon();
    this.#endpoint = undefined;
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#limits?.release("retries");
  }
}
