/**
 * Istio's standard metrics as plain numbers, and their text exposition.
 *
 *   proxy/l7 (Observer) ─▶ series found by object identity ─▶ += ─▶ render() ─▶ /stats/prometheus
 *
 * A request costs a few map look-ups and no text: peers, destinations and series are resolved once and remembered.
 * Bounds: at most `seriesMax` series. When that many are there, those idle for ten minutes are dropped; if there are
 * none, the request is counted in wherry_metrics_dropped_total alone. Below the bound nothing is ever dropped, so
 * counters do not reset. Source: Istio standard metrics (reference/l7.md section 2a); text format 0.0.4.
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import type { Cluster } from "#proxy/l7/cluster.ts";
import type { ConnectionInfo, ExchangeRecord, Observer, TCPRecord } from "#proxy/l7/context.ts";
import type { Endpoint } from "#proxy/l7/endpoint.ts";
import type { EngineCounters } from "#proxy/l7/types.ts";
import { headerValue } from "#proxy/l7/http1/headers.ts";
import { grpcStatusIn } from "#proxy/l7/http2/grpc.ts";
import { Histogram, renderHistogram } from "./histogram.ts";
import {
  type Workload,
  formatLabels,
  probeAgent,
  serviceOf,
  unknownWorkload,
  workloadOfMetadata,
  workloadOfResource,
  workloadOfSpec,
} from "./labels.ts";
import type { SpanCounters } from "./tracing-span.ts";

/** Most series of one sidecar. */
export const seriesMax = 4000;
/** A series is idle when nothing was added for this long, in ms (linkerd2-proxy's). */
export const seriesIdleMs = 600_000;

export interface MetricsOptions {
  readonly spec: SidecarSpec;
  readonly counters: EngineCounters;
  readonly spans: SpanCounters;
  /** Who has an address. Asked once for each inbound connection and each endpoint, not for each request. */
  readonly workloadOf: (address: string) => WorkloadResource | undefined;
  /** Monotonic time, in ms. */
  readonly nowMs: () => number;
  readonly seriesMax?: number;
}

interface Series {
  readonly labels: string;
  readonly owner: Map<number, Series>;
  readonly key: number;
  lastMs: number;
}

interface HTTPSeries extends Series {
  readonly kind: "http";
  requests: number;
  readonly duration: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
}

interface TCPSeries extends Series {
  readonly kind: "tcp";
  opened: number;
  closed: number;
  receivedBytes: number;
  sentBytes: number;
}

/** An open connection, and what of it was counted so far. */
interface OpenTCP {
  readonly series: TCPSeries;
  receivedBytes: number;
  sentBytes: number;
}

/** All series between one source and one destination; the number is status and flag, see seriesKey(). */
type Pair = Map<number, Series>;

/** Flags as small numbers, for the keys of series. */
const flagNumbers = new Map<string, number>();
/** A status of this means TCP. */
const tcpStatus = 999;

export class Metrics implements Observer {
  readonly #options: MetricsOptions;
  readonly #local: Workload;
  readonly #seriesMax: number;
  /** Peer → cluster → endpoint → pair. Held by the objects, so that it goes with them. */
  readonly #pairs = new WeakMap<Workload, WeakMap<object, WeakMap<object, Pair>>>();
  readonly #pairByLabels = new Map<string, Pair>();
  readonly #peers = new WeakMap<ConnectionInfo, Workload>();
  readonly #peersByName = new Map<string, Workload>();
  readonly #series = new Set<HTTPSeries | TCPSeries>();
  /** As many as there are connections. */
  readonly #open = new Map<TCPRecord, OpenTCP>();
  #dropped = 0;

  constructor(options: MetricsOptions) {
    this.#options = options;
    this.#local = workloadOfSpec(options.spec);
    this.#seriesMax = options.seriesMax ?? seriesMax;
  }

  onExchange(record: ExchangeRecord): void {
    if (this.#isProbe(record)) return;
    const series = this.#find(record, record.status, grpcStatusIn(record));
    if (series?.kind !== "http") return;
    series.requests++;
    series.duration.observe(record.durationMs);
    series.requestBytes.observe(record.requestBytes);
    series.responseBytes.observe(record.responseBytes);
  }

  onTCPOpen(record: TCPRecord): void {
    const series = this.#find(record, tcpStatus);
    if (series?.kind !== "tcp") return;
    series.opened++;
    this.#open.set(record, { series, receivedBytes: 0, sentBytes: 0 });
  }

  onTCPClose(record: TCPRecord): void {
    const open = this.#open.get(record);
    if (open === undefined) return;
    this.#open.delete(record);
    this.#addBytes(record, open);
    open.series.closed++;
  }

  /** The whole page. */
  render(): string {
    // Connections can last for days; what passed so far counts now.
    for (const [record, open] of this.#open) this.#addBytes(record, open);
    const http = [...this.#series].filter((series) => series.kind === "http");
    const tcp = [...this.#series].filter((series) => series.kind === "tcp");
    return [
      ...counter("istio_requests_total", http, (series) => series.requests),
      ...renderHistogram("istio_request_duration_milliseconds", http, (series) => series.duration),
      ...renderHistogram("istio_request_bytes", http, (series) => series.requestBytes),
      ...renderHistogram("istio_response_bytes", http, (series) => series.responseBytes),
      ...counter("istio_tcp_connections_opened_total", tcp, (series) => series.opened),
      ...counter("istio_tcp_connections_closed_total", tcp, (series) => series.closed),
      ...counter("istio_tcp_received_bytes_total", tcp, (series) => series.receivedBytes),
      ...counter("istio_tcp_sent_bytes_total", tcp, (series) => series.sentBytes),
      ...this.#renderOwn(),
      "",
    ].join("\n");
  }

  #renderOwn(): readonly string[] {
    const { counters, spans } = this.#options;
    const single = (name: string, kind: "counter" | "gauge", value: number): string[] => [
      `# TYPE ${name} ${kind}`,
      `${name} ${value}`,
    ];
    return [
      "# TYPE istio_build gauge",
      'istio_build{component="proxy",tag="wherry"} 1',
      "# TYPE wherry_inbound_handed_back_total counter",
      `wherry_inbound_handed_back_total{reason="connect"} ${counters.handedBack.connect}`,
      `wherry_inbound_handed_back_total{reason="reset"} ${counters.handedBack.reset}`,
      "# TYPE wherry_spans_total counter",
      `wherry_spans_total{outcome="exported"} ${spans.exported}`,
      `wherry_spans_total{outcome="dropped"} ${spans.dropped}`,
      `wherry_spans_total{outcome="failed"} ${spans.failed}`,
      ...single("wherry_downstream_connections", "gauge", counters.downstreamOpen),
      ...single("wherry_downstream_connections_refused_total", "counter", counters.downstreamRefused),
      ...single("wherry_upstream_connections", "gauge", counters.upstreamOpen),
      ...single("wherry_upstream_overflows_total", "counter", counters.upstreamOverflows),
      ...single("wherry_retries_total", "counter", counters.retries),
      ...single("wherry_protocol_errors_total", "counter", counters.protocolErrors),
      ...single("wherry_detect_timeouts_total", "counter", counters.detectTimeouts),
      ...single("wherry_setup_errors_total", "counter", counters.setUpErrors),
      ...single("wherry_loops_refused_total", "counter", counters.loopsRefused),
      ...single("wherry_metrics_series", "gauge", this.#series.size),
      ...single("wherry_metrics_dropped_total", "counter", this.#dropped),
    ];
  }

  #addBytes(record: TCPRecord, open: OpenTCP): void {
    const { series } = open;
    series.receivedBytes += record.receivedBytes - open.receivedBytes;
    series.sentBytes += record.sentBytes - open.sentBytes;
    open.receivedBytes = record.receivedBytes;
    open.sentBytes = record.sentBytes;
    series.lastMs = this.#options.nowMs();
  }

  /** `grpc` as grpcStatusIn() has it. */
  #find(record: ExchangeRecord | TCPRecord, status: number, grpc?: number): HTTPSeries | TCPSeries | undefined {
    const pair = this.#pairOf(record);
    const key = seriesKey(status, record.flag, grpc);
    const series = pair.get(key) as HTTPSeries | TCPSeries | undefined;
    const nowMs = this.#options.nowMs();
    if (series === undefined) return this.#add(record, { pair, key, status, grpc, nowMs });
    series.lastMs = nowMs;
    return series;
  }

  #pairOf(record: ExchangeRecord | TCPRecord): Pair {
    const peer = this.#peerOf(record.connection);
    let byCluster = this.#pairs.get(peer);
    if (byCluster === undefined) this.#pairs.set(peer, (byCluster = new WeakMap()));
    const cluster = record.cluster ?? noCluster;
    let byEndpoint = byCluster.get(cluster);
    if (byEndpoint === undefined) byCluster.set(cluster, (byEndpoint = new WeakMap()));
    const endpoint = record.endpoint ?? noEndpoint;
    let pair = byEndpoint.get(endpoint);
    if (pair === undefined) {
      // Endpoints of one workload share their series, and so does an endpoint that came back.
      const labels = this.#labels(record, { status: 0, flag: "-", grpc: undefined });
      pair = this.#pairByLabels.get(labels) ?? new Map<number, Series>();
      if (this.#pairByLabels.size < this.#seriesMax) this.#pairByLabels.set(labels, pair);
      byEndpoint.set(endpoint, pair);
    }
    return pair;
  }

  /** The other side of an inbound connection; an outbound one comes from here. */
  #peerOf(connection: ConnectionInfo): Workload {
    if (connection.direction === "outbound") return this.#local;
    let peer = this.#peers.get(connection);
    if (peer === undefined) {
      const resolved = workloadOfResource(this.#options.workloadOf(connection.remoteAddress));
      const name = JSON.stringify(resolved);
      // One object for each workload, whatever its addresses.
      peer = this.#peersByName.get(name) ?? resolved;
      if (this.#peersByName.size < this.#seriesMax) this.#peersByName.set(name, peer);
      this.#peers.set(connection, peer);
    }
    return peer;
  }

  /** A kubelet's probe is no traffic; Istio's go past the sidecar. Only who is no workload can be a kubelet. */
  #isProbe({ connection, head }: ExchangeRecord): boolean {
    if (
      connection.direction !== "inbound" ||
      head === undefined ||
      this.#peerOf(connection).name !== unknownWorkload.name
    )
      return false;
    return headerValue(head.headers, "user-agent")?.startsWith(probeAgent) === true;
  }

  #labels(
    record: ExchangeRecord | TCPRecord,
    { status, flag, grpc }: { readonly status: number; readonly flag: string; readonly grpc: number | undefined },
  ): string {
    const { direction } = record.connection;
    const isInbound = direction === "inbound";
    return formatLabels({
      direction,
      source: isInbound ? this.#peerOf(record.connection) : this.#local,
      destination: isInbound ? this.#local : this.#destinationOf(record.cluster, record.endpoint),
      service: serviceOf(record.cluster),
      protocol: status === tcpStatus ? "tcp" : grpc === undefined ? "http" : "grpc",
      status,
      grpcStatus: grpc === undefined || grpc < 0 ? "" : String(grpc),
      flag,
    });
  }

  #destinationOf(cluster: Cluster | undefined, endpoint: Endpoint | undefined): Workload {
    const resource = endpoint && this.#options.workloadOf(endpoint.address);
    // The workload resource knows app and version; the metadata came with the endpoint, and is of the same moment.
    if (
      resource !== undefined &&
      (endpoint!.workload === "" || endpoint!.workload.startsWith(`${resource.workloadName};`))
    )
      return workloadOfResource(resource);
    return workloadOfMetadata(cluster === undefined ? "" : (endpoint?.workload ?? ""));
  }

  #add(
    record: ExchangeRecord | TCPRecord,
    at: {
      readonly pair: Pair;
      readonly key: number;
      readonly status: number;
      readonly grpc: number | undefined;
      readonly nowMs: number;
    },
  ): HTTPSeries | TCPSeries | undefined {
    if (this.#series.size >= this.#seriesMax && !this.#dropIdle(at.nowMs)) {
      this.#dropped++;
      return undefined;
    }
    const base = {
      labels: this.#labels(record, { status: at.status, flag: record.flag, grpc: at.grpc }),
      owner: at.pair,
      key: at.key,
      lastMs: at.nowMs,
    };
    const series: HTTPSeries | TCPSeries =
      at.status === tcpStatus
        ? { ...base, kind: "tcp", opened: 0, closed: 0, receivedBytes: 0, sentBytes: 0 }
        : {
            ...base,
            kind: "http",
            requests: 0,
            duration: new Histogram(),
            requestBytes: new Histogram(),
            responseBytes: new Histogram(),
          };
    at.pair.set(at.key, series);
    this.#series.add(series);
    return series;
  }

  /** True when at least one series was dropped. */
  #dropIdle(nowMs: number): boolean {
    const before = this.#series.size;
    for (const series of this.#series) {
      if (nowMs - series.lastMs < seriesIdleMs) continue;
      this.#series.delete(series);
      series.owner.delete(series.key);
    }
    return this.#series.size < before;
  }
}

const noCluster: object = {};
const noEndpoint: object = {};

/** gRPC statuses from -1 to 16, and "not gRPC". */
const grpcKinds = 19;

function seriesKey(status: number, flag: string, grpc: number | undefined): number {
  let number = flagNumbers.get(flag);
  if (number === undefined) flagNumbers.set(flag, (number = flagNumbers.size));
  return (number * grpcKinds + (grpc === undefined ? 0 : grpc + 2)) * 1000 + status;
}

function counter<Kind extends Series>(
  name: string,
  series: readonly Kind[],
  valueOf: (series: Kind) => number,
): readonly string[] {
  if (series.length === 0) return [];
  return [`# TYPE ${name} counter`, ...series.map((one) => `${name}{${one.labels}} ${valueOf(one)}`)];
}
