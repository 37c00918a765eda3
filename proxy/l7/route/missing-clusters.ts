/**
 * The clusters that a table's routes name and that are not there, each with its path in the configuration. Pure.
 *
 *   RouteTable ─▶ missingClusters() ─▶ sidecar/state.ts
 */
import type { CompiledRoute } from "./types.ts";
import type { RouteTable } from "./table.ts";

export interface MissingCluster {
  readonly cluster: string;
  /** Of the field that names it. */
  readonly path: string;
  readonly host: string;
  /** Empty: the route has no name. */
  readonly route: string;
}

/** In the order of the routes. */
export function missingClusters(table: RouteTable, isThere: (name: string) => boolean): readonly MissingCluster[] {
  const { path, hosts, optionalClusters } = table;
  return hosts.flatMap((host, hostAt) =>
    host.routes.flatMap((route, routeAt) =>
      namedBy(route)
        .filter(({ cluster }) => !optionalClusters.has(cluster) && !isThere(cluster))
        .map(({ cluster, field }) => ({
          cluster,
          path: `${path}.virtual_hosts[${hostAt}].routes[${routeAt}].route.${field}`,
          host: host.name,
          route: route.name,
        })),
    ),
  );
}

function namedBy({ target }: CompiledRoute): readonly { readonly cluster: string; readonly field: string }[] {
  if (target.kind === "cluster") return [{ cluster: target.name, field: "cluster" }];
  if (target.kind !== "weighted") return [];
  return target.entries.flatMap(({ name }, at) =>
    name === undefined ? [] : [{ cluster: name, field: `weighted_clusters.clusters[${at}].name` }],
  );
}
