/**
 * Envoy's statistics as plain numbers: counted by requests and connections, named when they are asked for.
 *
 *   Observer of each chain ─▶ HTTPStats, ClusterStats ─▶ entries() ─▶ pages.ts: /stats
 *
 * A request costs some additions on objects that its chain and cluster hold. Invariant: names are those of Envoy
 * ("cluster.NAME.upstream_rq_2xx"), and a number that is not kept is not there, rather than zero; one that is kept and
 * has no count yet is zero (zero-stats.ts).
 * Source: Envoy, "Statistics" of the connection manager, the cluster manager, listeners and the server.
 */
import type { Socket } from "node:net";
import type { Cluster } from "#proxy/l7/cluster.ts";
import type { ExchangeRecord, Load, Observer, TCPRecord } from "#proxy/l7/context.ts";
import type { LiveConfig } from "#proxy/l7/listener.ts";
import { Histogram } from "../histogram.ts";
import { CounterBaselines, type KeptStats } from "./counter-baselines.ts";
import { type StatGroup, statNames, zeroCounters } from "./zero-stats.ts";

export type StatKind = "counter" | "gauge";

export interface Stat {
  readonly name: string;
  readonly kind: StatKind;
  readonly value: number;
}

export interface HistogramStat {
  readonly name: string;
  readonly histogram: Histogram;
}

/** Counters by name; a name costs its first count only. Each is looked up once a count, and counted in place. */
class Counters {
  readonly #cells = new Map<string, { value: number }>();

  add(name: string, by = 1): void {
    const cell = this.#cells.get(name);
    if (cell === undefined) this.#cells.set(name, { value: by });
    else cell.value += by;
  }

  has(name: string): boolean {
    return this.#cells.has(name);
  }

  *entries(): Iterable<readonly [name: string, value: number]> {
    for (const [name, { value }] of this.#cells) yield [name, value];
  }

  /** All are zero; their names stay. */
  clear(): void {
    for (const cell of this.#cells.values()) cell.value = 0;
  }
}

/** Names with a number in them, each made once: as many as there are statuses. */
class NumberedNames {
  readonly #name: (number: number) => string;
  readonly #names: string[] = [];

  constructor(name: (number: number) => string) {
    this.#name = name;
  }

  of(number: number): string {
    return (this.#names[number] ??= this.#name(number));
  }
}

const downstreamClasses = new NumberedNames((hundreds) => `downstream_rq_${hundreds}xx`);
const upstreamStatuses = new NumberedNames((status) => `upstream_rq_${status}`);
const upstreamClasses = new NumberedNames((hundreds) => `upstream_rq_${hundreds}xx`);

interface Group {
  readonly counters: Counters;
  readonly time: Histogram;
  /** Connections that are open now. */
  open: number;
  /** Requests that are under way now, of HTTP. */
  readonly load: Load;
}

const newGroup = (): Group => ({ counters: new Counters(), time: new Histogram(), open: 0, load: { requests: 0 } });

/** Flags of requests that count in a cluster's statistics, beside the response itself. */
const flagCounters: Readonly<Record<string, string>> = {
  UT: "upstream_rq_timeout",
  UH: "upstream_cx_none_healthy",
  UR: "upstream_rq_rx_reset",
  UPE: "upstream_cx_protocol_error",
};

/** The time of one try is not that of the request. */
const detailsOfTries: ReadonlySet<string | undefined> = new Set([
  "upstream_per_try_timeout",
  "upstream_per_try_idle_timeout",
]);

/** The same of a listener's connection manager. */
const managerCounters: Readonly<Record<string, string>> = {
  NR: "no_route",
  NC: "no_cluster",
  DC: "downstream_rq_rx_reset",
  SI: "downstream_rq_idle_timeout",
  DT: "downstream_rq_max_duration_reached",
  DPE: "downstream_cx_protocol_error",
};

/** The same by RESPONSE_CODE_DETAILS. */
const detailCounters: Readonly<Record<string, string>> = {
  direct_response: "rq_direct_response",
  request_payload_too_large: "downstream_rq_too_large",
};

export class EnvoyStats {
  readonly #http = new Map<string, Group>();
  readonly #tcp = new Map<string, Group>();
  readonly #clusters = new Map<string, Group>();
  readonly #listeners = new Map<string, Group>();
  readonly #others = new CounterBaselines();

  /** Counts for one HTTP chain; each record goes on to `next`. */
  observeHTTP(prefix: string, next: Observer): Observer {
    const group = groupOf(this.#http, prefix);
    return {
      load: group.load,
      onExchange: (record) => {
        this.#countRequest(group, record);
        next.onExchange(record);
      },
      onTCPOpen: (record) => next.onTCPOpen(record),
      onTCPClose: (record) => next.onTCPClose(record),
    };
  }

  /** Counts for one TCP chain. */
  observeTCP(prefix: string, next: Observer): Observer {
    const { counters } = groupOf(this.#tcp, prefix);
    return {
      onExchange: (record) => next.onExchange(record),
      onTCPOpen: (record) => {
        counters.add("downstream_cx_total");
        if (record.flag === "NC") counters.add("downstream_cx_no_route");
        next.onTCPOpen(record);
      },
      onTCPClose: (record) => {
        this.#countTCP(counters, record);
        next.onTCPClose(record);
      },
    };
  }

  /** A connection was accepted at a listener. */
  countAccepted(listener: string, socket: Socket): void {
    this.#countConnection(groupOf(this.#listeners, listener), socket);
  }

  /** A connection came to an HTTP chain. */
  countHTTP(prefix: string, socket: Socket): void {
    const group = groupOf(this.#http, prefix);
    this.#countConnection(group, socket);
    socket.once("close", () => {
      group.counters.add("downstream_cx_rx_bytes_total", socket.bytesRead);
      group.counters.add("downstream_cx_tx_bytes_total", socket.bytesWritten);
    });
  }

  /** Sets every counter to zero; `others` are those that are kept elsewhere, as they stand. Gauges go on. */
  reset(others: readonly KeptStats[]): void {
    this.#others.reset(others);
    for (const map of [this.#http, this.#tcp, this.#clusters, this.#listeners])
      for (const { counters, time } of map.values()) {
        counters.clear();
        time.clear();
      }
  }

  /** What is kept elsewhere, as it counts from the last reset() on. */
  sinceReset(others: readonly KeptStats[]): readonly Stat[] {
    return this.#others.since(others);
  }

  /** The counters, in no order. What is in `live` has them from the start, with zero. */
  *counters(live: LiveConfig): Iterable<Stat> {
    const groups = [
      ["http", this.#http],
      ["tcp", this.#tcp],
      ["cluster", this.#clusters],
      ["listener", this.#listeners],
    ] as const;
    const names = statNames(live);
    for (const [kind, map] of groups) {
      for (const name of names[kind]) {
        const counted = map.get(name)?.counters;
        for (const stat of zeroCounters[kind])
          if (counted?.has(stat) !== true) yield { name: `${kind}.${name}.${stat}`, kind: "counter", value: 0 };
        if (!map.has(name)) yield* gaugesOf(kind, name, { open: 0, load: { requests: 0 } });
      }
      for (const [name, group] of map) {
        for (const [stat, value] of group.counters.entries())
          yield { name: `${kind}.${name}.${stat}`, kind: "counter", value };
        yield* gaugesOf(kind, name, group);
      }
    }
  }

  *histograms(): Iterable<HistogramStat> {
    for (const [name, { time }] of this.#http) yield { name: `http.${name}.downstream_rq_time`, histogram: time };
    for (const [name, { time }] of this.#clusters) yield { name: `cluster.${name}.upstream_rq_time`, histogram: time };
  }

  #countRequest({ counters, time }: Group, record: ExchangeRecord): void {
    const { status, flag, cluster, durationMs, details, head } = record;
    counters.add("downstream_rq_total");
    if (head !== undefined)
      counters.add(head.protocol === "HTTP/2" ? "downstream_rq_http2_total" : "downstream_rq_http1_total");
    const counted = detailCounters[details ?? ""];
    if (counted !== undefined) counters.add(counted);
    // What the router has seen; filters may have answered before.
    if (record.isRouted === true) counters.add("rq_total");
    if (status >= 100) {
      counters.add(downstreamClasses.of(Math.floor(status / 100)));
      counters.add("downstream_rq_completed");
    }
    const own = managerCounters[flag];
    if (own !== undefined) counters.add(own);
    time.observe(durationMs);
    if (cluster !== undefined) countUpstream(groupOf(this.#clusters, cluster.name), cluster, record);
  }

  #countConnection(group: Group, socket: Socket): void {
    group.counters.add("downstream_cx_total");
    group.open++;
    socket.once("close", () => {
      group.open--;
      group.counters.add("downstream_cx_destroy");
    });
  }

  #countTCP(counters: Counters, { cluster, flag, receivedBytes, sentBytes }: TCPRecord): void {
    counters.add("downstream_cx_rx_bytes_total", receivedBytes);
    counters.add("downstream_cx_tx_bytes_total", sentBytes);
    if (cluster === undefined) return;
    const upstream = groupOf(this.#clusters, cluster.name).counters;
    const counted = flagCounters[flag];
    if (counted !== undefined) upstream.add(counted);
    upstream.add("upstream_cx_tx_bytes_total", receivedBytes);
    upstream.add("upstream_cx_rx_bytes_total", sentBytes);
  }
}

function* gaugesOf(kind: StatGroup, name: string, { open, load }: Pick<Group, "open" | "load">): Iterable<Stat> {
  if (kind === "http" || kind === "listener")
    yield { name: `${kind}.${name}.downstream_cx_active`, kind: "gauge", value: open };
  if (kind === "http") yield { name: `${kind}.${name}.downstream_rq_active`, kind: "gauge", value: load.requests };
}

function countUpstream({ counters, time }: Group, _cluster: Cluster, record: ExchangeRecord): void {
  const { flag, attempts = 0, details, durationMs } = record;
  const status = record.givenStatus || record.status;
  if (attempts > 1) counters.add("upstream_rq_retry", attempts - 1);
  const counted = flagCounters[flag];
  if (counted !== undefined && !detailsOfTries.has(details)) counters.add(counted);
  if (status < 100) return;
  counters.add("upstream_rq_completed");
  counters.add(upstreamStatuses.of(status));
  counters.add(upstreamClasses.of(Math.floor(status / 100)));
  time.observe(durationMs);
}

function groupOf(map: Map<string, Group>, name: string): Group {
  let group = map.get(name);
  if (group === undefined) {
    group = newGroup();
    map.set(name, group);
  }
  return group;
}
