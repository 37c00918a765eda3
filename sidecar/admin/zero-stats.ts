/**
 * Counters that are shown before they are first counted, as in Envoy: rate() needs a first sample. Names only.
 *
 *   LiveConfig ─▶ statNames() ─▶ stats.ts: zero for what has no count yet
 *
 * Source: Envoy, "Statistics" of the connection manager, the cluster manager, listeners and the TCP proxy.
 */
import { chainsOf, type CompiledListener } from "#proxy/l7/config/listener.ts";
import type { LiveConfig } from "#proxy/l7/listener.ts";

/** What statistics are kept by. */
export type StatGroup = "http" | "tcp" | "cluster" | "listener";

const classes = (prefix: string): readonly string[] => [1, 2, 3, 4, 5].map((digit) => `${prefix}_${digit}xx`);

/** By group, without what a group's names begin with. */
export const zeroCounters: Readonly<Record<StatGroup, readonly string[]>> = {
  http: [
    ...classes("downstream_rq"),
    "downstream_cx_destroy",
    "downstream_cx_protocol_error",
    "downstream_cx_rx_bytes_total",
    "downstream_cx_total",
    "downstream_cx_tx_bytes_total",
    "downstream_rq_completed",
    "downstream_rq_http1_total",
    "downstream_rq_http2_total",
    "downstream_rq_idle_timeout",
    "downstream_rq_max_duration_reached",
    "downstream_rq_rx_reset",
    "downstream_rq_too_large",
    "downstream_rq_total",
    "no_cluster",
    "no_route",
    "rq_direct_response",
    "rq_total",
  ],
  tcp: [
    "downstream_cx_no_route",
    "downstream_cx_rx_bytes_total",
    "downstream_cx_total",
    "downstream_cx_tx_bytes_total",
  ],
  cluster: [
    ...classes("upstream_rq"),
    "upstream_cx_none_healthy",
    "upstream_cx_protocol_error",
    "upstream_rq_completed",
    "upstream_rq_retry",
    "upstream_rq_rx_reset",
    "upstream_rq_timeout",
  ],
  listener: ["downstream_cx_destroy", "downstream_cx_total"],
};

/** What there are statistics of by the configuration in force. */
export function statNames({ listeners, clusters }: LiveConfig): Readonly<Record<StatGroup, ReadonlySet<string>>> {
  const filters = [...listeners.values()].flatMap(chainsOf).map(({ filter }) => filter);
  const prefixes = (kind: "http" | "tcp"): ReadonlySet<string> =>
    new Set(filters.filter((filter) => filter.kind === kind).map(({ statPrefix }) => statPrefix));
  return {
    http: prefixes("http"),
    tcp: prefixes("tcp"),
    cluster: new Set(clusters.keys()),
    listener: new Set([...listeners.values()].filter(({ bindsToPort }) => bindsToPort).map(statName)),
  };
}

/** As Envoy has it: the address with underscores instead of colons. */
export function statName({ address, port }: CompiledListener): string {
  return `${address.replaceAll(":", "_")}_${port}`;
}
