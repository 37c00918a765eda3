/**
 * Envoy's HttpConnectionManager → CompiledHTTP. Pure.
 *
 *   Reader of a network filter ─▶ compileHTTP() ─▶ options.ts (connections), route/policy.ts (requests), accesslog/
 *
 * Source: envoy.extensions.filters.network.http_connection_manager.v3, envoy.config.core.v3 protocol options.
 */
import { compileAccessLogs } from "../accesslog/config.ts";
import type { AccessLogSpec } from "../accesslog/log.ts";
import { type HTTP2Options, type HTTPOptions, http2OptionsDefault, httpOptionsDefault } from "../options.ts";
import { type RequestPolicy, requestPolicyDefault } from "../route/policy.ts";
import type { RouteTable } from "../route/table.ts";
import { readRange } from "./cidr.ts";
import { type ConfiguredFilter, filterTypes, readHTTPFilters } from "./http-filters.ts";
import type { Reader } from "./reader.ts";
import { compileRoutes } from "./route.ts";

/** Envoy's default for stream_idle_timeout, in ms. */
const streamIdleMsDefault = 300_000;

export interface CompiledHTTP {
  readonly kind: "http";
  readonly statPrefix: string;
  /** The RDS name; undefined with inline routes. */
  readonly routeName: string | undefined;
  readonly inline: RouteTable | undefined;
  /** 0 is none. */
  readonly streamIdleMs: number;
  /** Of the connection. */
  readonly options: HTTPOptions;
  /** Of each request. */
  readonly policy: RequestPolicy;
  /** In order, without the router. */
  readonly filters: readonly ConfiguredFilter[];
  /** The name of the CORS filter among them. */
  readonly corsFilter: string | undefined;
  /** Longest a stream may take where its route says nothing, in ms; 0 is none. */
  readonly maxStreamMs: number;
  readonly accessLogs: readonly AccessLogSpec[];
}

/** A chain of nothing but routes, with Envoy's defaults. */
export const httpDefault: Omit<CompiledHTTP, "routeName" | "inline"> = {
  kind: "http",
  statPrefix: "",
  streamIdleMs: streamIdleMsDefault,
  options: httpOptionsDefault,
  policy: requestPolicyDefault,
  filters: [],
  corsFilter: undefined,
  maxStreamMs: 0,
  accessLogs: [],
};

export function compileHTTP(config: Reader): CompiledHTTP {
  const statPrefix = config.text("stat_prefix") ?? "";
  const filters = readHTTPFilters(config);
  const common = config.object("common_http_protocol_options");
  const maxStreamMs = common?.durationMs("max_stream_duration") ?? 0;
  const options = readOptions(config, common);
  const policy = readPolicy(config, common);
  const accessLogs = compileAccessLogs(config, "access_log");
  const { routeName, inline } = readRoutes(config);
  const streamIdleMs = config.durationMs("stream_idle_timeout") ?? streamIdleMsDefault;
  common?.done();
  // Request ids are made for every request; draining is the process's own; invalid messages end the connection;
  // tracing is set up for the whole sidecar.
  config.ignore("generate_request_id", "drain_timeout", "delayed_close_timeout", "preserve_external_request_id");
  config.ignore("add_user_agent", "proxy_100_continue", "represent_ipv4_remote_address_as_ipv4_mapped_ipv6");
  config.ignore("tracing", "stream_error_on_invalid_http_message", "access_log_options").done();
  return {
    kind: "http",
    statPrefix,
    routeName,
    inline,
    streamIdleMs,
    options,
    policy,
    filters: filters.filter(({ type }) => type !== filterTypes.router),
    corsFilter: filters.find(({ type }) => type === filterTypes.cors)?.name,
    maxStreamMs,
    accessLogs,
  };
}

function readRoutes(config: Reader): Pick<CompiledHTTP, "routeName" | "inline"> {
  const rds = config.object("rds");
  const inlineConfig = config.object("route_config");
  const inline =
    inlineConfig === undefined ? undefined : compileRoutes(config.raw("route_config"), config.at("route_config"));
  const routeName = rds?.wantText("route_config_name");
  rds?.ignore("config_source").done();
  if ((rds === undefined) === (inline === undefined))
    throw config.bad("rds", "wanted exactly one of rds and route_config");
  return { routeName, inline };
}

function readOptions(config: Reader, common: Reader | undefined): HTTPOptions {
  const codec = config.oneOf("codec_type", ["AUTO", "HTTP1", "HTTP2"]) ?? "AUTO";
  const http1 = config.object("http_protocol_options");
  const http2 = config.object("http2_protocol_options");
  const kilobytes = config.integer("max_request_headers_kb", 1);
  const fallback = httpOptionsDefault;
  const options: HTTPOptions = {
    codec: codec === "AUTO" ? "auto" : codec === "HTTP1" ? "http1" : "http2",
    acceptsHTTP10: http1?.flag("accept_http_10") ?? fallback.acceptsHTTP10,
    sendsTrailers: http1?.flag("enable_trailers") ?? fallback.sendsTrailers,
    headBytesMax: kilobytes === undefined ? fallback.headBytesMax : kilobytes * 1024,
    headersMax: common?.integer("max_headers_count", 1) ?? fallback.headersMax,
    requestHeadMs: config.durationMs("request_headers_timeout") || fallback.requestHeadMs,
    requestMs: config.durationMs("request_timeout") ?? fallback.requestMs,
    keepAliveIdleMs: common?.durationMs("idle_timeout") ?? fallback.keepAliveIdleMs,
    connectionMsMax: common?.durationMs("max_connection_duration") ?? fallback.connectionMsMax,
    http2: http2 === undefined ? fallback.http2 : readHTTP2(http2),
  };
  // Absolute targets are always understood, as RFC 9112 wants; the rest is how Envoy writes and parses, with values
  // that are refused where they would make us lax.
  http1?.ignore("allow_absolute_url", "header_key_format", "use_balsa_parser").done();
  return options;
}

/** http2_protocol_options, of listeners and clusters alike. */
export function readHTTP2(reader: Reader): HTTP2Options {
  const options: HTTP2Options = {
    concurrentStreamsMax: reader.integer("max_concurrent_streams", 1) ?? http2OptionsDefault.concurrentStreamsMax,
    streamWindowBytes: reader.integer("initial_stream_window_size", 65_535) ?? http2OptionsDefault.streamWindowBytes,
    connectionWindowBytes:
      reader.integer("initial_connection_window_size", 65_535) ?? http2OptionsDefault.connectionWindowBytes,
    allowsConnect: reader.flag("allow_connect") ?? http2OptionsDefault.allowsConnect,
  };
  // Bounds against floods are fixed; a connection that is silent is closed by its idle time.
  reader.ignore("hpack_table_size", "max_outbound_frames", "max_outbound_control_frames", "connection_keepalive");
  reader.ignore("max_consecutive_inbound_frames_with_empty_payload", "max_inbound_priority_frames_per_stream");
  reader.ignore("max_inbound_window_update_frames_per_data_frame_sent", "use_oghttp2_codec").done();
  return options;
}

const escapedSlashes: Readonly<Record<string, RequestPolicy["escapedSlashes"]>> = {
  IMPLEMENTATION_SPECIFIC_DEFAULT: "keep",
  KEEP_UNCHANGED: "keep",
  REJECT_REQUEST: "reject",
  UNESCAPE_AND_REDIRECT: "redirect",
  UNESCAPE_AND_FORWARD: "forward",
};

const underscores: Readonly<Record<string, RequestPolicy["underscores"]>> = {
  ALLOW: "allow",
  REJECT_REQUEST: "reject",
  DROP_HEADER: "drop",
};

function readPolicy(config: Reader, common: Reader | undefined): RequestPolicy {
  const slashes = config.oneOf("path_with_escaped_slashes_action", Object.keys(escapedSlashes)) ?? "KEEP_UNCHANGED";
  const action = common?.oneOf("headers_with_underscores_action", Object.keys(underscores)) ?? "ALLOW";
  const stripsMatching = config.flag("strip_matching_host_port") ?? false;
  const stripsAny = config.flag("strip_any_host_port") ?? false;
  const upgrades = readUpgrades(config);
  const policy: Omit<RequestPolicy, "isPlain"> = {
    usesRemoteAddress: config.flag("use_remote_address") ?? false,
    trustedHops: config.integer("xff_num_trusted_hops", 0) ?? 0,
    appendsForwardedFor: !(config.flag("skip_xff_append") ?? false),
    appendsForwardedPort: config.flag("append_x_forwarded_port") ?? false,
    via: config.text("via") ?? "",
    normalizesPath: config.flag("normalize_path") ?? false,
    mergesSlashes: config.flag("merge_slashes") ?? false,
    escapedSlashes: escapedSlashes[slashes]!,
    stripsPort: stripsAny ? "any" : stripsMatching ? "matching" : "none",
    stripsTrailingDot: config.flag("strip_trailing_host_dot") ?? false,
    underscores: underscores[action]!,
    scheme: readScheme(config),
    server: readServer(config),
    upgrades,
    allowsAnyUpgrade: upgrades.size === 0,
    isInternal: readInternal(config),
  };
  return { ...policy, isPlain: isPlain(policy) };
}

function isPlain(policy: Omit<RequestPolicy, "isPlain">): boolean {
  const { usesRemoteAddress, appendsForwardedPort, normalizesPath, mergesSlashes, stripsTrailingDot } = policy;
  const flags = [usesRemoteAddress, appendsForwardedPort, normalizesPath, mergesSlashes, stripsTrailingDot];
  return (
    !flags.includes(true) &&
    policy.via === "" &&
    policy.escapedSlashes === "keep" &&
    policy.stripsPort === "none" &&
    policy.underscores === "allow" &&
    policy.scheme === undefined &&
    policy.isInternal === undefined
  );
}

function readScheme(config: Reader): "http" | "https" | undefined {
  const transformation = config.object("scheme_header_transformation");
  const scheme = transformation?.oneOf("scheme_to_overwrite", ["http", "https"]);
  transformation?.done();
  return scheme;
}

/** Undefined unless asked for: the proxy has no name of its own to write, and passes the upstream's. */
function readServer(config: Reader): RequestPolicy["server"] {
  const name = config.text("server_name") || "envoy";
  const isAsked = config.has("server_name") || config.isSet("server_header_transformation");
  const mode = config.oneOf("server_header_transformation", ["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"]);
  if (!isAsked || mode === "PASS_THROUGH") return undefined;
  return { name, mode: mode === "APPEND_IF_ABSENT" ? "appendIfAbsent" : "overwrite" };
}

function readUpgrades(config: Reader): ReadonlyMap<string, boolean> {
  const upgrades = new Map<string, boolean>();
  for (const entry of config.list("upgrade_configs")) {
    upgrades.set(entry.wantText("upgrade_type").toLowerCase(), entry.flag("enabled") ?? true);
    if (entry.has("filters")) throw entry.unsupported("filters", "upgrades pass the chain's own filters");
    entry.done();
  }
  return upgrades;
}

function readInternal(config: Reader): RequestPolicy["isInternal"] {
  const internal = config.object("internal_address_config");
  if (internal === undefined) return undefined;
  const ranges = internal.list("cidr_ranges").map(readRange);
  // Addresses of unix sockets never come up: downstreams come over TCP.
  internal.ignore("unix_sockets").done();
  return (address) => ranges.some((range) => range.has(address));
}
