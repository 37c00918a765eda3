/**
 * The API server's numbers under kube-apiserver's names, so that its dashboards work unmodified.
 *
 *   server.ts (observe) ─▶ plain counters ─▶ collect() ─▶ GET /metrics
 *
 * Bounded: verbs, resources and codes come from closed sets; paths and names are never labels.
 */
import type { WatchCache } from "../watch/watch-cache.ts";

/** Upper bounds of the duration histogram, in seconds. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

interface Histogram {
  readonly counts: number[];
  sum: number;
}

export interface RequestLabels {
  readonly verb: string;
  readonly resource: string;
}

export class ApiMetrics {
  readonly #requests = new Map<string, number>();
  readonly #durations = new Map<string, Histogram>();
  readonly #longRunning = new Map<string, number>();
  #inFlight = 0;

  /** Requests that are being answered, watches and followed logs apart. */
  get inFlight(): number {
    return this.#inFlight;
  }

  begin(): void {
    this.#inFlight++;
  }

  end(): void {
    this.#inFlight--;
  }

  observe(labels: RequestLabels, code: number, seconds: number): void {
    const name = format(labels);
    const counted = `${name},code="${code}"`;
    this.#requests.set(counted, (this.#requests.get(counted) ?? 0) + 1);
    const histogram = this.#durations.get(name) ?? {
      counts: Array.from({ length: bounds.length + 1 }, () => 0),
      sum: 0,
    };
    const bucket = bounds.findIndex((bound) => seconds <= bound);
    const index = bucket < 0 ? bounds.length : bucket;
    histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
    histogram.sum += seconds;
    this.#durations.set(name, histogram);
  }

  /** Counts a request that lasts: a watch, a followed log. Call the function given back when it ends. */
  beginLongRunning(labels: RequestLabels): () => void {
    const name = format(labels);
    const add = (delta: number): void => void this.#longRunning.set(name, (this.#longRunning.get(name) ?? 0) + delta);
    add(1);
    return () => add(-1);
  }

  /** Everything in Prometheus' text format. */
  collect(cache: WatchCache): string {
    const { watchers, slowTotal, eventsTotal, undecodableTotal } = cache.counts;
    return [
      ...family(
        "apiserver_request_total",
        "counter",
        [...this.#requests].map(([labels, count]) => `{${labels}} ${count}`),
      ),
      ...family("apiserver_request_duration_seconds", "histogram", []),
      ...[...this.#durations].flatMap(([labels, histogram]) => formatHistogram(labels, histogram)),
      ...family(
        "apiserver_longrunning_requests",
        "gauge",
        [...this.#longRunning].map(([labels, count]) => `{${labels}} ${count}`),
      ),
      ...family("apiserver_current_inflight_requests", "gauge", [` ${this.#inFlight}`]),
      ...family(
        "apiserver_storage_objects",
        "gauge",
        [...cache.sizes()].map(([resource, count]) => `{resource="${resource}"} ${count}`),
      ),
      ...family("apiserver_registered_watchers", "gauge", [` ${watchers}`]),
      ...family("apiserver_terminated_watchers_total", "counter", [` ${slowTotal}`]),
      ...family("apiserver_watch_cache_events_total", "counter", [` ${eventsTotal}`]),
      ...family("apiserver_storage_decode_errors_total", "counter", [` ${undecodableTotal}`]),
      "",
    ].join("\n");
  }
}

function format({ verb, resource }: RequestLabels): string {
  return `verb="${verb}",resource="${resource}"`;
}

function family(name: string, type: string, samples: readonly string[]): string[] {
  return [`# TYPE ${name} ${type}`, ...samples.map((sample) => `${name}${sample}`)];
}

function formatHistogram(labels: string, { counts, sum }: Histogram): string[] {
  const name = "apiserver_request_duration_seconds";
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return `${name}_bucket{${labels},le="${bounds[index] ?? "+Inf"}"} ${total}`;
  });
  return [...buckets, `${name}_sum{${labels}} ${sum}`, `${name}_count{${labels}} ${total}`];
}
