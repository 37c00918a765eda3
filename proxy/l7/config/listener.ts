/**
 * Envoy's Listener → CompiledListener. Pure.
 *
 *   LDS or a file ─▶ compileListener() ─▶ listener.ts: findChain()
 *
 * Source: envoy.config.listener.v3.Listener, envoy.extensions.filters.network.{http_connection_manager,tcp_proxy}.v3.
 */
import { typeUrls } from "#api/xds/envoy.ts";
import type { Metadata } from "../accesslog/types.ts";
import type { Direction } from "../context.ts";
import { type ChainMatch, anyConnection, readChainMatch } from "./chain-match.ts";
import { readSocketAddress } from "./cluster.ts";
import { type CompiledHTTP, compileHTTP } from "./http.ts";
import { type ModuleConfig, moduleType } from "../filters/modules.ts";
import type { RouteTable } from "../route/table.ts";
import { readMetadata } from "./metadata.ts";
import { Reader } from "./reader.ts";
import { readDownstreamTLS } from "../tls/config.ts";
import type { DownstreamTLSSpec } from "../tls/types.ts";
import { type CompiledTCP, compileTCP } from "./tcp.ts";

/** Envoy's default for listener_filters_timeout, in ms. */
const detectMsDefault = 15_000;

export type CompiledFilter = CompiledHTTP | CompiledTCP;

export interface CompiledChain {
  readonly name: string;
  readonly match: ChainMatch;
  readonly port: number | undefined;
  /** Empty: any. */
  readonly protocols: readonly string[];
  readonly filter: CompiledFilter;
  readonly metadata?: Metadata | undefined;
  /** Undefined: plaintext. */
  readonly tls?: DownstreamTLSSpec | undefined;
}

/** A chain that asks nothing of a connection but, maybe, what it speaks. */
export function plainChain(name: string, filter: CompiledFilter, protocols: readonly string[] = []): CompiledChain {
  return { name, match: { ...anyConnection, protocols }, port: undefined, protocols, filter };
}

export interface CompiledListener {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** At an IPv6 address: IPv4, too. */
  readonly takesIPv4: boolean;
  readonly bindsToPort: boolean;
  readonly usesOriginalDst: boolean;
  readonly direction: Direction;
  readonly metadata?: Metadata | undefined;
  readonly chains: readonly CompiledChain[];
  readonly defaultChain: CompiledChain | undefined;
  /** Looks at the first bytes where chains differ by protocol. */
  readonly detects: boolean;
  /** Time for the first bytes to come, in ms; 0 is for ever. */
  readonly detectMs: number;
  /** Serve a silent connection by the chain for any protocol, instead of closing it. */
  readonly continuesWhenSilent: boolean;
}

/** `path`: where it stands, for messages. */
export function compileListener(resource: unknown, path = "Listener"): CompiledListener {
  const reader = new Reader(resource, path);
  const name = reader.wantText("name");
  const { address, port, takesIPv4 } = readSocketAddress(reader.wantObject("address"));
  const filters = readListenerFilters(reader);
  const direction = reader.oneOf("traffic_direction", ["UNSPECIFIED", "INBOUND", "OUTBOUND"]);
  const fallback = reader.object("default_filter_chain");
  const listener: CompiledListener = {
    name,
    address,
    port,
    takesIPv4,
    bindsToPort: reader.flag("bind_to_port") ?? true,
    usesOriginalDst: (reader.flag("use_original_dst") ?? false) || filters.has(typeUrls.originalDst),
    direction: direction === "INBOUND" ? "inbound" : "outbound",
    metadata: readMetadata(reader),
    chains: reader.list("filter_chains").map(readChain),
    defaultChain: fallback === undefined ? undefined : readChain(fallback),
    detects: filters.has(typeUrls.httpInspector),
    detectMs: reader.durationMs("listener_filters_timeout") ?? detectMsDefault,
    continuesWhenSilent: reader.flag("continue_on_listener_filters_timeout") ?? false,
  };
  reader.ignore("stat_prefix").done();
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
    filter.kind === "tcp" ? filter.clusterNames : [...(filter.inline?.clusterNames ?? [])],
  );
}

/** The routes that a listener brings itself. */
export function inlineTablesOf(listener: CompiledListener): readonly RouteTable[] {
  return chainsOf(listener).flatMap(({ filter }) => (filter.kind === "http" ? (filter.inline ?? []) : []));
}

/** The filter modules that a listener's chains name. */
export function moduleConfigsOf(listener: CompiledListener): readonly ModuleConfig[] {
  return chainsOf(listener).flatMap(({ filter }) =>
    filter.kind === "http"
      ? filter.filters.filter(({ type }) => type === moduleType).map(({ config }) => config as ModuleConfig)
      : [],
  );
}

/** Chains for a destination port: those that name it, else those that name none (Envoy does not go back further). */
export function chainsForPort(listener: CompiledListener, port: number): readonly CompiledChain[] {
  const named = listener.chains.filter((chain) => chain.port === port);
  return named.length > 0 ? named : listener.chains.filter((chain) => chain.port === undefined);
}

/** All chains of a listener, the default one last. */
export function chainsOf(listener: CompiledListener): readonly CompiledChain[] {
  return listener.defaultChain === undefined ? listener.chains : [...listener.chains, listener.defaultChain];
}

function readListenerFilters(reader: Reader): ReadonlySet<string> {
  const types = new Set<string>();
  for (const filter of reader.list("listener_filters")) {
    // Where the inspector is disabled there is one chain, so nothing is inspected anyway.
    filter.ignore("name", "filter_disabled");
    const config = filter.wantObject("typed_config");
    const type = config.oneOf("@type", [typeUrls.originalDst, typeUrls.httpInspector, typeUrls.tlsInspector]);
    // A ClientHello is looked at wherever chains differ by it; its bounds are the engine's own.
    config.ignore("enable_ja3_fingerprinting", "initial_read_buffer_size").done();
    filter.done();
    if (type !== undefined) types.add(type);
  }
  return types;
}

function readChain(reader: Reader): CompiledChain {
  const name = reader.text("name") ?? "";
  const match = readChainMatch(reader.object("filter_chain_match"));
  const [filter, second] = reader.list("filters");
  if (filter === undefined || second !== undefined) throw reader.bad("filters", "wanted exactly one network filter");
  const socket = reader.object("transport_socket");
  const tls = socket === undefined ? undefined : readDownstreamTLS(socket);
  const metadata = readMetadata(reader);
  reader.done();
  return { name, match, port: match.port, protocols: match.protocols, filter: readFilter(filter), metadata, tls };
}

function readFilter(reader: Reader): CompiledFilter {
  reader.ignore("name");
  const config = reader.wantObject("typed_config");
  reader.done();
  const type = config.oneOf("@type", [typeUrls.httpConnectionManager, typeUrls.tcpProxy]);
  if (type === undefined) throw config.bad("@type", "it is not there");
  return type === typeUrls.tcpProxy ? compileTCP(config) : compileHTTP(config);
}
