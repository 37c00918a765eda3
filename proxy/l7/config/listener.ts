/**
 * Envoy's Listener → CompiledListener. Pure.
 *
 *   LDS or a file ─▶ compileListener() ─▶ listener.ts: pickChain()
 *
 * Source: envoy.config.listener.v3.Listener, envoy.extensions.filters.network.{http_connection_manager,tcp_proxy}.v3.
 */
import { typeUrls } from "#api/xds/envoy.ts";
import type { Direction } from "../context.ts";
import type { DetectedProtocol } from "../detect.ts";
import type { RouteTable } from "../route/table.ts";
import { readSocketAddress } from "./cluster.ts";
import { Reader } from "./reader.ts";
import { compileRoutes } from "./route.ts";

/** Envoy's default for stream_idle_timeout, in ms. */
const streamIdleMsDefault = 300_000;
/** Envoy's default for listener_filters_timeout, in ms. */
const detectMsDefault = 15_000;

export type CompiledFilter =
  | {
      readonly kind: "http";
      /** The RDS name; undefined with inline routes. */
      readonly routeName: string | undefined;
      readonly inline: RouteTable | undefined;
      /** 0 is none. */
      readonly streamIdleMs: number;
    }
  | { readonly kind: "tcp"; readonly cluster: string };

export interface CompiledChain {
  readonly name: string;
  readonly port: number | undefined;
  /** Empty: any. */
  readonly protocols: readonly string[];
  readonly filter: CompiledFilter;
}

export interface CompiledListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly bindsToPort: boolean;
  readonly usesOriginalDst: boolean;
  readonly direction: Direction;
  readonly chains: readonly CompiledChain[];
  readonly defaultChain: CompiledChain | undefined;
  /** Looks at the first bytes where chains differ by protocol. */
  readonly detects: boolean;
  /** Time for the first bytes to come, in ms; 0 is for ever. */
  readonly detectMs: number;
  /** Serve a silent connection by the chain for any protocol, instead of closing it. */
  readonly continuesWhenSilent: boolean;
}

export function compileListener(resource: unknown): CompiledListener {
  const reader = new Reader(resource, "Listener");
  const name = reader.wantText("name");
  const { address, port } = readSocketAddress(reader.wantObject("address"));
  const filters = readListenerFilters(reader);
  const direction = reader.oneOf("traffic_direction", ["UNSPECIFIED", "INBOUND", "OUTBOUND"]);
  const fallback = reader.object("default_filter_chain");
  const listener: CompiledListener = {
    name,
    address,
    port,
    bindsToPort: reader.flag("bind_to_port") ?? true,
    usesOriginalDst: (reader.flag("use_original_dst") ?? false) || filters.has(typeUrls.originalDst),
    direction: direction === "INBOUND" ? "inbound" : "outbound",
    chains: reader.list("filter_chains").map(readChain),
    defaultChain: fallback === undefined ? undefined : readChain(fallback),
    detects: filters.has(typeUrls.httpInspector),
    detectMs: reader.durationMs("listener_filters_timeout") ?? detectMsDefault,
    continuesWhenSilent: reader.flag("continue_on_listener_filters_timeout") ?? false,
  };
  reader.ignore("stat_prefix", "metadata").done();
  if (listener.chains.length === 0 && listener.defaultChain === undefined)
    throw reader.bad("filter_chains", "it is empty, wanted at least one chain");
  return listener;
}

/** The names of the routes that a listener takes over RDS. */
export function routeNamesOf(listener: CompiledListener): readonly string[] {
  return chainsOf(listener).flatMap(({ filter }) =>
    filter.kind === "http" && filter.routeName !== undefined ? [filter.routeName] : [],
  );
}

/** The names of the clusters that a listener names itself. */
export function clusterNamesOf(listener: CompiledListener): readonly string[] {
  return chainsOf(listener).flatMap(({ filter }) =>
    filter.kind === "tcp" ? [filter.cluster] : [...(filter.inline?.clusterNames ?? [])],
  );
}

/** Chains for a destination port: those that name it, else those that name none (Envoy does not go back further). */
export function chainsForPort(listener: CompiledListener, port: number): readonly CompiledChain[] {
  const named = listener.chains.filter((chain) => chain.port === port);
  return named.length > 0 ? named : listener.chains.filter((chain) => chain.port === undefined);
}

/** The chain for a protocol, undefined being "not known": the one that names it, the one for any, the default. */
export function pickChain(
  listener: CompiledListener,
  candidates: readonly CompiledChain[],
  protocol: DetectedProtocol | undefined,
): CompiledChain | undefined {
  // HTTP/2 is not spoken here: passed through by a chain for any protocol, rather than refused by an HTTP one.
  const named = candidates.find(({ protocols, filter }) => {
    if (protocol === undefined || !protocols.includes(protocol)) return false;
    return !(protocol === "h2c" && filter.kind === "http");
  });
  return named ?? candidates.find(({ protocols }) => protocols.length === 0) ?? listener.defaultChain;
}

function chainsOf(listener: CompiledListener): readonly CompiledChain[] {
  return listener.defaultChain === undefined ? listener.chains : [...listener.chains, listener.defaultChain];
}

function readListenerFilters(reader: Reader): ReadonlySet<string> {
  const types = new Set<string>();
  for (const filter of reader.list("listener_filters")) {
    // Where the inspector is disabled there is one chain, so nothing is inspected anyway.
    filter.ignore("name", "filter_disabled");
    const config = filter.wantObject("typed_config");
    const type = config.oneOf("@type", [typeUrls.originalDst, typeUrls.httpInspector]);
    config.done();
    filter.done();
    if (type !== undefined) types.add(type);
  }
  return types;
}

function readChain(reader: Reader): CompiledChain {
  const name = reader.text("name") ?? "";
  const match = reader.object("filter_chain_match");
  const port = match?.integer("destination_port", 0);
  const protocols = match?.texts("application_protocols") ?? [];
  match?.oneOf("transport_protocol", ["raw_buffer"]);
  match?.done();
  const [filter, second] = reader.list("filters");
  if (filter === undefined || second !== undefined) throw reader.bad("filters", "wanted exactly one network filter");
  reader.done();
  return { name, port: port === 0 ? undefined : port, protocols, filter: readFilter(filter) };
}

function readFilter(reader: Reader): CompiledFilter {
  reader.ignore("name");
  const config = reader.wantObject("typed_config");
  reader.done();
  const type = config.oneOf("@type", [typeUrls.httpConnectionManager, typeUrls.tcpProxy]);
  if (type === undefined) throw config.bad("@type", "it is not there");
  config.ignore("stat_prefix");
  if (type === typeUrls.tcpProxy) {
    const cluster = config.wantText("cluster");
    config.done();
    return { kind: "tcp", cluster };
  }
  return readHTTPConnectionManager(config);
}

function readHTTPConnectionManager(config: Reader): CompiledFilter {
  for (const filter of config.list("http_filters")) {
    const router = filter.ignore("name").wantObject("typed_config");
    router.oneOf("@type", [typeUrls.router]);
    router.done();
    filter.done();
  }
  config.oneOf("codec_type", ["AUTO", "HTTP1"]);
  const streamIdleMs = config.durationMs("stream_idle_timeout") ?? streamIdleMsDefault;
  const rds = config.object("rds");
  const inlineConfig = config.object("route_config");
  const inline =
    inlineConfig === undefined ? undefined : compileRoutes(config.raw("route_config"), config.at("route_config"));
  const routeName = rds?.wantText("route_config_name");
  rds?.ignore("config_source").done();
  // The proxy makes x-request-id itself, and has no "Server" header of its own to write.
  config.ignore("generate_request_id", "server_name", "server_header_transformation").done();
  if ((rds === undefined) === (inline === undefined))
    throw config.bad("rds", "wanted exactly one of rds and route_config");
  return { kind: "http", routeName, inline, streamIdleMs };
}
