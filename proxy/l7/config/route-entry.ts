/**
 * One Envoy Route → CompiledRoute. Pure.
 *
 *   Reader of a Route + what its virtual host and table say ─▶ readRoute() ─▶ route/types.ts
 *
 * Source: envoy.config.route.v3.Route, RouteAction, RedirectAction, DirectResponseAction.
 */
import type { Metadata } from "../accesslog/types.ts";
import { SmoothWeighted } from "../route/weight.ts";
import type { RateLimitRule } from "../route/rate-limits.ts";
import type {
  CompiledRoute,
  HeaderMutations,
  HostRewrite,
  MetadataMatch,
  Mirror,
  PerFilter,
  RetryPolicy,
  RouteChanges,
  RouteTarget,
  RoutingPriority,
  WeightedEntry,
} from "../route/types.ts";
import { readDirect, readRedirect } from "./answer.ts";
import { readHashPolicies } from "./hash-policy.ts";
import { readMutations } from "./headers.ts";
import { type CompiledMatch, readMatch } from "./match.ts";
import { readMirrors } from "./mirrors.ts";
import { readCorsPolicy, readPerFilter } from "./per-filter.ts";
import { readRouteLimits } from "./rate-limits.ts";
import { readMetadata } from "./metadata.ts";
import type { Reader } from "./reader.ts";
import { readHedge, readRetryPolicy } from "./retry.ts";
import { type Rewrites, noRewrites, readRewrites } from "./rewrite.ts";

interface Sides {
  readonly request: HeaderMutations | undefined;
  readonly response: HeaderMutations | undefined;
}

/** What a virtual host and its table give all their routes. */
export interface HostContext {
  readonly name: string;
  readonly metadata: Metadata | undefined;
  readonly table: Sides;
  readonly host: Sides;
  readonly mostSpecificWins: boolean;
  readonly bodyBytesMax: number;
  readonly perFilter: PerFilter;
  readonly retry: RetryPolicy | undefined;
  readonly hedgesOnTimeout: boolean;
  readonly mirrors: readonly Mirror[];
  readonly rateLimits: readonly RateLimitRule[];
  readonly countsAttempts: boolean;
  readonly tellsAttempts: boolean;
  readonly tellsTimeoutRetry: boolean;
}

/** Envoy's default for a route without a timeout. */
const timeoutMsDefault = 15_000;

/** What all actions have. */
interface RouteParts {
  readonly match: CompiledMatch;
  readonly context: HostContext;
  readonly own: Sides;
  readonly perFilter: Map<string, unknown>;
  readonly bufferBytesMax: number | undefined;
  readonly name: string;
  readonly metadata: Metadata | undefined;
  readonly metadataMatch?: MetadataMatch | undefined;
}

export function readRoute(reader: Reader, context: HostContext): CompiledRoute {
  const parts: RouteParts = {
    name: reader.text("name") ?? "",
    metadata: readMetadata(reader),
    match: readMatch(reader.wantObject("match")),
    context,
    own: { request: readMutations(reader, "request"), response: readMutations(reader, "response") },
    perFilter: new Map(readPerFilter(reader, context.perFilter)),
    bufferBytesMax: undefined,
  };
  const fields = ["route", "redirect", "direct_response"].filter((field) => reader.isSet(field));
  const [field, second] = fields;
  if (field === undefined || second !== undefined) {
    for (const other of ["filter_action", "non_forwarding_action"])
      if (reader.isSet(other)) throw reader.unsupported(other, "wanted route, redirect or direct_response");
    throw reader.bad("route", "wanted exactly one of route, redirect and direct_response");
  }
  const action = reader.wantObject(field);
  const route = field === "route" ? readAction(action, parts) : readAnswer(field, action, parts);
  // A decorator names spans; statistics by route are not kept.
  reader.ignore("decorator", "stat_prefix").done();
  return route;
}

/** What every route has that says nothing of it. */
function plainRoute({
  name,
  metadata,
  match,
  context,
  perFilter,
  bufferBytesMax,
}: RouteParts): Omit<CompiledRoute, "target"> {
  return {
    name,
    hostName: context.name,
    metadata,
    hostMetadata: context.metadata,
    pathKey: match.pathKey,
    headerKey: match.headerKey,
    matches: match.matches,
    priority: "default",
    timeoutMs: 0,
    idleMs: undefined,
    maxStreamMs: undefined,
    grpcTimeout: undefined,
    retry: undefined,
    hedgesOnTimeout: false,
    changes: undefined,
    hashPolicies: [],
    mirrors: [],
    metadataMatch: undefined,
    upgrades: noUpgrades,
    endsConnect: false,
    perFilter,
    rateLimits: [],
    bufferBytesMax,
    unknownCluster: undefined,
  };
}

const noUpgrades: ReadonlyMap<string, boolean> = new Map();

function readAnswer(field: string, action: Reader, parts: RouteParts): CompiledRoute {
  const changes = combine(parts, undefined, noRewrites);
  const target: RouteTarget =
    field === "redirect"
      ? { kind: "redirect", redirect: readRedirect(action, parts.match) }
      : readDirect(action, parts.context.bodyBytesMax);
  return { ...plainRoute(parts), target, changes };
}

function readAction(action: Reader, parts: RouteParts): CompiledRoute {
  const rewrites = readRewrites(action, parts.match);
  const { context } = parts;
  const metadataMatch = readMetadataMatch(action);
  const target = readTarget(action, { ...parts, metadataMatch }, rewrites);
  const policy = action.object("retry_policy");
  const code = action.oneOf("cluster_not_found_response_code", Object.keys(notFoundStatuses));
  const cors = readCorsPolicy(action, parts.perFilter);
  if (cors !== undefined) parts.perFilter.set(cors.filter, cors.policy);
  const hedge = action.object("hedge_policy");
  const mirrors = readMirrors(action);
  const times = readTimes(action);
  const route: CompiledRoute = {
    ...plainRoute(parts),
    ...times,
    target,
    priority: readPriority(action),
    retry: policy === undefined ? context.retry : readRetryPolicy(policy),
    hedgesOnTimeout: hedge === undefined ? context.hedgesOnTimeout : readHedge(hedge),
    changes: combine(parts, undefined, rewrites),
    hashPolicies: readHashPolicies(action),
    mirrors: mirrors.length === 0 ? context.mirrors : mirrors,
    metadataMatch,
    ...readUpgrades(action),
    rateLimits: readRouteLimits(action, target, context.rateLimits),
    unknownCluster: code === undefined ? undefined : notFoundStatuses[code],
  };
  if (action.isSet("internal_redirect_policy"))
    throw action.unsupported("internal_redirect_policy", "redirects of upstreams go to the downstream as they are");
  action.done();
  return route;
}

/** envoy.config.route.v3.RouteAction.ClusterNotFoundResponseCode */
const notFoundStatuses: Readonly<Record<string, number>> = {
  SERVICE_UNAVAILABLE: 503,
  NOT_FOUND: 404,
  INTERNAL_SERVER_ERROR: 500,
};

function readPriority(action: Reader): RoutingPriority {
  return action.oneOf("priority", ["DEFAULT", "HIGH"]) === "HIGH" ? "high" : "default";
}

function readTimes(action: Reader): Pick<CompiledRoute, "timeoutMs" | "idleMs" | "maxStreamMs" | "grpcTimeout"> {
  const stream = action.object("max_stream_duration");
  const maxStreamMs = stream?.durationMs("max_stream_duration");
  const headerMaxMs = stream?.durationMs("grpc_timeout_header_max");
  const headerOffsetMs = stream?.durationMs("grpc_timeout_header_offset");
  stream?.done();
  // The two fields from before max_stream_duration.
  const maxMs = headerMaxMs ?? action.durationMs("max_grpc_timeout");
  const offsetMs = headerOffsetMs ?? action.durationMs("grpc_timeout_offset") ?? 0;
  return {
    timeoutMs: action.durationMs("timeout") ?? timeoutMsDefault,
    idleMs: action.durationMs("idle_timeout"),
    maxStreamMs,
    grpcTimeout: maxMs === undefined ? undefined : { maxMs, offsetMs },
  };
}

function readUpgrades(action: Reader): Pick<CompiledRoute, "upgrades" | "endsConnect"> {
  const upgrades = new Map<string, boolean>();
  let endsConnect = false;
  for (const entry of action.list("upgrade_configs")) {
    const type = entry.wantText("upgrade_type").toLowerCase();
    upgrades.set(type, entry.flag("enabled") ?? true);
    const connect = entry.object("connect_config");
    if (connect !== undefined && type !== "connect") throw entry.bad("connect_config", "it goes with CONNECT only");
    if (connect !== undefined) endsConnect = true;
    // Neither POST as a tunnel nor the PROXY protocol.
    connect?.done();
    entry.done();
  }
  return { upgrades: upgrades.size === 0 ? noUpgrades : upgrades, endsConnect };
}

/** Metadata of endpoints wanted by subsets: only "envoy.lb" is looked at. */
function readMetadataMatch(reader: Reader, above?: MetadataMatch): MetadataMatch | undefined {
  const filters = reader.object("metadata_match")?.object("filter_metadata");
  const wanted = filters?.raw("envoy.lb");
  if (typeof wanted !== "object" || wanted === null) return above;
  const own = Object.entries(wanted).map(([key, value]) => [key, JSON.stringify(value)] as const);
  return new Map([...(above ?? []), ...own]);
}

function readTarget(action: Reader, parts: RouteParts, rewrites: Rewrites): RouteTarget {
  const fields = ["cluster", "cluster_header", "weighted_clusters"].filter((name) => action.has(name));
  const [field, second] = fields;
  if (second !== undefined) throw action.bad(second, `it does not go with ${field!}`);
  switch (field) {
    case "cluster_header":
      return { kind: "clusterHeader", key: action.wantText(field).toLowerCase() };
    case "weighted_clusters":
      return readWeighted(action.wantObject(field), parts, rewrites);
    case "cluster":
    case undefined:
    default:
      for (const name of ["cluster_specifier_plugin", "inline_cluster_specifier_plugin"])
        if (action.isSet(name)) throw action.unsupported(name, "wanted cluster, cluster_header or weighted_clusters");
      return { kind: "cluster", name: action.wantText("cluster") };
  }
}

function readWeighted(weighted: Reader, parts: RouteParts, rewrites: Rewrites): RouteTarget {
  const entries: WeightedEntry[] = [];
  const weights: number[] = [];
  for (const entry of weighted.list("clusters")) {
    weights.push(entry.integer("weight", 0) ?? 0);
    entries.push(readEntry(entry, parts, rewrites));
  }
  const randomHeader = weighted.text("header_name")?.toLowerCase() || undefined;
  // Deprecated in Envoy and without effect there: the sum counts. Weights are not overridden by a runtime here.
  weighted.ignore("total_weight", "runtime_key_prefix").done();
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total < 1 || total > 0xffff_ffff) throw weighted.bad("clusters", "the sum of weights is not in 1 to 2^32-1");
  const names = entries.flatMap(({ name }) => (name === undefined ? [] : [name]));
  return { kind: "weighted", names, weights: new SmoothWeighted(weights), entries, randomHeader };
}

function readEntry(entry: Reader, parts: RouteParts, rewrites: Rewrites): WeightedEntry {
  const name = entry.text("name") || undefined;
  const clusterHeader = entry.text("cluster_header")?.toLowerCase() || undefined;
  if ((name === undefined) === (clusterHeader === undefined))
    throw entry.bad("name", "wanted exactly one of name and cluster_header");
  const host = entry.text("host_rewrite_literal");
  const own = { request: readMutations(entry, "request"), response: readMutations(entry, "response") };
  const hostRewrite: HostRewrite | undefined = host ? { kind: "entry", host } : rewrites.host;
  const metadataMatch = readMetadataMatch(entry, parts.metadataMatch);
  const perFilter = readPerFilter(entry, parts.perFilter);
  entry.done();
  return {
    name,
    clusterHeader,
    changes: combine(parts, own, { ...rewrites, host: hostRewrite }),
    metadataMatch,
    perFilter,
  };
}

/** The changes of all levels, or undefined when there are none. */
function combine(parts: RouteParts, entry: Sides | undefined, rewrites: Rewrites): RouteChanges | undefined {
  const { context, own } = parts;
  const levels = [entry, own, context.host, context.table];
  if (context.mostSpecificWins) levels.reverse();
  const of = (side: "request" | "response"): readonly HeaderMutations[] =>
    levels.flatMap((level) => level?.[side] ?? []);
  const { countsAttempts, tellsAttempts, tellsTimeoutRetry } = context;
  const changes = {
    ...rewrites,
    request: of("request"),
    response: of("response"),
    countsAttempts,
    tellsAttempts,
    tellsTimeoutRetry,
  };
  const isNothing =
    changes.path === undefined &&
    changes.host === undefined &&
    changes.request.length + changes.response.length === 0 &&
    !countsAttempts &&
    !tellsAttempts &&
    !tellsTimeoutRetry;
  return isNothing ? undefined : changes;
}
