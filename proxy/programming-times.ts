/**
 * How long changes of endpoints took, from when they happened to when the kernel holds them: kube-proxy's network
 * programming latency.
 *
 *   state.ts ─ put() ─▶ what waits ─ take() at a flush's start ─▶ tell() at its end ─▶ ProxyMetrics
 *
 * What happened before this proxy was made is not its doing, and not told. Source: kubernetes
 * pkg/proxy/endpointschangetracker.go. The clocks of nodes may differ; a time below 0 is told as 0.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock } from "#lib/clock.ts";
import { type Family, familyOf, normalizeAddress } from "./l4/ip.ts";
import type { ProxyMetrics } from "./metrics.ts";

interface Change {
  /** Wall-clock time, in ms. */
  readonly happenedMs: number;
  readonly families: ReadonlySet<Family>;
}

export interface ProgrammingTimesOptions {
  readonly clock: Clock;
  readonly metrics: ProxyMetrics;
}

export class ProgrammingTimes {
  readonly #clock: Clock;
  readonly #metrics: ProxyMetrics;
  readonly #startMs: number;
  /** By Service: of several changes the first one, for it has waited longest. */
  #waiting = new Map<string, Change>();

  constructor({ clock, metrics }: ProgrammingTimesOptions) {
    this.#clock = clock;
    this.#metrics = metrics;
    this.#startMs = clock.nowMs();
  }

  /** A Service was replaced by `after`. Without a later time than `before` had, its endpoints did not change. */
  put(name: string, before: ServiceResource | undefined, after: ServiceResource | undefined): void {
    if (after === undefined) return void this.#waiting.delete(name);
    const { changedMs, clusterIPs } = after;
    if (changedMs <= Math.max(this.#startMs, before?.changedMs ?? 0) || this.#waiting.has(name)) return;
    const families = new Set(clusterIPs.flatMap((each) => normalizeAddress(each) ?? []).map(familyOf));
    this.#waiting.set(name, { happenedMs: changedMs, families });
  }

  /** What waits now. Call the result once the kernel holds it. */
  take(): () => void {
    const taken = this.#waiting;
    this.#waiting = new Map();
    return () => {
      const nowMs = this.#clock.nowMs();
      for (const { happenedMs, families } of taken.values())
        for (const family of families) this.#metrics.programmed(family, Math.max(0, nowMs - happenedMs));
    };
  }
}
