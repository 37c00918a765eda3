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
  readonly #others: (() => string)[] = [];
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

  /** Adds the page of another component of this process, with its last line ended. */
  append(render: () => string): void {
    this.#others.push(render);
  }

  /** Everything in Prometheus' text format. */
  collect(cache: WatchCache): string {
    const { watchers, slowTotal, eventsTotal, undecodableTotal } = cache.counts;
    return [
      ...family(
        { name: "apiserver_request_total", type: "counter", help: "Requests by verb, resource and code." },
        [...this.#requests].map(([labels, count]) => `{${labels}} ${count}`),
      ),
      ...family(
        {
          name: "apiserver_request_duration_seconds",
          type: "histogram",
          help: "Seconds to answer a request, watches apart.",
        },
        [],
      ),
      ...[...this.#durations].flatMap(([labels, histogram]) => formatHistogram(labels, histogram)),
      ...family(
        { name: "apiserver_longrunning_requests", type: "gauge", help: "Watches and followed logs that are open." },
        [...this.#longRunning].map(([labels, count]) => `{${labels}} ${count}`),
      ),
      ...family(
        { name: "apiserver_current_inflight_requests", type: "gauge", help: "Requests that are being answered." },
        [` ${this.#inFlight}`],
      ),
      ...family(
        { name: "apiserver_storage_objects", type: "gauge", help: "Objects in the store by resource." },
        [...cache.sizes()].map(([resource, count]) => `{resource="${resource}"} ${count}`),
      ),
      ...family({ name: "apiserver_registered_watchers", type: "gauge", help: "Watches that are registered." }, [
        ` ${watchers}`,
      ]),
      ...family(
        {
          name: "apiserver_terminated_watchers_total",
          type: "counter",
          help: "Watches that were ended because they were too slow.",
        },
        [` ${slowTotal}`],
      ),
      ...family(
        {
          name: "apiserver_watch_cache_events_total",
          type: "counter",
          help: "Events of the store seen by the watch cache.",
        },
        [` ${eventsTotal}`],
      ),
      ...family(
        {
          name: "apiserver_storage_decode_errors_total",
          type: "counter",
          help: "Objects of the store that cannot be decoded.",
        },
        [` ${undecodableTotal}`],
      ),
      this.#others.map((render) => render()).join(""),
    ].join("\n");
  }
}

function format({ verb, resource }: RequestLabels): string {
  return `verb="${verb}",resource="${resource}"`;
}

interface Described {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
}

function family({ name, type, help }: Described, samples: readonly string[]): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples.map((sample) => `${name}${sample}`)];
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
