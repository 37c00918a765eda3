/**
 * Round-robin over the endpoints that may serve, one step a request.
 *
 *   cluster.ts (serving endpoints) + tried in this request ─▶ pick() ─▶ endpoint
 *
 * Invariants: with nothing tried, n picks over n endpoints pick each once; a tried endpoint is picked again only when
 * there is no other. An update of the endpoints keeps the position, so that a change does not send a burst to the first
 * one.
 */
export class RoundRobin<Endpoint> {
  #position = 0;

  /** The next of `endpoints` that is not in `tried`, else the next one, else undefined. */
  pick(endpoints: readonly Endpoint[], tried: readonly Endpoint[]): Endpoint | undefined {
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
