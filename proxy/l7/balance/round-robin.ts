/**
 * Round-robin: each endpoint in its turn, by weight.
 *
 * Invariants: where weights are equal, n picks over n endpoints pick each once, and an update keeps the position, so
 * that a change does not send a burst to the first one; where they differ, shares are exact (edf.ts).
 */
import type { Clock } from "#lib/clock.ts";
import type { Balanced, Balancer } from "./balancer.ts";
import { EarliestDeadline } from "./edf.ts";
import { type SlowStart, weightAt } from "./slow-start.ts";

export class RoundRobin<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #slowStart: SlowStart | undefined;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #endpoints: readonly Endpoint[] = [];
  #position = 0;
  /** Undefined while all weigh the same, now and later. */
  #weighted: EarliestDeadline<Endpoint> | undefined;
  readonly #weightOf = (endpoint: Endpoint): number =>
    this.#slowStart === undefined ? endpoint.weight : weightAt(endpoint, this.#slowStart, this.#clock.monotonicMs());

  constructor(slowStart: SlowStart | undefined, clock: Pick<Clock, "monotonicMs">) {
    this.#slowStart = slowStart;
    this.#clock = clock;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    const weight = endpoints[0]?.weight;
    const areEqual = this.#slowStart === undefined && endpoints.every((endpoint) => endpoint.weight === weight);
    if (areEqual) this.#weighted = undefined;
    else (this.#weighted ??= new EarliestDeadline()).update(endpoints, this.#weightOf);
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    if (this.#weighted !== undefined) return this.#weighted.pick(tried, this.#weightOf);
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (count === 0) return undefined;
    for (let step = 0; step < count; step++) {
      const at = (this.#position + step) % count;
      const endpoint = endpoints[at]!;
      if (tried.length > 0 && tried.includes(endpoint)) continue;
      // A retry takes no turn: with one endpoint of two down, each request would otherwise start at the one that is
      // down.
      if (tried.length === 0) this.#position = (at + 1) % count;
      return endpoint;
    }
    const endpoint = endpoints[this.#position % count]!;
    this.#position = (this.#position + 1) % count;
    return endpoint;
  }
}
