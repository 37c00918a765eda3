/**
 * What the admin pages of a stand-alone sidecar are told of it.
 *
 *   StandaloneSidecar ─▶ adminView() ─▶ admin/pages.ts
 */
import { typeUrls } from "#api/xds/envoy.ts";
import type { LiveConfig } from "#proxy/l7/listener.ts";
import type { EngineDeps, SocketAddress } from "#proxy/l7/types.ts";
import { type DumpSource, hostCounts } from "../admin/dump.ts";
import type { AdminPagesView } from "../admin/pages.ts";
import { clusterStats } from "../admin/cluster-stats.ts";
import type { KeptStats } from "../admin/counter-baselines.ts";
import type { EnvoyStats, Stat } from "../admin/stats.ts";
import { mergeStats } from "../admin/merge-stats.ts";
import type { AllStats } from "../admin/stats-page.ts";
import type { ConfigState } from "../state.ts";
import { certificatesOf } from "./certificates.ts";
import type { BootstrapConfig } from "./config.ts";
import type { ListenerDrain } from "./listener-drain.ts";
import { levelWords } from "./log-levels.ts";
import type { StandaloneDeps } from "./server.ts";

/** The part of the sidecar that the pages look at and change. */
export interface AdminContext {
  readonly config: BootstrapConfig;
  readonly deps: StandaloneDeps;
  readonly stats: EnvoyStats;
  readonly state: ConfigState;
  readonly engine: EngineDeps;
  readonly startMs: number;
  /** As --drain-time-s says, in ms. */
  readonly drainMs: number;
  readonly live: LiveConfig;
  readonly addresses: ReadonlyMap<string, SocketAddress>;
  readonly connectionCount: number;
  readonly isLive: boolean;
  readonly isDraining: boolean;
  readonly stoppedListeners: number;
  isHealthy: boolean;
  readonly listenerDrain: ListenerDrain;
  reopenLogs(): void;
}

export function adminView(sidecar: AdminContext): AdminPagesView {
  const { deps } = sidecar;
  return {
    dump: () => dumpOf(sidecar),
    clusters: () => sidecar.live.clusters.values(),
    addresses: () => sidecar.addresses,
    stats: async () => mergeStats([statsOf(sidecar), ...((await deps.siblingStats?.()) ?? [])]),
    resetCounters: () => sidecar.stats.reset(readStats(sidecar)),
    state: () => stateOf(sidecar),
    serverInfo: () => serverInfo(sidecar),
    certificates: () => certificatesOf(sidecar.live),
    setHealthy: (isHealthy) => void (sidecar.isHealthy = isHealthy),
    log: deps.log,
    drain: (request) => sidecar.listenerDrain.begin(request),
    logLevel: () => deps.levels.current,
    logLevels: levelWords,
    setLogLevel: (level) => deps.levels.set(level),
    reopenLogs: () => sidecar.reopenLogs(),
    quit: () => deps.onQuit(),
    changeOthers: (url) => deps.changeSiblings?.(url),
  };
}

function stateOf(sidecar: AdminContext): "LIVE" | "DRAINING" | "PRE_INITIALIZING" {
  if (!sidecar.isLive) return "PRE_INITIALIZING";
  return sidecar.isHealthy && !sidecar.isDraining ? "LIVE" : "DRAINING";
}

function dumpOf({ config, state, startMs }: AdminContext): DumpSource {
  const statics = {
    listener: new Set(config.listeners.map(({ name }) => name)),
    cluster: new Set(config.clusters.map(({ name }) => name)),
  };
  return {
    bootstrap: config.resource,
    listeners: state.resources(typeUrls.listener),
    clusters: state.resources(typeUrls.cluster),
    routes: state.resources(typeUrls.route),
    endpoints: state.resources(typeUrls.endpoint),
    isStatic: (kind, name) => statics[kind].has(name),
    updated: new Date(startMs).toISOString(),
  };
}

function serverInfo(sidecar: AdminContext): object {
  const { config, deps, startMs, drainMs } = sidecar;
  const uptime = `${Math.floor((deps.clock.nowMs() - startMs) / 1000)}s`;
  return {
    version: "wherry",
    state: stateOf(sidecar),
    uptime_current_epoch: uptime,
    uptime_all_epochs: uptime,
    hot_restart_version: "disabled",
    command_line_options: {
      concurrency: deps.concurrency ?? 1,
      drain_time: `${drainMs / 1000}s`,
      log_level: deps.levels.current,
      service_node: config.node.id,
      service_cluster: config.node.cluster,
    },
    node: { id: config.node.id, cluster: config.node.cluster, metadata: config.node.metadata },
  };
}

/** Of this process. */
export function statsOf(sidecar: AdminContext): AllStats {
  const { stats, live } = sidecar;
  const hosts = hostCounts(live.clusters.values());
  const counted = { hosts, stats: [...stats.counters(live)], histograms: [...stats.histograms()] };
  return mergeStats([{ stats: stats.sinceReset(readStats(sidecar)), histograms: [] }, counted]);
}

/** What is read off the engine when it is asked for; its counters have never been reset. */
function readStats(sidecar: AdminContext): readonly KeptStats[] {
  const { live, engine, deps, startMs } = sidecar;
  const { counters } = engine;
  const read: Stat[] = [];
  const gauge = (name: string, value: number): void => void read.push({ name, kind: "gauge", value });
  const counter = (name: string, value: number): void => void read.push({ name, kind: "counter", value });
  gauge("server.live", sidecar.isLive ? 1 : 0);
  gauge("server.state", { LIVE: 0, DRAINING: 1, PRE_INITIALIZING: 2 }[stateOf(sidecar)]);
  gauge("server.uptime", Math.floor((deps.clock.nowMs() - startMs) / 1000));
  gauge("server.concurrency", 1);
  gauge("server.total_connections", counters.downstreamOpen);
  gauge("server.memory_allocated", process.memoryUsage().heapUsed);
  gauge("listener_manager.total_listeners_active", live.listeners.size);
  gauge("listener_manager.workers_started", sidecar.isLive ? 1 : 0);
  gauge("cluster_manager.active_clusters", live.clusters.size);
  counter("listener_manager.listener_stopped", sidecar.stoppedListeners);
  counter("listener_manager.downstream_global_cx_overflow", counters.downstreamRefused);
  counter("http1.protocol_errors", counters.protocolErrors);
  for (const [prefix, named] of counters.filters)
    for (const [name, value] of Object.entries(named)) counter(`${prefix}${name}`, value);
  const clusters = [...live.clusters.values()].map((cluster) => ({ keeper: cluster, stats: clusterStats(cluster) }));
  return [{ keeper: counters, stats: read }, ...clusters];
}
