/**
 * Least request: of a few endpoints drawn by chance, the one with the fewest requests in flight. Where weights differ,
 * turns by weight instead, each weight lessened by the requests in flight.
 *
 * Source: Envoy's LEAST_REQUEST; Mitzenmacher, "The power of two choices" (2001).
 */
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { Balanced, Balancer, BalancingPolicy } from "./balancer.ts";
import { EarliestDeadline } from "./edf.ts";
import { pickAny } from "./random.ts";
import { weightAt } from "./slow-start.ts";

type Policy = Extract<BalancingPolicy, { kind: "leastRequest" }>;

export class LeastRequest<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #policy: Policy;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #random: Pick<Random, "next">;
  #endpoints: readonly Endpoint[] = [];
  #weighted: EarliestDeadline<Endpoint> | undefined;
  readonly #weightOf = (endpoint: Endpoint): number => {
    const { slowStart, activeRequestBias } = this.#policy;
    const weight = slowStart === undefined ? endpoint.weight : weightAt(endpoint, slowStart, this.#clock.monotonicMs());
    if (activeRequestBias === 0) return weight;
    const load = endpoint.activeRequests + 1;
    return weight / (activeRequestBias === 1 ? load : load ** activeRequestBias);
  };

  constructor(
    policy: Policy,
    { clock, random }: { readonly clock: Pick<Clock, "monotonicMs">; readonly random: Pick<Random, "next"> },
  ) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    const weight = endpoints[0]?.weight;
    const areEqual = this.#policy.slowStart === undefined && endpoints.every((endpoint) => endpoint.weight === weight);
    if (areEqual) this.#weighted = undefined;
    else (this.#weighted ??= new EarliestDeadline()).update(endpoints, this.#weightOf);
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    if (this.#weighted !== undefined) return this.#weighted.pick(tried, this.#weightOf);
    let best = pickAny(this.#endpoints, tried, this.#random);
    if (best === undefined || this.#endpoints.length === 1) return best;
    for (let choice = 1; choice < this.#policy.choiceCount; choice++) {
      const other = pickAny(this.#endpoints, tried, this.#random);
      if (other !== undefined && other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }
}
