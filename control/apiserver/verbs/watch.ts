/**
 * WATCH of a collection: the cache's watcher under the query's rules.
 *
 * Without a resourceVersion, or with "0", the state comes first, as ADDED. With `sendInitialEvents=true` it always
 * does, and a bookmark annotated `k8s.io/initial-events-end` says where it ends: how informers list since Kubernetes
 * 1.35.
 * Follows: k8s.io/apimachinery pkg/apis/meta/internalversion/validation (the rules between the parameters), KEP-3157.
 */
import type { Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import type { Watcher } from "../../watch/watcher.ts";
import type { Registry } from "../registry.ts";
import { invalid, parseRevision, parseSelection } from "../selection.ts";
import type { ListQuery } from "./list.ts";

export interface WatchQuery extends ListQuery {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: string | undefined;
}

/** The watch that a query asks for. Throws Invalid, Expired, Timeout. */
export function watch(registry: Registry, kind: Kind, query: WatchQuery): Watcher {
  const initial = parseInitialEvents(query);
  const matches = parseSelection(kind, query);
  const revision = parseRevision(query.resourceVersion);
  const { cache } = registry;
  if (initial === true && revision !== undefined && revision > cache.revision)
    throw new StatusError("Timeout", `Too large resource version: ${revision}, current: ${cache.revision}`, {
      retryAfterSeconds: 1,
    });
  // "Not older than" is what the newest state always is.
  const after = initial === true ? undefined : (revision ?? (initial === false ? cache.revision : undefined));
  const allowBookmarks = query.allowWatchBookmarks ?? false;
  return cache.watch(kind, {
    ...(query.namespace === undefined ? {} : { namespace: query.namespace }),
    ...(matches === undefined ? {} : { matches }),
    ...(after === undefined ? {} : { after }),
    allowBookmarks,
    markInitialEnd: initial === true && allowBookmarks,
  });
}

/** Whether the state is to come first; undefined: as the resourceVersion says. */
function parseInitialEvents({
  sendInitialEvents = "",
  resourceVersionMatch: match = "",
}: WatchQuery): boolean | undefined {
  if (sendInitialEvents === "") {
    if (match === "") return undefined;
    throw invalid(
      "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
  }
  if (!["true", "1", "false", "0"].includes(sendInitialEvents))
    throw new StatusError(
      "BadRequest",
      `sendInitialEvents: got ${JSON.stringify(sendInitialEvents.slice(0, 60))}, wanted true or false`,
    );
  if (match !== "NotOlderThan")
    throw invalid(
      "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    );
  return sendInitialEvents === "true" || sendInitialEvents === "1";
}
