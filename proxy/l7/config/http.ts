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
import type { LocalReplies } from "../local-reply.ts";
import { readLocalReplies } from "./local-reply.ts";
import { type ConfiguredFilter, type RouterConfig, filterTypes, readHTTPFilters } from "./http-filters.ts";
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
  readonly localReplies: LocalReplies | undefined;
  /** Responses say how long the upstream took. */
  readonly tellsServiceTime: boolean;
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
  localReplies: undefined,
  tellsServiceTime: false,
};

export function compileHTTP(config: Reader): CompiledHTTP {
  const statPrefix = config.wantText("stat_prefix");
  const filters = readHTTPFilters(config);
  const common = config.object("common_http_protocol_options");
  const maxStreamMs = common?.durationMs("max_stream_duration") ?? 0;
  const options = readOptions(config, common);
  const policy = readPolicy(config, common);
  const accessLogs = compileAccessLogs(config, "access_log");
  const localReplies = readLocalReplies(config);
  const { routeName, inline } = readRoutes(config);
  const router = filters.at(-1)?.config as RouterConfig | undefined;
  const streamIdleMs = config.durationMs("stream_idle_timeout") ?? streamIdleMsDefault;
  common?.done();
  readFixed(config);
  config.done();
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
    localReplies,
    tellsServiceTime: router?.suppressesEnvoyHeaders === false,
  };
}

/** Fields that may only say what the engine does anyway. */
function readFixed(config: Reader): void {
  config
    .allow("generate_request_id", [true], "every request without an x-request-id gets one")
    .allow("proxy_100_continue", [true], "Expect: 100-continue is always passed on")
    .allow("stream_error_on_invalid_http_message", [false], "a message that breaks HTTP/1 ends its connection")
    .allow("represent_ipv4_remote_address_as_ipv4_mapped_ipv6", [false], "addresses are written as they are")
    .allow("add_user_agent", [false], "User-Agent is the downstream's")
    .allow("delayed_close_timeout", ["0s", "1s"], "a connection that ends is closed when its answer was taken")
    .allow("drain_timeout", ["5s"], "how a listener drains is set for the process (--drain-time-s)");
}

function readRoutes(config: Reader): Pick<CompiledHTTP, "routeName" | "inline"> {
  const rds = config.object("rds");
  const inlineConfig = config.object("route_config");
  const inline =
    inlineConfig === undefined ? undefined : compileRoutes(config.raw("route_config"), config.at("route_config"));
  const routeName = rds?.wantText("route_config_name");
  const source = rds?.object("config_source");
  if (source !== undefined) {
    if (!source.isSet("ads")) throw source.unsupported("ads", "only ADS is supported as a source");
    // What is waited for, and how long, is the same for all resources: see sidecar/state.ts.
    source.ignore("ads", "resource_api_version").allow("initial_fetch_timeout", ["15s"], "wanted 15s").done();
  }
  rds?.done();
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
    acceptsHTTP10: http1?.flag("accept_http_10") ?? false,
    sendsTrailers: http1?.flag("enable_trailers") ?? fallback.sendsTrailers,
    headBytesMax: kilobytes === undefined ? fallback.headBytesMax : kilobytes * 1024,
    headersMax: common?.integer("max_headers_count", 1) ?? fallback.headersMax,
    requestHeadMs: config.durationMs("request_headers_timeout") || fallback.requestHeadMs,
    requestMs: config.durationMs("request_timeout") ?? fallback.requestMs,
    keepAliveIdleMs: common?.durationMs("idle_timeout") ?? fallback.keepAliveIdleMs,
    connectionMsMax: common?.durationMs("max_connection_duration") ?? fallback.connectionMsMax,
    http2: http2 === undefined ? fallback.http2 : readHTTP2(http2),
  };
  readFixedHTTP1(http1);
  http1?.allow("allow_absolute_url", [true], "absolute targets are always understood, as RFC 9112 wants").done();
  return options;
}

/** What http_protocol_options of listeners and clusters alike may only say one way. */
export function readFixedHTTP1(http1: Reader | undefined): void {
  const format = http1?.object("header_key_format");
  if (format?.isSet("proper_case_words") === true)
    throw format.unsupported("proper_case_words", "names of headers are written as they came");
  const formatter = format?.object("stateful_formatter");
  // Names keep their case here without being asked to.
  formatter?.ignore("name").object("typed_config")?.allow("@type", [preserveCase], "wanted preserve_case").done();
  formatter?.done();
  format?.done();
  // Which of Envoy's parsers reads: there is one here.
  http1?.ignore("use_balsa_parser");
}

const preserveCase =
  "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";

/** http2_protocol_options, of listeners and clusters alike. */
export function readHTTP2(reader: Reader): HTTP2Options {
  const options: HTTP2Options = {
    concurrentStreamsMax: reader.integer("max_concurrent_streams", 1) ?? http2OptionsDefault.concurrentStreamsMax,
    streamWindowBytes: reader.integer("initial_stream_window_size", 65_535) ?? http2OptionsDefault.streamWindowBytes,
    connectionWindowBytes:
      reader.integer("initial_connection_window_size", 65_535) ?? http2OptionsDefault.connectionWindowBytes,
    allowsConnect: reader.flag("allow_connect") ?? http2OptionsDefault.allowsConnect,
  };
  // Bounds against floods are fixed, and stricter than Envoy's; a silent connection is closed by its idle time. Which
  // of Envoy's codecs reads has no meaning here.
  reader.allow("hpack_table_size", [4096], "wanted 4096").ignore("use_oghttp2_codec").done();
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

/** What is written of a client's certificate is not: the header is removed, or passes as it came. */
const clientCertDetails = ["SANITIZE", "ALWAYS_FORWARD_ONLY"] as const;

function readPolicy(config: Reader, common: Reader | undefined): RequestPolicy {
  const slashes = config.oneOf("path_with_escaped_slashes_action", Object.keys(escapedSlashes)) ?? "KEEP_UNCHANGED";
  const action = common?.oneOf("headers_with_underscores_action", Object.keys(underscores)) ?? "ALLOW";
  const stripsMatching = config.flag("strip_matching_host_port") ?? false;
  const stripsAny = config.flag("strip_any_host_port") ?? false;
  const policy: Omit<RequestPolicy, "isPlain"> = {
    usesRemoteAddress: config.flag("use_remote_address") ?? false,
    trustedHops: config.integer("xff_num_trusted_hops", 0) ?? 0,
    appendsForwardedFor: !(config.flag("skip_xff_append") ?? false),
    appendsForwardedPort: config.flag("append_x_forwarded_port") ?? false,
    preservesRequestId: config.flag("preserve_external_request_id") ?? false,
    via: config.text("via") ?? "",
    normalizesPath: config.flag("normalize_path") ?? false,
    mergesSlashes: config.flag("merge_slashes") ?? false,
    escapedSlashes: escapedSlashes[slashes]!,
    stripsPort: stripsAny ? "any" : stripsMatching ? "matching" : "none",
    stripsTrailingDot: config.flag("strip_trailing_host_dot") ?? false,
    underscores: underscores[action]!,
    scheme: readScheme(config),
    server: readServer(config),
    upgrades: readUpgrades(config),
    allowsAnyUpgrade: false,
    forwardsClientCert: config.oneOf("forward_client_cert_details", clientCertDetails) === "ALWAYS_FORWARD_ONLY",
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
  internal.allow("unix_sockets", [false], "downstreams come over TCP").done();
  return (address) => ranges.some((range) => range.has(address));
}
