/**
 * LIST of a collection, whole or in pages of `limit` objects.
 *
 *   newest state ─▶ cache
 *   pages after the first, Exact ─▶ cache if nothing changed since, else the store's history
 *
 * The cache is always at the newest revision, which serves every resourceVersion rule but Exact in the past.
 * Invariant: the pages of one list are one state; when its history is compacted the next page is 410 Expired.
 */
import { apiVersionOf } from "#api/kind.ts";
import type { KubeList, KubeObject } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import { StoreError } from "../../store/store.ts";
import { keyPrefix, resourceOf } from "../../watch/keys.ts";
import { decodeObject } from "../../watch/watch-cache.ts";
import { type ContinueToken, formatToken, parseToken } from "../continue-token.ts";
import type { Registry } from "../registry.ts";
import { checkListRevision, parseSelection, type RevisionQuery, type SelectionQuery } from "../selection.ts";

export interface ListQuery extends SelectionQuery, RevisionQuery {
  readonly namespace?: string | undefined;
  /** Most objects of a page; 0 or absent: all. */
  readonly limit?: number | undefined;
}

/** A page of the collection. Throws Expired, Timeout, Invalid, BadRequest. */
export async function list(registry: Registry, kind: Kind, query: ListQuery): Promise<KubeList> {
  const { cache } = registry;
  const exact = checkListRevision(kind, query, cache.revision);
  const matches = parseSelection(kind, query);
  const token = query.continue === undefined || query.continue === "" ? undefined : parseToken(query.continue);
  const revision = token?.revision ?? exact ?? cache.revision;
  const all = await stateAt(registry, kind, query.namespace, revision);
  const rest = token === undefined ? all : all.slice(startOf(all, token));
  const matching = matches === undefined ? rest : rest.filter(matches);
  const { limit = 0 } = query;
  const items = limit > 0 ? matching.slice(0, limit) : matching;
  const last = items.at(-1);
  const remaining = matching.length - items.length;
  const isCut = remaining > 0 && last !== undefined;
  return {
    apiVersion: apiVersionOf(kind),
    kind: `${kind.kind}List`,
    metadata: {
      resourceVersion: String(revision),
      ...(isCut ? { continue: formatToken({ revision, after: placeOf(last) }) } : {}),
      // Under a selector nobody has counted what else would match, kube-apiserver says; so clients do not expect it.
      ...(isCut && matches === undefined ? { remainingItemCount: remaining } : {}),
    },
    items,
  };
}

/** All objects at a revision, by namespace, then name. */
async function stateAt(
  registry: Registry,
  kind: Kind,
  namespace: string | undefined,
  revision: number,
): Promise<readonly KubeObject[]> {
  const { cache, store } = registry;
  if (!cache.hasChangedSince(kind, revision)) return cache.list(kind, namespace);
  const scope = namespace === undefined ? "" : `${namespace}/`;
  try {
    const { entries } = await store.list(`${keyPrefix}${resourceOf(kind)}/${scope}`, { revision });
    return entries.map((entry) => decodeObject(kind, entry)).sort(byPlace);
  } catch (error) {
    if (error instanceof StoreError && error.code === "Compacted") throw expired(revision);
    if (error instanceof StoreError && error.code === "FutureRevision")
      throw new StatusError("BadRequest", "continue key is not valid: its revision is in the future");
    throw error;
  }
}

function startOf(objects: readonly KubeObject[], { after }: ContinueToken): number {
  const at = objects.findIndex((object) => comparePlaces(placeOf(object), after) > 0);
  return at < 0 ? objects.length : at;
}

function placeOf({ metadata }: KubeObject): ContinueToken["after"] {
  return [metadata.namespace ?? "", metadata.name];
}

function byPlace(left: KubeObject, right: KubeObject): number {
  return comparePlaces(placeOf(left), placeOf(right));
}

function comparePlaces(left: ContinueToken["after"], right: ContinueToken["after"]): number {
  if (left[0] !== right[0]) return left[0] < right[0] ? -1 : 1;
  return left[1] === right[1] ? 0 : left[1] < right[1] ? -1 : 1;
}

function expired(revision: number): StatusError {
  return new StatusError(
    "Expired",
    `The provided continue parameter or resourceVersion is too old: the state at ${revision} is no longer kept (list again without it)`,
  );
}
