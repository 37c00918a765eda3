/**
 * The parts that listeners are built of: HTTP and TCP filter chains, and the pair of both for ports that declare
 * neither. Pure.
 */
import {
  typeUrls,
  type FilterChain,
  type HttpConnectionManager,
  type Listener,
  type ListenerFilter,
  type RetryPolicy,
  type RouteConfiguration,
} from "#api/xds/envoy.ts";
import type { PortProtocol } from "./protocol.ts";

/** What http_inspector calls the HTTP that the engine speaks. */
const httpProtocols = ["http/1.0", "http/1.1", "h2c"];

/**
 * How long a connection to a port of unknown protocol may stay silent before it counts as TCP. A server that speaks
 * first is delayed by it, so declare such ports; a client that connects ahead of its first request should fit in.
 */
const detectTimeout = "5s";

/** Retries that cannot repeat an effect: the connection was not made, or was reset before any answer. */
export const retryPolicy: RetryPolicy = { retry_on: "connect-failure,reset", num_retries: 1 };

/** Where a connection goes on: routes by name or inline for HTTP, a cluster for anything else. */
export interface Destination {
  readonly statPrefix: string;
  readonly routes: { readonly rds: string } | { readonly inline: RouteConfiguration };
  readonly cluster: string;
  /** Only connections to this port. Absent: any. */
  readonly port?: number;
}

/** The filter chains of a port that speaks `protocol`. More than one needs `inspectors`. */
export function filterChainsOf(protocol: PortProtocol, to: Destination): readonly FilterChain[] {
  switch (protocol) {
    case "http":
      return [chain(to, [http(to)])];
    case "tcp":
      return [chain(to, [tcp(to)])];
    case "auto":
      return [chain(to, [http(to)], httpProtocols), chain(to, [tcp(to)])];
  }
}

/**
 * What a listener with `auto` ports needs beside its filter chains. On `tcpPorts` the inspector is passed over: it would
 * wait for a client that waits for the server.
 */
export function inspectorsFor(
  tcpPorts: readonly number[] = [],
): Required<Pick<Listener, "listener_filters" | "listener_filters_timeout" | "continue_on_listener_filters_timeout">> {
  const rules = tcpPorts.map((port) => ({ destination_port_range: { start: port, end: port + 1 } }));
  const [first, second] = rules;
  const disabled = first === undefined ? undefined : second === undefined ? first : { or_match: { rules } };
  return {
    listener_filters: [
      {
        name: "envoy.filters.listener.http_inspector",
        typed_config: { "@type": typeUrls.httpInspector },
        ...(disabled === undefined ? {} : { filter_disabled: disabled }),
      },
    ],
    listener_filters_timeout: detectTimeout,
    continue_on_listener_filters_timeout: true,
  };
}

/** The listener filter that finds where a redirected connection was going. */
export const originalDst: ListenerFilter = {
  name: "envoy.filters.listener.original_dst",
  typed_config: { "@type": typeUrls.originalDst },
};

function chain(to: Destination, filters: FilterChain["filters"], protocols?: readonly string[]): FilterChain {
  const match = {
    ...(to.port === undefined ? {} : { destination_port: to.port }),
    ...(protocols === undefined ? {} : { application_protocols: protocols }),
  };
  return { ...(Object.keys(match).length === 0 ? {} : { filter_chain_match: match }), filters };
}

function tcp({ statPrefix, cluster }: Destination): FilterChain["filters"][number] {
  return {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: { "@type": typeUrls.tcpProxy, stat_prefix: statPrefix, cluster },
  };
}

function http({ statPrefix, routes }: Destination): FilterChain["filters"][number] {
  const manager: HttpConnectionManager = {
    "@type": typeUrls.httpConnectionManager,
    stat_prefix: statPrefix,
    ...("inline" in routes
      ? { route_config: routes.inline }
      : { rds: { config_source: { ads: {}, resource_api_version: "V3" }, route_config_name: routes.rds } }),
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": typeUrls.router } }],
    // What an application may do without a mesh: HTTP/1.0, and WebSocket, over HTTP/2, too.
    http_protocol_options: { accept_http_10: true },
    upgrade_configs: [{ upgrade_type: "websocket" }],
    http2_protocol_options: { allow_connect: true },
    // As Istio: an idle stream is the application's business; without a mesh nothing would end it.
    stream_idle_timeout: "0s",
  };
  return { name: "envoy.filters.network.http_connection_manager", typed_config: manager };
}
