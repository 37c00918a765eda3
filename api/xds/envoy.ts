/**
 * The part of Envoy's v3 configuration that Wherry speaks, in proto3 JSON form with snake_case names, as in Envoy's own YAML.
 *
 *   control/snapshot (emits) ─▶ api/xds codec ⇄ protobuf over ADS ─▶ sidecar, proxy/l7 (consume)
 *
 * Durations are texts ("0.250s"), 64-bit integers numbers, enums their names, Any an object with "@type".
 * Source: envoyproxy/data-plane-api; the message is named beside each type.
 */

export const typeUrls = {
  listener: "type.googleapis.com/envoy.config.listener.v3.Listener",
  route: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
  cluster: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
  endpoint: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  httpConnectionManager:
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  router: "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
  tcpProxy: "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
  originalDst: "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst",
  tlsInspector: "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
  httpInspector: "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
} as const;

/** envoy.config.core.v3.Address; only socket addresses. */
export interface Address {
  readonly socket_address: { readonly address: string; readonly port_value: number };
}

/** envoy.config.core.v3.Metadata. Istio's `istio` entry names services and workloads. */
export interface Metadata {
  readonly filter_metadata: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** envoy.config.core.v3.ConfigSource; only ADS. */
export interface ConfigSource {
  readonly ads: Readonly<Record<string, never>>;
  readonly resource_api_version: "V3";
}

/** envoy.config.listener.v3.Listener */
export interface Listener {
  readonly name: string;
  readonly address: Address;
  /** Hand each connection to the listener whose address is the original destination. */
  readonly use_original_dst?: boolean;
  /** False: no socket of its own, reached through `use_original_dst`. Default true. */
  readonly bind_to_port?: boolean;
  readonly traffic_direction?: "UNSPECIFIED" | "INBOUND" | "OUTBOUND";
  readonly listener_filters?: readonly ListenerFilter[];
  readonly listener_filters_timeout?: string;
  readonly continue_on_listener_filters_timeout?: boolean;
  readonly filter_chains?: readonly FilterChain[];
  readonly default_filter_chain?: FilterChain;
}

/** envoy.config.listener.v3.ListenerFilter */
export interface ListenerFilter {
  readonly name: string;
  readonly typed_config: { readonly "@type": string };
  /** The filter passes over connections that match. */
  readonly filter_disabled?: ListenerFilterMatch;
}

/** envoy.config.listener.v3.ListenerFilterChainMatchPredicate: one of the two; `end` is exclusive, or_match has two rules or more. */
export interface ListenerFilterMatch {
  readonly or_match?: { readonly rules: readonly ListenerFilterMatch[] };
  readonly destination_port_range?: { readonly start: number; readonly end: number };
}

/** envoy.config.listener.v3.FilterChain with exactly one network filter. */
export interface FilterChain {
  readonly name?: string;
  readonly filter_chain_match?: {
    readonly destination_port?: number;
    /** "http/1.1", "h2c": what http_inspector found. Absent: anything. */
    readonly application_protocols?: readonly string[];
    readonly transport_protocol?: string;
  };
  readonly filters: readonly { readonly name: string; readonly typed_config: HttpConnectionManager | TcpProxy }[];
}

/** envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager */
export interface HttpConnectionManager {
  readonly "@type": typeof typeUrls.httpConnectionManager;
  readonly stat_prefix: string;
  readonly rds?: { readonly config_source: ConfigSource; readonly route_config_name: string };
  readonly route_config?: RouteConfiguration;
  readonly http_filters: readonly {
    readonly name: string;
    readonly typed_config: { readonly "@type": typeof typeUrls.router };
  }[];
  /** HTTP/1.0 is served instead of answered 426. Default false. */
  readonly http_protocol_options?: { readonly accept_http_10: boolean };
  /** Upgrades that are let through; others are answered 403. */
  readonly upgrade_configs?: readonly { readonly upgrade_type: string }[];
  /** RFC 8441: extended CONNECT, which WebSocket over HTTP/2 needs. Default false. */
  readonly http2_protocol_options?: { readonly allow_connect: boolean };
  /** Default "300s"; "0s" disables. */
  readonly stream_idle_timeout?: string;
}

/** envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy */
export interface TcpProxy {
  readonly "@type": typeof typeUrls.tcpProxy;
  readonly stat_prefix: string;
  readonly cluster: string;
}

/** envoy.config.route.v3.RouteConfiguration */
export interface RouteConfiguration {
  readonly name: string;
  /** Match domains with the Host without its port. Default false. */
  readonly ignore_port_in_host_matching?: boolean;
  readonly virtual_hosts: readonly VirtualHost[];
}

/** envoy.config.route.v3.VirtualHost. Domains: exact, "*.suffix", "prefix.*" or "*", with or without a port; the most specific wins. */
export interface VirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  /** In order: the first that matches wins. */
  readonly routes: readonly Route[];
}

/** envoy.type.matcher.v3.StringMatcher */
export interface StringMatch {
  readonly exact?: string;
  readonly prefix?: string;
  readonly suffix?: string;
  readonly safe_regex?: { readonly regex: string };
}

/** envoy.config.route.v3.Route: one of route, redirect, direct_response. */
export interface Route {
  readonly name?: string;
  readonly match: RouteMatch;
  readonly route?: RouteAction;
  readonly direct_response?: { readonly status: number; readonly body?: { readonly inline_string: string } };
}

/** envoy.config.route.v3.RouteMatch: exactly one path matcher; headers and query_parameters are ANDed. */
export interface RouteMatch {
  readonly prefix?: string;
  readonly path?: string;
  /** "/a" matches "/a" and "/a/…", not "/ab". */
  readonly path_separated_prefix?: string;
  readonly safe_regex?: { readonly regex: string };
  readonly headers?: readonly HeaderMatcher[];
  readonly query_parameters?: readonly {
    readonly name: string;
    readonly string_match?: StringMatch;
    readonly present_match?: boolean;
  }[];
}

/** envoy.config.route.v3.HeaderMatcher. ":method" and ":path" name the pseudo headers. */
export interface HeaderMatcher {
  readonly name: string;
  readonly string_match?: StringMatch;
  readonly present_match?: boolean;
  readonly invert_match?: boolean;
}

/** envoy.config.route.v3.RouteAction: one of cluster, weighted_clusters. */
export interface RouteAction {
  readonly cluster?: string;
  readonly weighted_clusters?: { readonly clusters: readonly { readonly name: string; readonly weight: number }[] };
  /** Whole request, retries included. "0s" disables. Default "15s". */
  readonly timeout?: string;
  readonly retry_policy?: RetryPolicy;
  /** The answer when the picked cluster is not known. Default SERVICE_UNAVAILABLE (503). */
  readonly cluster_not_found_response_code?: "SERVICE_UNAVAILABLE" | "NOT_FOUND" | "INTERNAL_SERVER_ERROR";
}

/** envoy.config.route.v3.RetryPolicy */
export interface RetryPolicy {
  /** Comma-separated: connect-failure, reset, … */
  readonly retry_on: string;
  /** Default 1. */
  readonly num_retries?: number;
}

/** envoy.config.cluster.v3.Cluster */
export interface Cluster {
  readonly name: string;
  readonly type: "EDS" | "STATIC" | "ORIGINAL_DST";
  readonly eds_cluster_config?: { readonly eds_config: ConfigSource; readonly service_name?: string };
  readonly load_assignment?: ClusterLoadAssignment;
  readonly connect_timeout?: string;
  /** CLUSTER_PROVIDED goes with ORIGINAL_DST. */
  readonly lb_policy?: "ROUND_ROBIN" | "CLUSTER_PROVIDED";
  readonly circuit_breakers?: CircuitBreakers;
  readonly typed_extension_protocol_options?: {
    readonly [httpProtocolOptions]: HttpProtocolOptions;
  };
  readonly metadata?: Metadata;
}

/** The name and the type under which a cluster says how its HTTP connections speak. */
export const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** envoy.extensions.upstreams.http.v3.HttpProtocolOptions: one of the two. */
export interface HttpProtocolOptions {
  readonly "@type": string;
  /** HTTP/1 or HTTP/2, as the request came. */
  readonly use_downstream_protocol_config?: Readonly<Record<string, object>>;
  readonly explicit_http_config?: Readonly<Record<string, object>>;
}

/** envoy.config.cluster.v3.CircuitBreakers */
export interface CircuitBreakers {
  readonly thresholds: readonly {
    readonly max_connections?: number;
    readonly max_pending_requests?: number;
    readonly max_requests?: number;
    readonly max_retries?: number;
  }[];
}

/** envoy.config.endpoint.v3.ClusterLoadAssignment */
export interface ClusterLoadAssignment {
  readonly cluster_name: string;
  readonly endpoints: readonly LocalityLbEndpoints[];
}

/** envoy.config.endpoint.v3.LocalityLbEndpoints */
export interface LocalityLbEndpoints {
  readonly locality: { readonly region?: string; readonly zone?: string; readonly sub_zone?: string };
  readonly load_balancing_weight?: number;
  readonly priority?: number;
  readonly lb_endpoints: readonly LbEndpoint[];
}

/** envoy.config.endpoint.v3.LbEndpoint. Metadata `istio.workload` is "name;namespace;canonical service;canonical revision;cluster". */
export interface LbEndpoint {
  readonly endpoint: { readonly address: Address };
  readonly health_status?: "UNKNOWN" | "HEALTHY" | "UNHEALTHY" | "DRAINING";
  readonly load_balancing_weight?: number;
  readonly metadata?: Metadata;
}
