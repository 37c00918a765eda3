/**
 * The tries of one request: which endpoints they were at, and what of the cluster's limits they hold.
 *
 *   exchange.ts ─▶ begin() ─▶ start() ─▶ report() ─▶ [mayRetry() ─▶ start() …] ─▶ end()
 *
 * Invariant: what was taken is given back once, whatever way the request ends.
 */
import type { Cluster } from "./cluster.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Limits } from "./resilience/limits.ts";
import type { TryResult } from "./resilience/outlier.ts";
import { type TriedRequest, type TryEnd, shouldRetry } from "./retry.ts";
import type { RetryPolicy, RoutingPriority } from "./route/types.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";

export class Tries {
  /** Of all tries that are over. */
  readonly tried: Endpoint[] = [];
  readonly #deps: EngineDeps;
  readonly #onTimeout: () => void;
  #cluster: Cluster | undefined;
  #limits: Limits | undefined;
  #endpoint: Endpoint | undefined;
  #holdsRetry = false;
  #startMs = 0;
  /** Made for the first try that has a limit. */
  #deadline: Deadline | undefined;

  /** `onTimeout`: the time of one try passed. */
  constructor(deps: EngineDeps, onTimeout: () => void) {
    this.#deps = deps;
    this.#onTimeout = onTimeout;
  }

  /** False: the cluster has all the requests it may have. */
  begin(cluster: Cluster, priority: RoutingPriority): boolean {
    const limits = cluster.limits[priority];
    if (!limits.take("requests")) return false;
    this.#cluster = cluster;
    this.#limits = limits;
    return true;
  }

  /** One try at `endpoint`, from `nowMs`; `limitMs` 0 is no limit of its own. */
  start(endpoint: Endpoint, nowMs: number, limitMs: number): void {
    this.#endpoint = endpoint;
    endpoint.activeRequests++;
    this.#startMs = nowMs;
    if (limitMs === 0) return;
    this.#deadline ??= new Deadline(this.#onTimeout);
    this.#deps.wheel.arm(this.#deadline, nowMs + limitMs);
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
    this.tried.push(endpoint);
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
    if (this.#endpoint === undefined) return;
    this.#endpoint.activeRequests--;
    this.#endpoint = undefined;
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#limits?.release("retries");
  }
}
