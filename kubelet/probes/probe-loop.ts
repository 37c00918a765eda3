/**
 * Runs the probes of one container while it runs.
 *
 *   startup, until it has passed once ─▶ readiness and liveness, each once a period
 *
 * Liveness holds its tongue until it has failed often enough; readiness is false until it has passed. A container that
 * is coming up is looked at more often than once a period, so that it serves soon; such a look counts only when it
 * succeeds, and fails without a word.
 */
import type { Probe } from "#api/core/probe.ts";
import type { Timer } from "#lib/clock.ts";
import type { WorkerDependencies } from "../worker-dependencies.ts";
import type { ProbeTarget } from "./prober.ts";
import { type ProbeState, afterResult, initialProbeState, probeTimes } from "./thresholds.ts";

export type ProbeKind = "Startup" | "Readiness" | "Liveness";

export interface ProbeListener {
  /** The startup probe has passed, or there is none. */
  started(): void;
  /** The readiness verdict, after each probe. */
  ready(isReady: boolean): void;
  /** A startup or liveness probe failed for good. */
  dead(kind: "Startup" | "Liveness", probe: Probe): void;
  /** One probe failed; for people. */
  unhealthy(kind: ProbeKind, detail: string): void;
}

/** Distance of the extra looks, in ms: commands cost more than connections. */
const eagerMs = 100;
const eagerExecMs = 500;
/** For so long after the start, or after it was adopted, in ms. */
const eagerForMs = 10_000;

interface Course {
  readonly kind: ProbeKind;
  readonly probe: Probe;
  readonly state: ProbeState;
  /** When the next probe of the regular course is due. */
  readonly regularAtMs: number;
}

/** The next look: after how long, and whether it is the regular one. */
interface Look {
  readonly delayMs: number;
  readonly isRegular: boolean;
}

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

  /** What is known of it already: `isReady` of a container that was adopted, `isStarted` of one whose start is over. */
  start({ isStarted, isReady }: { isStarted: boolean; isReady: boolean }): void {
    const { startupProbe } = this.#target.container;
    if (startupProbe === undefined || isStarted) this.#started(isReady);
    else this.#begin("Startup", startupProbe, initialProbeState);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #started(isReady: boolean): void {
    const { readinessProbe, livenessProbe } = this.#target.container;
    this.#listener.started();
    const known: ProbeState = isReady ? { verdict: "passing", lastOk: true, run: 1 } : initialProbeState;
    if (readinessProbe !== undefined) this.#begin("Readiness", readinessProbe, known);
    if (livenessProbe !== undefined) this.#begin("Liveness", livenessProbe, initialProbeState);
  }

  /** The first probe comes when the container is `initialDelaySeconds` old, or at once when it is older. */
  #begin(kind: ProbeKind, probe: Probe, state: ProbeState): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const firstAtMs = Math.max(nowMs, this.#sinceMs + probeTimes(probe).initialDelayMs);
    // The extra looks begin at once; what fails before a period is over is not told.
    const isEager = kind !== "Liveness" && state.verdict !== "passing";
    const regularAtMs = isEager ? firstAtMs + probeTimes(probe).periodMs : firstAtMs;
    this.#schedule({ kind, probe, state, regularAtMs }, { delayMs: firstAtMs - nowMs, isRegular: !isEager });
  }

  /** Which look it is, is known here: a timer may run a moment before its time. */
  #schedule(course: Course, { delayMs, isRegular }: Look): void {
    const timer = this.#deps.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      void this.#once(course, isRegular);
    });
    this.#timers.add(timer);
  }

  async #once(course: Course, isRegular: boolean): Promise<void> {
    const { kind, probe, state } = course;
    const times = probeTimes(probe);
    const { ok, detail } = await this.#deps.prober(probe, this.#target, times.timeoutMs);
    if (this.#stopped) return;
    const counts = ok || isRegular;
    const next = counts ? afterResult(state, ok, times) : state;
    if (next.verdict !== state.verdict) this.#deps.log.debug("Probe verdict", { kind, verdict: next.verdict, detail });
    if (!ok && isRegular) this.#listener.unhealthy(kind, detail);
    if (kind === "Readiness") this.#listener.ready(next.verdict === "passing");
    else if (next.verdict === "failing") return this.#listener.dead(kind, probe);
    else if (kind === "Startup" && next.verdict === "passing") return this.#started(false);
    const regularAtMs = isRegular ? this.#deps.clock.monotonicMs() + times.periodMs : course.regularAtMs;
    const after = { kind, probe, state: next, regularAtMs };
    this.#schedule(after, this.#nextLook(after));
  }

  #nextLook({ kind, probe, state, regularAtMs }: Course): Look {
    const nowMs = this.#deps.clock.monotonicMs();
    const isEager = kind !== "Liveness" && state.verdict !== "passing" && nowMs - this.#sinceMs < eagerForMs;
    const regularMs = Math.max(1, regularAtMs - nowMs);
    const soonMs = probe.exec === undefined ? eagerMs : eagerExecMs;
    if (isEager && soonMs < regularMs) return { delayMs: soonMs, isRegular: false };
    return { delayMs: regularMs, isRegular: true };
  }
}
