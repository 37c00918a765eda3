/**
 * Whose turn it is among the endpoints that may serve: one interface for every policy.
 *
 *   cluster.ts (endpoints, tried, hash) ─▶ Balancer.pick() ─▶ endpoint
 *
 * Invariants of all: an endpoint that was tried in this request is picked again only when there is no other; an update
 * keeps what is known of endpoints that stay. Source: envoy.config.cluster.v3.Cluster.LbPolicy and Envoy's
 * load_balancers documentation; peak EWMA is linkerd2-proxy's.
 */
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import { LeastRequest } from "./least-request.ts";
import { Maglev } from "./maglev.ts";
import { PeakEWMA } from "./peak-ewma.ts";
import { RandomPick } from "./random.ts";
import { RingHash } from "./ring-hash.ts";
import { RoundRobin } from "./round-robin.ts";
import type { SlowStart } from "./slow-start.ts";

/** What balancers look at in an endpoint. */
export interface Balanced {
  /** Share of the requests, >= 1. */
  readonly weight: number;
  /** Requests in flight. */
  readonly activeRequests: number;
  /** What consistent hashing knows it by: its address and port, or its host name. */
  readonly hashKey: string;
  /** Since when it may serve, by the monotonic clock, in ms. */
  readonly servesSinceMs: number;
  /** How long it takes to answer, in ms: the higher of what was seen lately. */
  readonly latencyMs: (nowMs: number) => number;
}

export interface Balancer<Endpoint extends Balanced> {
  /** Replaces the endpoints. */
  update(endpoints: readonly Endpoint[]): void;
  /** `hash` undefined: the request has none. Undefined: there is no endpoint. */
  pick(tried: readonly Endpoint[], hash: bigint | undefined): Endpoint | undefined;
}

export type BalancingPolicy =
  | { readonly kind: "roundRobin"; readonly slowStart: SlowStart | undefined }
  | {
      readonly kind: "leastRequest";
      readonly slowStart: SlowStart | undefined;
      /** Endpoints that are compared, >= 2. Default 2. */
      readonly choiceCount: number;
      /** How much a request in flight counts where weights differ, >= 0. Default 1. */
      readonly activeRequestBias: number;
    }
  | { readonly kind: "peakEWMA" }
  | { readonly kind: "random" }
  | { readonly kind: "ringHash"; readonly sizeMin: number; readonly sizeMax: number }
  /** A prime. Default 65,537. */
  | { readonly kind: "maglev"; readonly tableSize: number };

export function createBalancer<Endpoint extends Balanced>(
  policy: BalancingPolicy,
  deps: { readonly clock: Pick<Clock, "monotonicMs">; readonly random: Pick<Random, "next"> },
): Balancer<Endpoint> {
  switch (policy.kind) {
    case "roundRobin":
      return new RoundRobin(policy.slowStart, deps.clock);
    case "leastRequest":
      return new LeastRequest(policy, deps);
    case "peakEWMA":
      return new PeakEWMA(deps);
    case "random":
      return new RandomPick(deps.random);
    case "ringHash":
      return new RingHash(policy, deps.random);
    case "maglev":
      return new Maglev(policy, deps.random);
  }
}
