/**
 * Runs the probes of one container while it runs.
 *
 * Liveness holds its tongue until it has failed often enough; readiness is false until it has passed.
 */
import type { Probe } from "#api/core/pod.ts";
import type { Timer } from "#lib/clock.ts";
import type { ProbeTarget } from "./prober.ts";
import { type ProbeState, afterResult, initialProbeState, probeTimes } from "./probes.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

export interface ProbeListener {
  /** The readiness verdict changed. */
  ready(isReady: boolean): void;
  /** The liveness probe failed for good. */
  dead(detail: string): void;
}

/** While not ready, readiness is looked at this often, so that a container that comes up serves soon, in ms. */
const eagerMs = 100;
/** For so long after the start, or after it was adopted, in ms. */
const eagerForMs = 10_000;

export class ProbeLoop {
  readonly #target: ProbeTarget;
  readonly #deps: Pick<WorkerDependencies, "prober" | "clock" | "log">;
  readonly #listener: ProbeListener;
  readonly #timers = new Set<Timer>();
  readonly #sinceMs: number;
  #stopped = false;

  constructor(
    target: ProbeTarget,
    deps: Pick<WorkerDependencies, "prober" | "clock" | "log">,
    listener: ProbeListener,
  ) {
    this.#target = target;
    this.#deps = deps;
    this.#listener = listener;
    this.#sinceMs = deps.clock.monotonicMs();
  }

  /** `isReady`: what is known of it already, for a container that was adopted. */
  start(isReady: boolean): void {
    const { readinessProbe, livenessProbe } = this.#target.container;
    if (readinessProbe !== undefined) {
      const known: ProbeState = isReady ? { verdict: "passing", lastOk: true, run: 1 } : initialProbeState;
      this.#schedule(readinessProbe, known, probeTimes(readinessProbe).initialDelayMs, "readiness");
    }
    if (livenessProbe !== undefined) {
      this.#schedule(livenessProbe, initialProbeState, probeTimes(livenessProbe).initialDelayMs, "liveness");
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #schedule(probe: Probe, state: ProbeState, delayMs: number, purpose: "readiness" | "liveness"): void {
    const timer = this.#deps.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      void this.#once(probe, state, purpose);
    });
    this.#timers.add(timer);
  }

  async #once(probe: Probe, state: ProbeState, purpose: "readiness" | "liveness"): Promise<void> {
    const times = probeTimes(probe);
    const { ok, detail } = await this.#deps.prober(probe, this.#target, times.timeoutMs);
    if (this.#stopped) return;
    const next = afterResult(state, ok, times);
    if (next.verdict !== state.verdict)
      this.#deps.log.debug("Probe verdict", { purpose, verdict: next.verdict, detail });
    if (purpose === "readiness") this.#listener.ready(next.verdict === "passing");
    else if (next.verdict === "failing") return this.#listener.dead(detail);
    this.#schedule(probe, next, this.#delayMs(next, times.periodMs, purpose), purpose);
  }

  /** Kubernetes probes once a period; a container that is just coming up is looked at more often. */
  #delayMs({ verdict }: ProbeState, periodMs: number, purpose: "readiness" | "liveness"): number {
    const ageMs = this.#deps.clock.monotonicMs() - this.#sinceMs;
    const eager = purpose === "readiness" && verdict !== "passing" && ageMs < eagerForMs;
    return eager ? Math.min(eagerMs, periodMs) : periodMs;
  }
}
