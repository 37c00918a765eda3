/**
 * Slow start: an endpoint that is new gets a growing part of its weight. Pure.
 *
 * Source: envoy.config.cluster.v3.Cluster.SlowStartConfig.
 */
import type { Balanced } from "./balancer.ts";

export interface SlowStart {
  /** For so long, in ms, > 0. */
  readonly windowMs: number;
  /** 1 grows evenly, more grows sooner, less later. Default 1. */
  readonly aggression: number;
  /** Of its weight, it has at least this part. Default 0.1. */
  readonly weightMin: number;
}

/** The weight of `endpoint` at `nowMs`. */
export function weightAt(endpoint: Balanced, slowStart: SlowStart, nowMs: number): number {
  const ageMs = Math.max(nowMs - endpoint.servesSinceMs, 1);
  if (ageMs >= slowStart.windowMs) return endpoint.weight;
  const part = (ageMs / slowStart.windowMs) ** (1 / slowStart.aggression);
  return endpoint.weight * Math.max(part, slowStart.weightMin);
}
