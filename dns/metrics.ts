/**
 * What DNS counts, under CoreDNS' names, as plain numbers; `collect()` writes Prometheus' text format.
 *
 *   state.ts, server.ts ─▶ DNSMetrics ─▶ collect() ─▶ GET /metrics on 9153
 *
 * Bounded: labels come from closed sets; rare types share "other", and names are never labels.
 */
import { types } from "./wire/constants.ts";

export type Proto = "udp" | "tcp";

/** One answered message. */
export interface Observation {
  readonly proto: Proto;
  /** As in the Corefile, "." for what is in no zone, "dropped" for what was no query. */
  readonly zone: string;
  readonly type: number;
  readonly rcode: number;
  readonly plugin: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly seconds: number;
}

const durationBounds: readonly number[] = Array.from({ length: 16 }, (_, k) => 0.00025 * 2 ** k);
const sizeBounds: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3];

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(types).map(([name, number]) => [number, name.toUpperCase()] as const),
);
const rcodeNames: Readonly<Record<number, string>> = {
  0: "NOERROR",
  1: "FORMERR",
  2: "SERVFAIL",
  3: "NXDOMAIN",
  4: "NOTIMP",
  5: "REFUSED",
  16: "BADVERS",
};

class Histogram {
  readonly #bounds: readonly number[];
  readonly #buckets: number[];
  #count = 0;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#buckets = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] ?? 0)) bucket++;
    if (bucket < bounds.length) this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  render(name: string, labels: string): string[] {
    let cumulative = 0;
    const buckets = this.#bounds.map((bound, index) => {
      cumulative += this.#buckets[index] ?? 0;
      return `${name}_bucket{${labels},le="${bound}"} ${cumulative}`;
    });
    return [
      ...buckets,
      `${name}_bucket{${labels},le="+Inf"} ${this.#count}`,
      `${name}_sum{${labels}} ${this.#sum}`,
      `${name}_count{${labels}} ${this.#count}`,
    ];
  }
}

export class DNSMetrics {
  readonly #server: string;
  readonly #requests = new Map<string, number>();
  readonly #responses = new Map<string, number>();
  readonly #durations = new Map<string, Histogram>();
  readonly #requestSizes = new Map<string, Histogram>();
  readonly #responseSizes = new Map<string, Histogram>();
  /** Queries that a bug of ours ended. */
  panics = 0;
  /** TCP connections refused because there were too many. */
  connectionsRefused = 0;
  /** Responses that the kernel did not take. */
  sendFailures = 0;

  /** `server` is the label of that name: `dns://:53`. */
  constructor(server: string) {
    this.#server = server;
  }

  observe(seen: Observation): void {
    const { zone, proto, plugin } = seen;
    const type = typeNames.get(seen.type) ?? "other";
    const rcode = rcodeNames[seen.rcode] ?? "other";
    const common = `server="${this.#server}",zone="${zone}",view=""`;
    increment(this.#requests, `${common},proto="${proto}",family="1",type="${type}"`);
    increment(this.#responses, `${common},rcode="${rcode}",plugin="${plugin}"`);
    histogram(this.#durations, common, durationBounds).observe(seen.seconds);
    histogram(this.#requestSizes, `${common},proto="${proto}"`, sizeBounds).observe(seen.requestBytes);
    histogram(this.#responseSizes, `${common},proto="${proto}"`, sizeBounds).observe(seen.responseBytes);
  }

  /** Prometheus text exposition of all of the above. */
  collect(): string {
    return [
      ...counters("coredns_dns_requests_total", "Queries.", this.#requests),
      ...counters("coredns_dns_responses_total", "Responses by rcode.", this.#responses),
      ...histograms("coredns_dns_request_duration_seconds", "Seconds to answer.", this.#durations),
      ...histograms("coredns_dns_request_size_bytes", "Bytes of queries.", this.#requestSizes),
      ...histograms("coredns_dns_response_size_bytes", "Bytes of responses.", this.#responseSizes),
      ...single("coredns_panics_total", "Queries ended by a bug.", this.panics),
      ...single("wherry_dns_connections_refused_total", "TCP connections beyond the bound.", this.connectionsRefused),
      ...single("wherry_dns_send_failures_total", "Responses the kernel did not take.", this.sendFailures),
      "",
    ].join("\n");
  }
}

function increment(counts: Map<string, number>, labels: string): void {
  counts.set(labels, (counts.get(labels) ?? 0) + 1);
}

function histogram(all: Map<string, Histogram>, labels: string, bounds: readonly number[]): Histogram {
  const known = all.get(labels);
  if (known !== undefined) return known;
  const made = new Histogram(bounds);
  all.set(labels, made);
  return made;
}

function header(name: string, type: string, help: string): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function single(name: string, help: string, value: number): readonly string[] {
  return [...header(name, "counter", help), `${name} ${value}`];
}

function counters(name: string, help: string, counts: ReadonlyMap<string, number>): readonly string[] {
  return [...header(name, "counter", help), ...[...counts].map(([labels, count]) => `${name}{${labels}} ${count}`)];
}

function histograms(name: string, help: string, all: ReadonlyMap<string, Histogram>): readonly string[] {
  return [...header(name, "histogram", help), ...[...all].flatMap(([labels, each]) => each.render(name, labels))];
}
