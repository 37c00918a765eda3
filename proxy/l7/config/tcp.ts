/**
 * Envoy's TcpProxy → CompiledTCP. Pure. Source: envoy.extensions.filters.network.tcp_proxy.v3.
 */
import { compileAccessLogs } from "../accesslog/config.ts";
import type { AccessLogSpec } from "../accesslog/log.ts";
import { SmoothWeighted } from "../route/weight.ts";
import type { TunnelRequest } from "../tunnel-request.ts";
import type { Reader } from "./reader.ts";
import { readTunneling } from "./tunneling.ts";

/** Envoy's default for idle_timeout, in ms. */
const idleMsDefault = 3_600_000;
/** Endpoints tried for one connection where none is said: more than Envoy's one, as nothing was read yet. */
const connectTriesDefault = 3;

export interface CompiledTCP {
  readonly kind: "tcp";
  readonly statPrefix: string;
  /** The one cluster, or the first of several. */
  readonly cluster: string;
  readonly clusterNames: readonly string[];
  /** Undefined: always `cluster`. */
  readonly weights: SmoothWeighted | undefined;
  /** Time without bytes in either direction, in ms; 0 is none. */
  readonly idleMs: number;
  readonly connectTries: number;
  /** The upstream is asked for a tunnel; undefined: connections go to it as they are. */
  readonly tunneling: TunnelRequest | undefined;
  readonly accessLogs: readonly AccessLogSpec[];
}

/** A chain that takes its connections to one cluster. */
export function plainTCP(cluster: string): CompiledTCP {
  return {
    kind: "tcp",
    statPrefix: "",
    cluster,
    clusterNames: [cluster],
    weights: undefined,
    idleMs: idleMsDefault,
    connectTries: connectTriesDefault,
    tunneling: undefined,
    accessLogs: [],
  };
}

/** The cluster for the next connection. */
export function pickTCPCluster({ cluster, clusterNames, weights }: CompiledTCP): string {
  return weights === undefined ? cluster : clusterNames[weights.pick()]!;
}

export function compileTCP(config: Reader): CompiledTCP {
  const statPrefix = config.wantText("stat_prefix");
  const { names, weights } = readClusters(config);
  const tunneling = readTunneling(config);
  const compiled: CompiledTCP = {
    kind: "tcp",
    statPrefix,
    cluster: names[0]!,
    clusterNames: names,
    weights,
    idleMs: config.durationMs("idle_timeout") ?? idleMsDefault,
    // An upstream that refused a tunnel has looked at it: asked once, as in Envoy.
    connectTries: config.integer("max_connect_attempts", 1) ?? (tunneling === undefined ? connectTriesDefault : 1),
    tunneling,
    accessLogs: compileAccessLogs(config, "access_log"),
  };
  config.done();
  return compiled;
}

function readClusters(config: Reader): { names: readonly string[]; weights: SmoothWeighted | undefined } {
  const weighted = config.object("weighted_clusters");
  if (weighted === undefined) return { names: [config.wantText("cluster")], weights: undefined };
  if (config.has("cluster")) throw config.bad("cluster", "it does not go with weighted_clusters");
  const names: string[] = [];
  const weights: number[] = [];
  for (const entry of weighted.list("clusters")) {
    names.push(entry.wantText("name"));
    weights.push(entry.integer("weight", 1) ?? 1);
    entry.done();
  }
  weighted.done();
  if (names.length === 0) throw weighted.bad("clusters", "it is empty, wanted at least one");
  return { names, weights: new SmoothWeighted(weights) };
}
