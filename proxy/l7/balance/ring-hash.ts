/**
 * Ring hash: each endpoint has places on a ring, as many as its weight says; a request goes to the first place at or
 * behind its hash. A change of one endpoint moves the requests of that endpoint alone, as good as.
 *
 * Source: Envoy's RING_HASH ("ketama"): places are xxHash64 of "KEY_NUMBER"; the ring has sizeMin places at least, and
 * so many that the lightest endpoint has a whole number of them.
 */
import type { Random } from "#lib/random.ts";
import { xxHash64 } from "../route/xxhash.ts";
import type { Balanced, Balancer, BalancingPolicy } from "./balancer.ts";
import { drawHash } from "./draw-hash.ts";

type Policy = Extract<BalancingPolicy, { kind: "ringHash" }>;

export class RingHash<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #policy: Policy;
  readonly #random: Pick<Random, "next">;
  #places: BigUint64Array = new BigUint64Array();
  #owners: readonly Endpoint[] = [];

  constructor(policy: Policy, random: Pick<Random, "next">) {
    this.#policy = policy;
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    const total = endpoints.reduce((sum, { weight }) => sum + weight, 0);
    const lightest = Math.min(...endpoints.map(({ weight }) => weight / total));
    const size = Math.min(Math.ceil(lightest * this.#policy.sizeMin) / lightest, this.#policy.sizeMax);
    const places: { readonly hash: bigint; readonly owner: Endpoint }[] = [];
    let wanted = 0;
    let placed = 0;
    for (const owner of endpoints) {
      wanted += (owner.weight / total) * size;
      for (let number = 0; placed < wanted; number++, placed++)
        places.push({ hash: xxHash64(Buffer.from(`${owner.hashKey}_${number}`, "latin1")), owner });
    }
    places.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
    this.#places = BigUint64Array.from(places, ({ hash }) => hash);
    this.#owners = places.map(({ owner }) => owner);
  }

  pick(tried: readonly Endpoint[], hash: bigint | undefined): Endpoint | undefined {
    const count = this.#owners.length;
    if (count === 0) return undefined;
    const first = this.#indexOf(hash ?? drawHash(this.#random));
    if (tried.length === 0) return this.#owners[first];
    // Onwards along the ring, so that retries of one hash agree, too.
    for (let step = 0; step < count; step++) {
      const owner = this.#owners[(first + step) % count]!;
      if (!tried.includes(owner)) return owner;
    }
    return this.#owners[first];
  }

  /** The first place at or behind `hash`; behind the last comes the first. */
  #indexOf(hash: bigint): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#places[middle]! < hash) low = middle + 1;
      else high = middle;
    }
    return low === this.#places.length ? 0 : low;
  }
}
