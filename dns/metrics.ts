/**
 * What DNS counts, under CoreDNS' names, as plain numbers; `collect()` makes samples of them.
 *
 *   server/respond.ts, plugins/* ─▶ SiteMetrics, ServerCounters, families ─▶ renderFamilies ─▶ GET /metrics
 *
 * Bounded: labels come from closed sets; rare types share "other", and names are never labels. Nothing is allocated
 * when a query is counted.
 */
import type { MetricFamily, Proto } from "./plugin.ts";
import { rcodeNames, typeNames } from "./wire/constants.ts";

const durationBounds: readonly number[] = Array.from({ length: 16 }, (_, k) => 0.00025 * 2 ** k);
const sizeBounds: readonly number[] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3];
const protos: readonly Proto[] = ["udp", "tcp", "tls", "https"];
const otherType = 0;
/** Types with a label of their own: those below 256 that have a name. */
const typesMax = 256;

/** Counts of values at or below bounds, as Prometheus has them. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #buckets: number[];
  count = 0;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#buckets = bounds.map(() => 0);
  }

  /** Counts a value, as often as told. */
  observe(value: number, times = 1): void {
    this.count += times;
    this.#sum += value * times;
    const bounds = this.#bounds;
    for (let bucket = 0; bucket < bounds.length; bucket++) {
      if (value > (bounds[bucket] ?? 0)) continue;
      this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + times;
      return;
    }
  }

  /** Lines of a family; none while nothing was observed. */
  lines(labels: string): readonly string[] {
    if (this.count === 0) return [];
    let cumulative = 0;
    const comma = labels === "" ? "" : ",";
    const buckets = this.#bounds.map((bound, index) => {
      cumulative += this.#buckets[index] ?? 0;
      return `_bucket{${labels}${comma}le="${bound}"} ${cumulative}`;
    });
    return [
      ...buckets,
      `_bucket{${labels}${comma}le="+Inf"} ${this.count}`,
      `_sum{${labels}} ${this.#sum}`,
      `_count{${labels}} ${this.count}`,
    ];
  }
}

/** One answered message. */
export interface Observation {
  readonly proto: Proto;
  readonly isIPv6: boolean;
  readonly type: number;
  readonly rcode: number;
  readonly plugin: string;
  readonly dnssecOK: boolean;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly seconds: number;
}

/** What one server block counts. */
export class SiteMetrics {
  readonly #labels: string;
  /** By family (IPv4, IPv6) and proto, then by type. */
  readonly #requests: number[][] = Array.from({ length: 8 }, () => []);
  /** By plugin, then by rcode. */
  readonly #responses = new Map<string, number[]>();
  readonly #durations = new Histogram(durationBounds);
  readonly #requestSizes: readonly Histogram[] = protos.map(() => new Histogram(sizeBounds));
  readonly #responseSizes: readonly Histogram[] = protos.map(() => new Histogram(sizeBounds));
  #dnssecOK = 0;
  /** Repetitions whose time is not told yet (server/prebuilt.ts). */
  repeats = 0;

  /** `server` as `dns://:53`, `zone` as `cluster.local.`, or "dropped". */
  constructor(server: string, zone: string) {
    this.#labels = `server="${server}",zone="${zone}",view=""`;
  }

  observe(seen: Observation): void {
    this.count(seen, 1);
    this.#durations.observe(seen.seconds);
  }

  /** Tells how long each of `repeats` took. */
  timeRepeats(seconds: number): void {
    this.#durations.observe(seconds, this.repeats);
    this.repeats = 0;
  }

  /** Counts a message `times` times, but for the time that it took. */
  count(seen: Observation, times: number): void {
    const proto = protos.indexOf(seen.proto);
    const type = seen.type < typesMax && typeNames.has(seen.type) ? seen.type : otherType;
    const requests = this.#requests[proto + (seen.isIPv6 ? 4 : 0)] ?? [];
    requests[type] = (requests[type] ?? 0) + times;
    let responses = this.#responses.get(seen.plugin);
    if (responses === undefined) this.#responses.set(seen.plugin, (responses = []));
    responses[seen.rcode] = (responses[seen.rcode] ?? 0) + times;
    if (seen.dnssecOK) this.#dnssecOK += times;
    this.#requestSizes[proto]?.observe(seen.requestBytes, times);
    this.#responseSizes[proto]?.observe(seen.responseBytes, times);
  }

  collect(): readonly MetricFamily[] {
    const labels = this.#labels;
    const requests = this.#requests.flatMap((byType, at) =>
      byType.flatMap((count, type) => {
        const name = type === otherType ? "other" : typeNames.get(type);
        return `{${labels},proto="${protos[at % 4]}",family="${at < 4 ? 1 : 2}",type="${name}"} ${count}`;
      }),
    );
    const responses = [...this.#responses].flatMap(([plugin, byRcode]) =>
      byRcode.flatMap(
        (count, rcode) => `{${labels},rcode="${rcodeNames[rcode] ?? "other"}",plugin="${plugin}"} ${count}`,
      ),
    );
    const sizes = (all: readonly Histogram[]): readonly string[] =>
      all.flatMap((each, at) => each.lines(`${labels},proto="${protos[at]}"`));
    return [
      counter("coredns_dns_requests_total", "Queries.", requests),
      counter("coredns_dns_responses_total", "Responses by rcode.", responses),
      counter("coredns_dns_do_requests_total", "Queries with DO.", [`{${labels}} ${this.#dnssecOK}`]),
      family("coredns_dns_request_duration_seconds", "Seconds to answer.", this.#durations.lines(labels)),
      family("coredns_dns_request_size_bytes", "Bytes of queries.", sizes(this.#requestSizes)),
      family("coredns_dns_response_size_bytes", "Bytes of responses.", sizes(this.#responseSizes)),
    ];
  }
}

/** What the sockets count, for all server blocks together. */
export class ServerCounters {
  /** Queries that a bug of ours ended. */
  panics = 0;
  /** TCP connections refused because there were too many. */
  connectionsRefused = 0;
  /** Messages over TCP that announced more than a query may have. */
  framesRefused = 0;
  /** Responses that the kernel did not take. */
  sendFailures = 0;
  /** Queries that came while too many waited. */
  overloads = 0;

  collect(): readonly MetricFamily[] {
    return [
      counter("coredns_panics_total", "Queries ended by a bug.", [` ${this.panics}`]),
      counter("wherry_dns_connections_refused_total", "TCP connections beyond the bound.", [
        ` ${this.connectionsRefused}`,
      ]),
      counter("wherry_dns_frames_refused_total", "TCP messages longer than a query may be.", [
        ` ${this.framesRefused}`,
      ]),
      counter("wherry_dns_send_failures_total", "Responses the kernel did not take.", [` ${this.sendFailures}`]),
      counter("wherry_dns_overloads_total", "Queries beyond those that may wait.", [` ${this.overloads}`]),
    ];
  }
}

export function counter(name: string, help: string, lines: readonly string[]): MetricFamily {
  return { name, kind: "counter", help, lines };
}

export function gauge(name: string, help: string, lines: readonly string[]): MetricFamily {
  return { name, kind: "gauge", help, lines };
}

/** A family of histograms. */
export function family(name: string, help: string, lines: readonly string[]): MetricFamily {
  return { name, kind: "histogram", help, lines };
}

/** Prometheus' text format. Families of one name are joined. */
export function renderFamilies(families: readonly MetricFamily[]): string {
  const joined = Map.groupBy(families, ({ name }) => name);
  const blocks = [...joined].flatMap(([name, [first, ...rest]]) => {
    if (first === undefined) return [];
    const lines = [first, ...rest].flatMap((each) => each.lines).map((line) => name + line);
    return [`# HELP ${name} ${first.help}`, `# TYPE ${name} ${first.kind}`, ...lines];
  });
  return `${blocks.join("\n")}\n`;
}
