/**
 * When to probe and what the results mean. Pure; `prober.ts` performs the probes.
 *
 * Unknown => (Passing | Failing) after successThreshold or failureThreshold results in a row; then each way again.
 */
import type { Probe } from "#api/core/probe.ts";

export interface ProbeTimes {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  /** Results in a row that count. */
  readonly successesMin: number;
  readonly failuresMin: number;
}

/** Kubernetes' defaults: 0 s, 10 s, 1 s, 1, 3. */
export function probeTimes(probe: Probe): ProbeTimes {
  return {
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: Math.max(1, probe.periodSeconds ?? 10) * 1000,
    timeoutMs: Math.max(1, probe.timeoutSeconds ?? 1) * 1000,
    successesMin: Math.max(1, probe.successThreshold ?? 1),
    failuresMin: Math.max(1, probe.failureThreshold ?? 3),
  };
}

export interface ProbeState {
  readonly verdict: "unknown" | "passing" | "failing";
  readonly lastOk: boolean;
  /** Equal results in a row. */
  readonly run: number;
}

export const initialProbeState: ProbeState = { verdict: "unknown", lastOk: false, run: 0 };

/** The state after one more result. */
export function afterResult(state: ProbeState, ok: boolean, times: ProbeTimes): ProbeState {
  const run = state.run > 0 && state.lastOk === ok ? state.run + 1 : 1;
  const counts = run >= (ok ? times.successesMin : times.failuresMin);
  return { verdict: counts ? (ok ? "passing" : "failing") : state.verdict, lastOk: ok, run };
}
