/**
 * Smooth weighted round-robin: exact shares, spread evenly, no chance involved.
 *
 *   weighted_clusters ─▶ SmoothWeighted.pick() ─▶ index of the cluster
 *
 * Invariant: over any sum-of-weights picks in a row from the start, entry i is picked exactly weights[i] times.
 * A canary at 10 % gets every tenth request, not "about" a tenth, so that small tests see what they configured.
 * Source: nginx, ngx_http_upstream_round_robin.c ("smooth weighted round-robin", 2012).
 */
export class SmoothWeighted {
  readonly #weights: readonly number[];
  readonly #credits: number[];
  readonly #total: number;

  /** `weights`: integers >= 0, at least one of them positive. */
  constructor(weights: readonly number[]) {
    this.#weights = weights;
    this.#credits = weights.map(() => 0);
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
  }

  /** The index of the entry that a random number falls to, by shares of the total. */
  at(random: number): number {
    let left = random % this.#total;
    for (let at = 0; at < this.#weights.length; at++) {
      left -= this.#weights[at]!;
      if (left < 0) return at;
    }
    return this.#weights.length - 1;
  }

  /** The index of the next entry. Each entry earns its weight; the richest is picked and pays the total. */
  pick(): number {
    let best = -1;
    for (let at = 0; at < this.#weights.length; at++) {
      const weight = this.#weights[at]!;
      if (weight === 0) continue;
      this.#credits[at]! += weight;
      if (best < 0 || this.#credits[at]! > this.#credits[best]!) best = at;
    }
    this.#credits[best]! -= this.#total;
    return best;
  }
}
