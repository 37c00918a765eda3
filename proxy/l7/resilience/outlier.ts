/**
 * Outlier detection: endpoints that fail are taken out for a while, longer each time.
 *
 *   results of tries ─▶ report() ─┐
 *   every interval   ─▶ sweep()  ─┴▶ eject or take back ─▶ onChange (cluster.ts picks anew)
 *
 *   In ─▶ Ejected (base time × times ejected, at most the maximum) ─▶ In
 *
 * Invariants: never more than the maximum part of the endpoints is out, or one where that is allowed; chance and time
 * come in as arguments. Source: envoy.config.cluster.v3.OutlierDetection.
 */
export interface OutlierSpec {
  /** Failures in a row; 0 never. Each with the percentage that is enforced. */
  readonly consecutive5xx: number;
  readonly consecutiveGateway: number;
  readonly consecutiveLocal: number;
  readonly enforce: Readonly<Record<EjectionCause, number>>;
  readonly intervalMs: number;
  readonly baseEjectionMs: number;
  readonly ejectionMsMax: number;
  readonly jitterMsMax: number;
  /** Percent of the endpoints. */
  readonly ejectedPercentMax: number;
  /** One may be out whatever the percentage says. */
  readonly alwaysEjectsOne: boolean;
  readonly splitsLocalErrors: boolean;
  readonly successRate: {
    readonly hostsMin: number;
    readonly requestsMin: number;
    /** Standard deviations below the mean, in thousandths. */
    readonly factor: number;
  };
  readonly failurePercentage: { readonly hostsMin: number; readonly requestsMin: number; readonly threshold: number };
}

export type EjectionCause = "5xx" | "gateway" | "local" | "successRate" | "failurePercentage";

/** How a try ended, as far as this matters. */
export type TryResult =
  | { readonly kind: "status"; readonly status: number }
  /** No connection, a reset, a timeout. */
  | { readonly kind: "local" };

/** What is known of one endpoint. */
export class OutlierState {
  ejectedUntilMs = 0;
  isEjected = false;
  /** Ejections that count for the next one's length. */
  times = 0;
  in5xxRow = 0;
  inGatewayRow = 0;
  inLocalRow = 0;
  /** Of this interval. */
  successes = 0;
  failures = 0;
}

export interface OutlierDeps {
  readonly nowMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  /** An endpoint went out or came back. */
  readonly onChange: () => void;
}

export class OutlierDetector<Host extends { readonly outlier: OutlierState }> {
  readonly #spec: OutlierSpec;
  readonly #deps: OutlierDeps;
  readonly #hosts: () => readonly Host[];
  /** Ejections so far, by cause. */
  readonly ejections: Record<EjectionCause, number> = {
    "5xx": 0,
    gateway: 0,
    local: 0,
    successRate: 0,
    failurePercentage: 0,
  };

  constructor(spec: OutlierSpec, hosts: () => readonly Host[], deps: OutlierDeps) {
    this.#spec = spec;
    this.#hosts = hosts;
    this.#deps = deps;
  }

  /** One try at `host` is over. */
  report(host: Host, result: TryResult): void {
    const state = host.outlier;
    const isLocal = result.kind === "local";
    // Where local errors are not told apart, they are gateway errors.
    const status = isLocal ? 503 : result.status;
    if (isLocal && this.#spec.splitsLocalErrors) {
      state.failures++;
      return this.#count(host, "local", ++state.inLocalRow, this.#spec.consecutiveLocal);
    }
    state.inLocalRow = 0;
    if (status < 500) {
      state.in5xxRow = 0;
      state.inGatewayRow = 0;
      state.successes++;
      return;
    }
    state.failures++;
    if (status === 502 || status === 503 || status === 504)
      this.#count(host, "gateway", ++state.inGatewayRow, this.#spec.consecutiveGateway);
    else state.inGatewayRow = 0;
    this.#count(host, "5xx", ++state.in5xxRow, this.#spec.consecutive5xx);
  }

  /** Once an interval: takes back whose time is over, and compares the endpoints with each other. */
  sweep(): void {
    const nowMs = this.#deps.nowMs();
    let hasChanged = false;
    for (const { outlier: state } of this.#hosts()) {
      if (state.isEjected && nowMs >= state.ejectedUntilMs) {
        state.isEjected = false;
        state.in5xxRow = state.inGatewayRow = state.inLocalRow = 0;
        hasChanged = true;
      } else if (!state.isEjected && state.times > 0) state.times--;
    }
    this.#compare();
    for (const { outlier: state } of this.#hosts()) state.successes = state.failures = 0;
    if (hasChanged) this.#deps.onChange();
  }

  #count(host: Host, cause: EjectionCause, row: number, max: number): void {
    if (max > 0 && row >= max && row % max === 0) this.#eject(host, cause);
  }

  #compare(): void {
    const { successRate, failurePercentage } = this.#spec;
    const volume = ({ outlier }: Host): number => outlier.successes + outlier.failures;
    const rateOf = ({ outlier }: Host): number => (100 * outlier.successes) / (outlier.successes + outlier.failures);
    const rated = this.#hosts().filter((host) => !host.outlier.isEjected && volume(host) >= successRate.requestsMin);
    if (rated.length >= successRate.hostsMin && rated.length > 0) {
      const rates = rated.map(rateOf);
      const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
      const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
      const threshold = mean - (successRate.factor / 1000) * Math.sqrt(variance);
      for (const host of rated) if (rateOf(host) < threshold) this.#eject(host, "successRate");
    }
    const judged = this.#hosts().filter(
      (host) => !host.outlier.isEjected && volume(host) >= failurePercentage.requestsMin,
    );
    if (judged.length < failurePercentage.hostsMin) return;
    for (const host of judged)
      if (100 - rateOf(host) >= failurePercentage.threshold) this.#eject(host, "failurePercentage");
  }

  #eject(host: Host, cause: EjectionCause): void {
    const state = host.outlier;
    if (state.isEjected || !this.#mayEject()) return;
    if (this.#deps.random() * 100 >= this.#spec.enforce[cause]) return;
    const { baseEjectionMs, ejectionMsMax, jitterMsMax } = this.#spec;
    state.isEjected = true;
    state.times++;
    const lengthMs = Math.min(baseEjectionMs * state.times, Math.max(ejectionMsMax, baseEjectionMs));
    state.ejectedUntilMs = this.#deps.nowMs() + lengthMs + jitterMsMax * this.#deps.random();
    this.ejections[cause]++;
    this.#deps.onChange();
  }

  #mayEject(): boolean {
    const hosts = this.#hosts();
    const out = hosts.filter(({ outlier }) => outlier.isEjected).length;
    if (out === 0 && this.#spec.alwaysEjectsOne) return true;
    return (100 * (out + 1)) / hosts.length <= this.#spec.ejectedPercentMax;
  }
}
