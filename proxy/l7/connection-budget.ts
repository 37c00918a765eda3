/**
 * How many connections a cluster may have for requests of one priority, and who waits for one.
 *
 *   pool.ts ─▶ take() ─▶ a connection     │ wait() ─▶ Waiting.dial() at a release(), or the pool's next idle connection
 *
 * Invariants: never more than `max`, but for one of each endpoint, up to `openMax`; who waits is served in order, first those whose
 * endpoint a connection is at; at most `waitingMax` wait, however much the circuit breakers allow.
 * Source: Envoy's max_connections and max_pending_requests; an endpoint that has no connection may always make one.
 */

/** Most upstream connections of one cluster for each priority, whatever its thresholds say. */
export const openMax = 16_384;
/** Most requests that wait for a connection of one cluster, for each priority. */
const waitingMax = 4096;

/** A request that waits for a connection. */
export interface Waiting {
  /** The pool of the endpoint that it was sent to. */
  readonly pool: object;
  /** There is room for a connection of its own, which it takes. */
  dial(): void;
}

export class ConnectionBudget {
  readonly max: number;
  #open = 0;
  /** Connections made so far, those that failed among them. */
  total = 0;
  /** Connections that were wanted beyond `max`, those that were made all the same among them. */
  overflows = 0;
  /** Connections that did not come about, those whose time passed among them, and those alone. */
  connectFailures = 0;
  connectTimeouts = 0;
  /** Tries that waited for a connection that did not come about: Envoy's upstream_rq_pending_failure_eject. */
  ejectedRequests = 0;
  readonly #waiting = new Set<Waiting>();

  constructor(max: number) {
    this.max = max;
  }

  get open(): number {
    return this.#open;
  }

  /** There would be room for another if one were closed. */
  get isRoomAfterOne(): boolean {
    return this.#open <= this.max;
  }

  get hasWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** Room for one more connection; false when there is none. `isForced`: beyond `max`, up to `openMax`. */
  take(isForced = false): boolean {
    if (this.#open >= this.max) {
      this.overflows++;
      if (!isForced || this.#open >= openMax) return false;
    }
    this.#open++;
    this.total++;
    return true;
  }

  /** A connection did not come about, and `requests` waited for it; its place is given back apart. */
  countFailure(isTimeout: boolean, requests: number): void {
    this.connectFailures++;
    if (isTimeout) this.connectTimeouts++;
    this.ejectedRequests += requests;
  }

  /**
   * A connection of `pool` is gone: who waits for longest may make another. `wasLast`: who waits for the pool comes
   * first, and may make one however many there are, because nothing else would ever serve it.
   */
  release(pool: object, wasLast: boolean): void {
    this.#open--;
    let next = wasLast ? this.firstOf(pool) : undefined;
    if (next === undefined && this.#open < this.max) [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next.dial();
  }

  /** False when too many wait. */
  wait(waiting: Waiting): boolean {
    if (this.#waiting.size >= waitingMax) return false;
    this.#waiting.add(waiting);
    return true;
  }

  /** True when it was still waiting. */
  leave(waiting: Waiting): boolean {
    return this.#waiting.delete(waiting);
  }

  /** Who waits for a connection of `pool` for longest. */
  firstOf(pool: object): Waiting | undefined {
    for (const waiting of this.#waiting) if (waiting.pool === pool) return waiting;
    return undefined;
  }
}
