/**
 * What one xDS client may see: a list of scopes of the table, the most specific first. Pure.
 *
 *   index.ts connect() ─▶ View ─▶ control/push/session.ts
 *
 * Invariant: a name in an earlier scope hides the same name in a later one, in `get` and in `names` alike.
 */
import { typeUrls } from "#api/xds/envoy.ts";
import type { Resource } from "./resource.ts";
import type { ResourceTable } from "./table.ts";

export interface View {
  /** Changes of these scopes may concern the client. */
  readonly scopes: readonly string[];
  get(typeUrl: string, name: string): Resource | undefined;
  /** Each name once. */
  names(typeUrl: string): Iterable<string>;
}

/** All resources of the scopes. */
export function scopedView(table: ResourceTable, scopes: readonly string[]): View {
  return {
    scopes,
    get(typeUrl, name) {
      for (const scope of scopes) {
        const resource = table.get(scope, typeUrl, name);
        if (resource !== undefined) return resource;
      }
      return undefined;
    },
    names: (typeUrl) => new Set(scopes.flatMap((scope) => [...table.names(scope, typeUrl)])),
  };
}

/** A gateway's own resources, and of the mesh the clusters that `clusters` names with their endpoints. */
export function gatewayView(table: ResourceTable, scope: string, clusters: () => ReadonlySet<string>): View {
  const isShared = (typeUrl: string): boolean => typeUrl === typeUrls.cluster || typeUrl === typeUrls.endpoint;
  const shared = (typeUrl: string, name: string): Resource | undefined =>
    clusters().has(name) ? table.get("mesh", typeUrl, name) : undefined;
  return {
    scopes: [scope, "mesh"],
    get: (typeUrl, name) => (isShared(typeUrl) ? shared(typeUrl, name) : table.get(scope, typeUrl, name)),
    names: (typeUrl) =>
      isShared(typeUrl)
        ? [...clusters()].filter((name) => shared(typeUrl, name) !== undefined)
        : table.names(scope, typeUrl),
  };
}
