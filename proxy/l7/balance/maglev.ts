/**
 * Maglev: a table in which every endpoint has its share of the places, filled in turns by each endpoint's own
 * permutation. A look-up is one division.
 *
 * Source: Eisenbud et al., "Maglev" (NSDI 2016), section 3.4; seeds and weights as in Envoy's MAGLEV.
 */
import type { Random } from "#lib/random.ts";
import { xxHash64 } from "../route/xxhash.ts";
import type { Balanced, Balancer, BalancingPolicy } from "./balancer.ts";
import { drawHash } from "./draw-hash.ts";

type Policy = Extract<BalancingPolicy, { kind: "maglev" }>;

/** An endpoint while the table is filled. */
interface Builder {
  readonly offset: number;
  readonly skip: number;
  /** Of the heaviest. */
  readonly weight: number;
  /** Takes a place when it reaches the round. */
  target: number;
  next: number;
}

export class Maglev<Endpoint extends Balanced> implements Balancer<Endpoint> {
  readonly #size: number;
  readonly #random: Pick<Random, "next">;
  #endpoints: readonly Endpoint[] = [];
  #table: Uint32Array = new Uint32Array();

  constructor({ tableSize }: Policy, random: Pick<Random, "next">) {
    this.#size = tableSize;
    this.#random = random;
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints;
    this.#table = endpoints.length === 0 ? new Uint32Array() : this.#fill(endpoints);
  }

  pick(tried: readonly Endpoint[], hash: bigint | undefined): Endpoint | undefined {
    if (this.#endpoints.length === 0) return undefined;
    const first = Number((hash ?? drawHash(this.#random)) % BigInt(this.#size));
    const owner = this.#endpoints[this.#table[first]!]!;
    if (tried.length === 0 || !tried.includes(owner)) return owner;
    for (let step = 1; step < this.#size; step++) {
      const other = this.#endpoints[this.#table[(first + step) % this.#size]!]!;
      if (!tried.includes(other)) return other;
    }
    return owner;
  }

  #fill(endpoints: readonly Endpoint[]): Uint32Array {
    const size = this.#size;
    const heaviest = Math.max(...endpoints.map(({ weight }) => weight));
    const builders = endpoints.map(({ hashKey, weight }): Builder => {
      const key = Buffer.from(hashKey, "latin1");
      const offset = Number(xxHash64(key) % BigInt(size));
      const skip = Number(xxHash64(key, 1n) % BigInt(size - 1)) + 1;
      return { offset, skip, weight: weight / heaviest, target: 0, next: 0 };
    });
    const table = new Uint32Array(size);
    const taken = new Uint8Array(size);
    let filled = 0;
    for (let round = 1; filled < size; round++)
      for (let at = 0; at < builders.length && filled < size; at++) {
        const builder = builders[at]!;
        if (round * builder.weight < builder.target) continue;
        builder.target += 1;
        let place = placeOf(builder, size);
        while (taken[place] === 1) {
          builder.next++;
          place = placeOf(builder, size);
        }
        table[place] = at;
        taken[place] = 1;
        builder.next++;
        filled++;
      }
    return table;
  }
}

function placeOf({ offset, skip, next }: Builder, size: number): number {
  return (offset + skip * next) % size;
}
