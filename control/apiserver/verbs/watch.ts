/**
 * WATCH of a collection: the cache's watcher under the query's rules.
 *
 * Without a resourceVersion, or with "0", the state comes first, as ADDED. `sendInitialEvents` is refused with 422, at which
 * clients fall back to LIST; left unanswered they would wait for a bookmark that never comes.
 */
import type { Kind } from "#api/schema/kind.ts";
import type { Watcher } from "../../watch/watcher.ts";
import type { Registry } from "../registry.ts";
import { invalid, parseRevision, parseSelection } from "../selection.ts";
import type { ListQuery } from "./list.ts";

export interface WatchQuery extends ListQuery {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: string | undefined;
}

export function watch(registry: Registry, kind: Kind, query: WatchQuery): Watcher {
  const { sendInitialEvents = "", resourceVersionMatch = "" } = query;
  if (sendInitialEvents !== "")
    throw invalid(
      "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
    );
  if (resourceVersionMatch !== "")
    throw invalid(
      "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    );
  const matches = parseSelection(kind, query);
  const after = parseRevision(query.resourceVersion);
  return registry.cache.watch(kind, {
    ...(query.namespace === undefined ? {} : { namespace: query.namespace }),
    ...(matches === undefined ? {} : { matches }),
    ...(after === undefined ? {} : { after }),
    allowBookmarks: query.allowWatchBookmarks ?? false,
  });
}
