/**
 * /config_dump, /clusters and /listeners as Envoy prints them. Pure.
 *
 *   resources and snapshot ─▶ configDump(), clustersText(), clustersJSON(), listenersText(), listenersJSON()
 *
 * Source: envoy.admin.v3.ConfigDump, Clusters, Listeners.
 */
import { isIPv6 } from "node:net";
import type { Cluster } from "#proxy/l7/cluster.ts";
import type { Endpoint } from "#proxy/l7/endpoint.ts";
import { thresholdsDefault } from "#proxy/l7/resilience/limits.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import type { NamedResource } from "../state.ts";
import { redact } from "./redact.ts";
import { type HostCounts, hostCountNames, noHostCounts } from "./stats-page.ts";

export interface DumpSource {
  readonly bootstrap: object;
  readonly listeners: readonly NamedResource[];
  readonly clusters: readonly NamedResource[];
  readonly routes: readonly NamedResource[];
  readonly endpoints: readonly NamedResource[];
  /** Names of listeners and clusters that came with the bootstrap. */
  readonly isStatic: (kind: "listener" | "cluster", name: string) => boolean;
  /** RFC 3339, of the start. */
  readonly updated: string;
}

const admin = "type.googleapis.com/envoy.admin.v3.";
const config = "type.googleapis.com/envoy.config.";

export function configDump(source: DumpSource, { includesEndpoints }: { readonly includesEndpoints: boolean }): object {
  const { updated: last_updated, isStatic } = source;
  const clusters = source.clusters.map(({ name, resource }) => ({
    isStatic: isStatic("cluster", name),
    entry: { cluster: { "@type": `${config}cluster.v3.Cluster`, ...(resource as object) }, last_updated },
  }));
  const listeners = source.listeners.map(({ name, resource }) => ({
    name,
    isStatic: isStatic("listener", name),
    entry: { listener: { "@type": `${config}listener.v3.Listener`, ...(resource as object) }, last_updated },
  }));
  const inline = source.listeners.flatMap(({ resource }) => inlineRoutes(resource));
  return redact({
    configs: [
      { "@type": `${admin}BootstrapConfigDump`, bootstrap: source.bootstrap, last_updated },
      {
        "@type": `${admin}ClustersConfigDump`,
        static_clusters: clusters.filter((one) => one.isStatic).map(({ entry }) => entry),
        dynamic_active_clusters: clusters.filter((one) => !one.isStatic).map(({ entry }) => entry),
      },
      ...(includesEndpoints ? [endpointsDump(source)] : []),
      {
        "@type": `${admin}ListenersConfigDump`,
        static_listeners: listeners.filter((one) => one.isStatic).map(({ entry }) => entry),
        dynamic_listeners: listeners
          .filter((one) => !one.isStatic)
          .map(({ name, entry }) => ({ name, active_state: entry })),
      },
      {
        "@type": `${admin}RoutesConfigDump`,
        static_route_configs: inline.map((route) => ({ route_config: routeOf(route), last_updated })),
        dynamic_route_configs: source.routes.map(({ resource }) => ({
          route_config: routeOf(resource as object),
          last_updated,
        })),
      },
    ],
  }) as object;
}

function endpointsDump({ endpoints, updated }: DumpSource): object {
  const entries = endpoints.map(({ resource }) => ({
    endpoint_config: { "@type": `${config}endpoint.v3.ClusterLoadAssignment`, ...(resource as object) },
    last_updated: updated,
  }));
  return { "@type": `${admin}EndpointsConfigDump`, dynamic_endpoint_configs: entries };
}

function routeOf(route: object): object {
  return { "@type": `${config}route.v3.RouteConfiguration`, ...route };
}

/** The route_config of every connection manager in a listener. */
function inlineRoutes(listener: unknown): readonly object[] {
  if (typeof listener !== "object" || listener === null) return [];
  const entries = Object.entries(listener as Record<string, unknown>);
  return entries.flatMap(([name, value]) => {
    if (name === "route_config" && typeof value === "object" && value !== null) return [value];
    return Array.isArray(value) ? value.flatMap(inlineRoutes) : inlineRoutes(value);
  });
}

function at({ address, port }: SocketAddress): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

/** The limits that hold for each priority, by Envoy's names. */
function limitsOf({ spec }: Cluster): readonly (readonly [name: string, value: number])[] {
  return (["default", "high"] as const).flatMap((priority) => {
    const limits = spec.thresholds?.[priority] ?? thresholdsDefault;
    return [
      [`${priority}_priority::max_connections`, limits.connections],
      [`${priority}_priority::max_pending_requests`, limits.pending],
      [`${priority}_priority::max_requests`, limits.requests],
      [`${priority}_priority::max_retries`, limits.retries],
    ] as const;
  });
}

/** What an endpoint of a cluster is known by between processes. */
export function hostKey(cluster: string, endpoint: SocketAddress): string {
  return `${cluster}::${at(endpoint)}`;
}

/** What each endpoint has open now and what was counted of it, in this process. */
export function hostCounts(clusters: Iterable<Cluster>): Record<string, HostCounts> {
  const hosts: Record<string, HostCounts> = {};
  for (const { name, members } of clusters)
    for (const endpoint of members)
      hosts[hostKey(name, endpoint)] = {
        cx_active: endpoint.connectionCount,
        cx_connect_fail: endpoint.connectFailures,
        cx_total: endpoint.connectionTotal,
        rq_active: endpoint.activeRequests,
        rq_error: endpoint.requestErrors,
        rq_success: endpoint.requestSuccesses,
        rq_timeout: endpoint.requestTimeouts,
        rq_total: endpoint.requestTotal,
      };
  return hosts;
}

/** What the pages say of clusters: how they came, and what all processes count of their endpoints. */
export interface ClusterFacts {
  readonly isStatic: DumpSource["isStatic"];
  readonly hosts: Readonly<Record<string, HostCounts>>;
}

export function clustersText(clusters: Iterable<Cluster>, { isStatic, hosts }: ClusterFacts): string {
  const lines: string[] = [];
  for (const cluster of clusters) {
    const { name } = cluster;
    lines.push(`${name}::observability_name::${name}`);
    for (const [limit, value] of limitsOf(cluster)) lines.push(`${name}::${limit}::${value}`);
    lines.push(`${name}::added_via_api::${String(!isStatic("cluster", name))}`);
    for (const endpoint of cluster.members) {
      const host = hostKey(name, endpoint);
      for (const [stat, value] of hostStats(endpoint, hosts[host] ?? noHostCounts))
        lines.push(`${host}::${stat}::${value}`);
    }
  }
  return lines.map((line) => `${line}\n`).join("");
}

function hostStats(endpoint: Endpoint, counts: HostCounts): readonly (readonly [string, string | number])[] {
  return [
    ...hostCountNames.map((name) => [name, counts[name]] as const),
    ["hostname", endpoint.hostname === endpoint.address ? "" : endpoint.hostname],
    [
      "health_flags",
      endpoint.isHealthy ? "healthy" : endpoint.isDegraded ? "/degraded_eds_health" : "/failed_eds_health",
    ],
    ["weight", endpoint.weight],
    ["region", ""],
    ["zone", ""],
    ["sub_zone", ""],
    ["canary", "false"],
    ["priority", endpoint.priority],
    ["success_rate", "-1"],
    ["local_origin_success_rate", "-1"],
  ];
}

export function clustersJSON(clusters: Iterable<Cluster>, { isStatic, hosts }: ClusterFacts): object {
  const statsOf = (counts: HostCounts): object[] =>
    hostCountNames.map((name) => ({
      name,
      type: name.endsWith("_active") ? "GAUGE" : "COUNTER",
      value: String(counts[name]),
    }));
  return {
    cluster_statuses: [...clusters].map((cluster) => ({
      name: cluster.name,
      added_via_api: !isStatic("cluster", cluster.name),
      host_statuses: cluster.members.map((endpoint) => ({
        address: { socket_address: { address: endpoint.address, port_value: endpoint.port } },
        stats: statsOf(hosts[hostKey(cluster.name, endpoint)] ?? noHostCounts),
        health_status: {
          eds_health_status: endpoint.isHealthy ? "HEALTHY" : endpoint.isDegraded ? "DEGRADED" : "UNHEALTHY",
        },
        weight: endpoint.weight,
        hostname: endpoint.hostname === endpoint.address ? "" : endpoint.hostname,
      })),
      observability_name: cluster.name,
    })),
  };
}

export function listenersText(addresses: ReadonlyMap<string, SocketAddress>): string {
  return [...addresses].map(([name, address]) => `${name}::${at(address)}\n`).join("");
}

export function listenersJSON(addresses: ReadonlyMap<string, SocketAddress>): object {
  return {
    listener_statuses: [...addresses].map(([name, { address, port }]) => ({
      name,
      local_address: { socket_address: { address, port_value: port } },
    })),
  };
}
