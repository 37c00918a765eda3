/**
 * Peak EWMA: of two endpoints drawn by chance, the one that will answer sooner by what it showed lately: its latency
 * times the requests that wait for it.
 *
 *   answers (observe) ─▶ Latency: up at once to a peak, down slowly ─▶ PeakEWMA.pick()
 *
 * Source: linkerd2-proxy's p2c balancer over tower's PeakEwma; 30 ms at first, decay 10 s.
 */
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { Balanced, Balancer } from "./balancer.ts";
import { pickAny } from "./random.ts";

/** What is expected of an endpoint of which nothing is known, in ms. */
const firstMs = 30;
/** Time in which what was seen loses all but 1/e of its weight, in ms. */
const decayMs = 10_000;

/** An endpoint's latency over time. */
export class Latency {
  #ms = firstMs;
  #sinceMs: number;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** One answer took `tookMs`. */
  observe(tookMs: number, nowMs: number): void {
    const rest = Math.exp(-Math.max(0, nowMs - this.#sinceMs) / decayMs);
    this.#ms = tookMs > this.#ms ? tookMs : tookMs + (this.#ms - tookMs) * rest;
    this.#sinceMs = nowMs;
  }

  /** What was seen counts less with time: an endpoint that was slow once is asked again. */
  at(nowMs: number): number {
    return this.#ms * Math.exp(-Math.max(0, nowMs - this.#sinceMs) / decayMs);
  }
}

export class PeakEWMA<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #random: Pick<Random, "next">;
  #endpoints: readonly Endpoint[] = [];

  constructor({
    clock,
    random,
  }: {
    readonly clock: Pick<Clock, "monotonicMs">;
    readonly random: Pick<Random, "next">;
  }) {
    this.#clock = clock;
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    const one = pickAny(this.#endpoints, tried, this.#random);
    if (one === undefined || this.#endpoints.length === 1) return one;
    const other = pickAny(this.#endpoints, tried.length === 0 ? [one] : [...tried, one], this.#random);
    if (other === undefined || tried.includes(other)) return one;
    const nowMs = this.#clock.monotonicMs();
    const cost = (endpoint: Endpoint): number => endpoint.latencyMs(nowMs) * (endpoint.activeRequests + 1);
    return cost(other) < cost(one) ? other : one;
  }
}
