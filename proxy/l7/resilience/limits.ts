/**
 * Circuit breaking: how much of each thing a cluster may have at a time. Plain counters.
 *
 *   attempt.ts, tries.ts ─▶ take(what) ─▶ true, or overflow: counted, and answered 503 UO or not retried
 *
 * Every request takes one of `requests`, which is therefore asked for by its name: by a name that varies it costs ten
 * times as much. Without thresholds in its configuration a cluster has Envoy's.
 * Source: envoy.config.cluster.v3.CircuitBreakers; defaults 1024, 1024, 1024, 3.
 */
export type Limited = "connections" | "pending" | "requests" | "retries";

export interface RetryBudget {
  /** Percent of the requests that are active or pending. Default 20. */
  readonly percent: number;
  /** Retries that may be under way in any case. Default 3. */
  readonly retriesMin: number;
}

export type Thresholds = Readonly<Record<Limited, number>> & {
  /** Instead of `retries`. */
  readonly retryBudget: RetryBudget | undefined;
};

export const thresholdsDefault: Thresholds = {
  connections: 1024,
  pending: 1024,
  requests: 1024,
  retries: 3,
  retryBudget: undefined,
};

/** Of a cluster that nobody configured. */
export const noThresholds: Thresholds = {
  connections: Infinity,
  pending: Infinity,
  requests: Infinity,
  retries: Infinity,
  retryBudget: undefined,
};

export class Limits {
  readonly thresholds: Thresholds;
  /** In use now. */
  readonly used: Record<Limited, number> = { connections: 0, pending: 0, requests: 0, retries: 0 };
  /** Refused so far. */
  readonly overflows: Record<Limited, number> = { connections: 0, pending: 0, requests: 0, retries: 0 };

  /** Requests that were sent so far, each try for itself. */
  requestsTotal = 0;

  constructor(thresholds: Thresholds) {
    this.thresholds = thresholds;
  }

  /** Takes one, to be given back by `release`. */
  take(what: Limited): boolean {
    if (!this.hasRoom(what)) {
      this.overflows[what]++;
      return false;
    }
    if (what === "requests") {
      this.used.requests++;
      this.requestsTotal++;
    } else this.used[what]++;
    return true;
  }

  /** One more may be taken. */
  hasRoom(what: Limited): boolean {
    if (what === "requests") return this.used.requests < this.thresholds.requests;
    return this.used[what] < this.#max(what);
  }

  release(what: Limited): void {
    if (what === "requests") this.used.requests--;
    else this.used[what]--;
  }

  #max(what: Limited): number {
    const { retryBudget } = this.thresholds;
    if (what !== "retries" || retryBudget === undefined) return this.thresholds[what];
    const active = this.used.requests + this.used.pending;
    return Math.max(Math.floor((active * retryBudget.percent) / 100), retryBudget.retriesMin);
  }
}
