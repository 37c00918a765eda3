/**
 * LIST of a collection, from the cache at its newest revision, which serves every resourceVersion rule but Exact in the past.
 * `limit` is a wish that a server may leave unheeded; lists come whole here, and consistent.
 */
import { apiVersionOf } from "#api/kind.ts";
import type { KubeList } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import type { Registry } from "../registry.ts";
import { checkListRevision, parseSelection, type RevisionQuery, type SelectionQuery } from "../selection.ts";

export interface ListQuery extends SelectionQuery, RevisionQuery {
  readonly namespace?: string | undefined;
}

export function list(registry: Registry, kind: Kind, query: ListQuery): KubeList {
  const { cache } = registry;
  checkListRevision(kind, query, cache.revision);
  const matches = parseSelection(kind, query);
  const all = cache.list(kind, query.namespace);
  return {
    apiVersion: apiVersionOf(kind),
    kind: `${kind.kind}List`,
    metadata: { resourceVersion: String(cache.revision) },
    items: matches === undefined ? all : all.filter(matches),
  };
}
