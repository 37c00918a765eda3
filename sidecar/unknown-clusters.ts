/**
 * Listeners of the bootstrap whose inline routes name clusters that are not there. Pure.
 *
 *   accepted listeners ─▶ unknownClusters() ─▶ state.ts ─▶ bootstrap/server.ts: what is refused
 *
 * Only where validate_clusters says so, which is the default for inline routes.
 */
import { type CompiledListener, inlineTablesOf } from "#proxy/l7/config/listener.ts";
import { type MissingCluster, missingClusters } from "#proxy/l7/route/missing-clusters.ts";
import { type Place, messageAbout } from "./place.ts";

interface Placed {
  readonly compiled: CompiledListener;
  readonly place?: Place | undefined;
}

/** A message for each route and cluster. */
export function unknownClusters(
  listeners: ReadonlyMap<string, Placed>,
  isThere: (cluster: string) => boolean,
): readonly string[] {
  return [...listeners].flatMap(([name, { compiled, place }]) =>
    inlineTablesOf(compiled)
      .filter(({ validatesClusters }) => validatesClusters)
      .flatMap((table) => missingClusters(table, isThere))
      .map((missing) => tell({ name, place }, missing)),
  );
}

function tell(
  listener: { readonly name: string; readonly place: Place | undefined },
  { cluster, path, host, route }: MissingCluster,
): string {
  const named = route === "" ? [] : [`route ${JSON.stringify(route)}`];
  const message = `Cannot use ${path}: cluster ${JSON.stringify(cluster)} is not there`;
  return messageAbout(listener, message, [`virtual host ${JSON.stringify(host)}`, ...named]);
}
