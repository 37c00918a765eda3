/**
 * What the scheduler counts, under kube-scheduler's names.
 *
 *   scheduler.ts ─▶ SchedulerMetrics ─▶ GET /metrics
 *
 * Source: k8s.io/kubernetes/pkg/scheduler/metrics.
 */
import { Counter, type Family, Gauge, Histogram, exponentialBounds } from "#api/metrics/exposition.ts";

export type AttemptResult = "scheduled" | "unschedulable" | "error";

/** Pods that wait, by why. */
export interface PendingPods {
  readonly active: () => number;
  readonly unschedulable: () => number;
}

const profile = "default-scheduler";
/** kube-scheduler's buckets: 1 ms to 16 s. */
const bounds = exponentialBounds(0.001, 2, 15);

export class SchedulerMetrics implements Family {
  readonly #attempts = new Counter({
    name: "scheduler_schedule_attempts_total",
    help: "Number of attempts to schedule pods, by the result.",
    labels: ["profile", "result"],
  });
  readonly #durations = new Histogram({
    name: "scheduler_scheduling_attempt_duration_seconds",
    help: "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    labels: ["profile", "result"],
    bounds,
  });
  readonly #algorithm = new Histogram({
    name: "scheduler_scheduling_algorithm_duration_seconds",
    help: "Scheduling algorithm latency in seconds",
    bounds,
  });
  #pending: PendingPods | undefined;

  watchPending(pending: PendingPods): void {
    this.#pending = pending;
  }

  /** Where the pod goes was decided, after `ms`. */
  decided(ms: number): void {
    this.#algorithm.observe({}, ms / 1000);
  }

  /** The whole attempt, binding included, took `ms`. */
  attempted(result: AttemptResult, ms: number): void {
    this.#attempts.add({ profile, result });
    this.#durations.observe({ profile, result }, ms / 1000);
  }

  render(): readonly string[] {
    const pending = new Gauge({
      name: "scheduler_pending_pods",
      help: "Number of pending pods, by the queue type.",
      labels: ["queue"],
    });
    pending.set({ queue: "active" }, this.#pending?.active() ?? 0);
    pending.set({ queue: "unschedulable" }, this.#pending?.unschedulable() ?? 0);
    return [this.#attempts, this.#durations, this.#algorithm, pending].flatMap((family) => family.render());
  }
}
