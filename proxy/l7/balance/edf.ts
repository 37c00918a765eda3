/**
 * Earliest deadline first: exact weighted turns, with weights that may change between any two of them.
 *
 *   pick(weightOf) ─▶ the entry that is due first, due again 1 / weight later
 *
 * Invariants: over any stretch of turns an endpoint gets its share, give or take one; endpoints of equal weight take
 * turns in the order given. Source: Envoy's EdfScheduler.
 */
interface Entry<Endpoint> {
  readonly endpoint: Endpoint;
  /** Of endpoints due at the same moment, the lower goes first. */
  order: number;
  due: number;
}

/** Two moments that differ by less are the same: sums of fractions are not exact. */
const closeness = 1e-9;

export class EarliestDeadline<Endpoint> {
  /** A binary heap. */
  #heap: Entry<Endpoint>[] = [];
  #now = 0;
  #orders = 0;

  /** Endpoints that stay keep their turn; new ones come after one stretch of their own. */
  update(endpoints: readonly Endpoint[], weightOf: (endpoint: Endpoint) => number): void {
    const known = new Map(this.#heap.map((entry) => [entry.endpoint, entry]));
    this.#heap = [];
    for (const endpoint of endpoints) {
      const entry = known.get(endpoint) ?? { endpoint, order: this.#orders++, due: this.#now + 1 / weightOf(endpoint) };
      this.#push(entry);
    }
  }

  /** The next that is not in `tried`, else the next. A retry takes no turn. */
  pick(tried: readonly Endpoint[], weightOf: (endpoint: Endpoint) => number): Endpoint | undefined {
    const first = this.#heap[0];
    if (first === undefined) return undefined;
    if (tried.length > 0) return this.#other(tried) ?? first.endpoint;
    this.#now = first.due;
    first.due += 1 / weightOf(first.endpoint);
    first.order = this.#orders++;
    this.#sink(0);
    return first.endpoint;
  }

  /** Retries are rare: looking at all is well. */
  #other(tried: readonly Endpoint[]): Endpoint | undefined {
    let best: Entry<Endpoint> | undefined;
    for (const entry of this.#heap)
      if (!tried.includes(entry.endpoint) && (best === undefined || isBefore(entry, best))) best = entry;
    return best?.endpoint;
  }

  #push(entry: Entry<Endpoint>): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(entry, heap[above]!)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = entry;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const entry = heap[from]!;
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
      if (!isBefore(heap[below]!, entry)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = entry;
  }
}

function isBefore<Endpoint>(one: Entry<Endpoint>, other: Entry<Endpoint>): boolean {
  const difference = one.due - other.due;
  return Math.abs(difference) < closeness ? one.order < other.order : difference < 0;
}
