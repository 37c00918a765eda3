/** A random endpoint; weights do not count, as in Envoy. Also how others pick what chance decides. */
import type { Random } from "#lib/random.ts";
import type { Balanced, Balancer } from "./balancer.ts";

/** Picks by chance before the untried are listed: with few tried, one of them is found at once as a rule. */
const luckyPicks = 3;

/** One of `endpoints` by chance that is not in `tried`, else any. */
export function pickAny<Endpoint>(
  endpoints: readonly Endpoint[],
  tried: readonly Endpoint[],
  random: Pick<Random, "next">,
): Endpoint | undefined {
  const one = (from: readonly Endpoint[]): Endpoint | undefined => from[Math.floor(random.next() * from.length)];
  if (tried.length === 0) return one(endpoints);
  for (let pick = 0; pick < luckyPicks; pick++) {
    const endpoint = one(endpoints);
    if (endpoint === undefined || !tried.includes(endpoint)) return endpoint;
  }
  const untried = endpoints.filter((endpoint) => !tried.includes(endpoint));
  return one(untried.length > 0 ? untried : endpoints);
}

export class RandomPick<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #random: Pick<Random, "next">;
  #endpoints: readonly Endpoint[] = [];

  constructor(random: Pick<Random, "next">) {
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
  }

  pick(tried: readonly Endpoint[]): Endpoint | undefined {
    return pickAny(this.#endpoints, tried, this.#random);
  }
}
