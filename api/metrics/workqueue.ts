/**
 * What workqueues count, under client-go's names, for all queues of the process.
 *
 *   Workqueue ─▶ WorkqueueMetrics ─▶ GET /metrics
 *
 * Source: k8s.io/component-base/metrics/prometheus/workqueue.
 */
import type { Clock } from "#lib/clock.ts";
import type { WorkqueueObserver, WatchedQueue } from "../client/workqueue.ts";
import { Counter, type Family, Gauge, Histogram, exponentialBounds } from "./exposition.ts";

const labels = ["name"] as const;
/** client-go's buckets: 10 ns to 10 s. */
const bounds = exponentialBounds(1e-8, 10, 10);

/** Most queues that are looked at for their depth; there is one for each controller. */
const queuesMax = 200;

export class WorkqueueMetrics implements Family, WorkqueueObserver {
  readonly #adds = new Counter({
    name: "workqueue_adds_total",
    help: "Total number of adds handled by workqueue",
    labels,
  });
  readonly #retries = new Counter({
    name: "workqueue_retries_total",
    help: "Total number of retries handled by workqueue",
    labels,
  });
  readonly #wait = new Histogram({
    name: "workqueue_queue_duration_seconds",
    help: "How long in seconds an item stays in workqueue before being requested.",
    labels,
    bounds,
  });
  readonly #work = new Histogram({
    name: "workqueue_work_duration_seconds",
    help: "How long in seconds processing an item from workqueue takes.",
    labels,
    bounds,
  });
  readonly #queues: WatchedQueue[] = [];
  readonly #clock: Pick<Clock, "monotonicMs">;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Shows the queue's depth from now on. */
  watch(queue: WatchedQueue): void {
    if (this.#queues.length < queuesMax) this.#queues.push(queue);
  }

  added(name: string): void {
    this.#adds.add({ name });
  }

  retried(name: string): void {
    this.#retries.add({ name });
  }

  /** A key was taken up after `waitedMs`. */
  taken(name: string, waitedMs: number): void {
    this.#wait.observe({ name }, waitedMs / 1000);
  }

  /** Its work ended after `workedMs`. */
  done(name: string, workedMs: number): void {
    this.#work.observe({ name }, workedMs / 1000);
  }

  render(): readonly string[] {
    const nowMs = this.#clock.monotonicMs();
    const depth = new Gauge({ name: "workqueue_depth", help: "Current depth of workqueue", labels });
    const unfinished = new Gauge({
      name: "workqueue_unfinished_work_seconds",
      help: "How many seconds of work is in progress and has not been observed by work_duration.",
      labels,
    });
    const longest = new Gauge({
      name: "workqueue_longest_running_processor_seconds",
      help: "How many seconds the longest running processor for workqueue has been running.",
      labels,
    });
    for (const { name, depth: depthOf, working } of this.#queues) {
      const ages = [...working()].map((sinceMs) => (nowMs - sinceMs) / 1000);
      depth.set({ name }, depthOf());
      unfinished.set(
        { name },
        ages.reduce((sum, age) => sum + age, 0),
      );
      longest.set({ name }, Math.max(0, ...ages));
    }
    return [this.#adds, this.#retries, this.#wait, this.#work, depth, unfinished, longest].flatMap((family) =>
      family.render(),
    );
  }
}
