/**
 * The consecutive-failure breaker of one endpoint.
 *
 *   Closed ─ failures in a row ─▶ Open (penalty, longer each time) ─▶ HalfOpen ─ one request as a probe ─▶ Closed
 *                                   ▲──────────────── the probe failed ────────────┘
 *
 * opossum keeps the state and the time; what counts as a failure and how long the penalty is, is decided here. One is
 * made with the first failure of an endpoint, so that endpoints that never fail cost nothing. Source: linkerd2-proxy's
 * failure accrual, whose defaults these are. Invariant: only the probe itself decides how the half-open state ends.
 */
import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";
import type { Random } from "#lib/random.ts";
import type { TryResult } from "./outlier.ts";

export interface AccrualSpec {
  /** Failures in a row, >= 1. Default 7. */
  readonly failuresMax: number;
  /** The first penalty, and the longest, in ms. Default 1 s and 60 s. */
  readonly penaltyMinMs: number;
  readonly penaltyMaxMs: number;
  /** Of the penalty, this part more at most, by chance: 0 to 1. Default 0.5. */
  readonly jitter: number;
}

export const accrualDefault: AccrualSpec = {
  failuresMax: 7,
  penaltyMinMs: 1000,
  penaltyMaxMs: 60_000,
  jitter: 0.5,
};

/** Such an end is a failure of the endpoint. */
export function isFailure(result: TryResult): boolean {
  return result.kind === "local" || result.status >= 500;
}

/** Nobody turns it: the breakers' own statistics are not used. */
const stillController = new EventEmitter();
// One listener a breaker.
stillController.setMaxListeners(0);

export class FailureAccrual {
  readonly #spec: AccrualSpec;
  readonly #random: Pick<Random, "next">;
  readonly #onChange: () => void;
  readonly #breaker: CircuitBreaker;
  #row = 0;
  /** Openings since it was last closed. */
  #openings = 0;
  #isProbing = false;

  /** `onChange`: the endpoint may be picked again, or may not any more. */
  constructor(spec: AccrualSpec, random: Pick<Random, "next">, onChange: () => void) {
    this.#spec = spec;
    this.#random = random;
    this.#onChange = onChange;
    this.#breaker = new CircuitBreaker(() => Promise.resolve(), {
      timeout: false,
      resetTimeout: spec.penaltyMinMs,
      enableSnapshots: false,
      rotateBucketController: stillController,
    });
    this.#breaker.on("halfOpen", onChange);
  }

  /** May be picked: it is closed, or half-open and nobody probes it yet. */
  get isAdmitting(): boolean {
    if (this.#breaker.halfOpen) return !this.#isProbing;
    return !this.#breaker.opened;
  }

  /** A request goes to the endpoint. True: it is the probe, whose end is told by judge() or abandon(). */
  begin(): boolean {
    if (!this.#breaker.halfOpen || this.#isProbing) return false;
    this.#isProbing = true;
    this.#onChange();
    return true;
  }

  /** A request to the endpoint ended, be it the probe or not. */
  report(hasFailed: boolean): void {
    // What was under way when it opened says nothing new, and nothing about the probe.
    if (this.#breaker.opened || this.#breaker.halfOpen) return;
    this.#row = hasFailed ? this.#row + 1 : 0;
    if (this.#row >= this.#spec.failuresMax) this.#open();
  }

  /** HalfOpen => (Closed | Open). The probe ended. */
  judge(hasFailed: boolean): void {
    this.#isProbing = false;
    if (hasFailed) return this.#open();
    this.#row = 0;
    this.#openings = 0;
    this.#breaker.close();
    this.#onChange();
  }

  /** The probe ended without a verdict: its caller left. Another may probe. */
  abandon(): void {
    this.#isProbing = false;
    this.#onChange();
  }

  close(): void {
    this.#breaker.shutdown();
  }

  #open(): void {
    const { penaltyMinMs, penaltyMaxMs, jitter } = this.#spec;
    const penaltyMs = Math.min(penaltyMinMs * 2 ** this.#openings, penaltyMaxMs);
    this.#openings++;
    this.#breaker.options.resetTimeout = penaltyMs * (1 + jitter * this.#random.next());
    this.#breaker.open();
    this.#onChange();
  }
}
