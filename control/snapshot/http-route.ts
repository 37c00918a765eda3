/**
 * HTTPRoute rules → Envoy routes, in the order of precedence of Gateway API. Pure.
 *
 *   mesh-routes.ts, gateway.ts choose the routes that attach ─▶ translateRoutes() ─▶ virtual host
 *
 * Invariant: the order depends on the objects alone, never on the order in which they were given.
 * Source: Gateway API v1 HTTPRouteRule.matches; regular expressions, which it leaves open, go between exact and prefix.
 */
import type { HTTPRoute, HTTPRouteMatch, HTTPRouteRule } from "#api/gateway/httproute.ts";
import type { HeaderMatcher, Route, RouteAction, RouteMatch } from "#api/xds/envoy.ts";
import { isPending, resolveBackend } from "./backend.ts";
import { translateDuration } from "./duration.ts";
import { retryPolicy } from "./filter-chain.ts";
import { missingCluster } from "./names.ts";
import type { Objects } from "./objects.ts";

/** A route that takes part, and how specific the host name is that it takes part under. */
export interface Candidate {
  readonly route: HTTPRoute;
  /** Larger wins before anything else; 0 where host names do not matter. */
  readonly hostRank: number;
}

/** The Envoy routes of all candidates, best match first. */
export function translateRoutes(
  candidates: readonly Candidate[],
  via: "Gateway" | "Service",
  objects: Pick<Objects, "services" | "slicesOf">,
): readonly Route[] {
  const matches = candidates.flatMap(matchesOf).sort(byPrecedence);
  return matches.map(({ candidate: { route }, rule, ruleIndex, match }) => ({
    name: `${route.metadata.namespace}/${route.metadata.name}/${rule.name ?? ruleIndex}`,
    match: translateMatch(match),
    ...translateAction(rule, route, via, objects),
  }));
}

/**
 * Whether a route must wait: some rule has only backends whose endpoints are not known yet. It then counts as not
 * there, so that traffic goes on as before instead of being refused for a moment.
 */
export function mustWait(route: HTTPRoute, objects: Pick<Objects, "services" | "slicesOf">): boolean {
  return (route.spec.rules ?? []).some(({ backendRefs = [] }) => {
    const wanted = backendRefs.filter(({ weight }) => weight !== 0);
    return wanted.length > 0 && wanted.every((ref) => isPending(ref, route, objects));
  });
}

/** Why Wherry cannot do what the route says, as a sentence, or undefined. Such a route is refused as a whole. */
export function problemOf(route: HTTPRoute): string | undefined {
  for (const [index, rule] of (route.spec.rules ?? []).entries()) {
    const problem = problemOfRule(rule);
    if (problem !== undefined) return `Cannot program rules[${index}]${problem}`;
  }
  return undefined;
}

function problemOfRule({ filters = [], backendRefs = [], timeouts, matches = [] }: HTTPRouteRule): string | undefined {
  const filter = filters[0] ?? backendRefs.flatMap((ref) => ref.filters ?? [])[0];
  if (filter !== undefined)
    return `.filters: observed ${String(filter["type"])}, wanted none (filters are not supported)`;
  if (timeouts?.backendRequest !== undefined)
    return ".timeouts.backendRequest: observed a value, wanted none (only timeouts.request is supported)";
  if (timeouts?.request !== undefined && translateDuration(timeouts.request) === undefined)
    return `.timeouts.request: observed ${timeouts.request}, wanted a duration as 500ms`;
  for (const [index, match] of matches.entries()) {
    const texts = [match.path, ...(match.headers ?? []), ...(match.queryParams ?? [])];
    const bad = texts.find((text) => text?.type === "RegularExpression" && !isRegularExpression(text.value ?? ""));
    if (bad !== undefined) return `.matches[${index}]: observed ${bad.value}, wanted a regular expression`;
  }
  return undefined;
}

function isRegularExpression(text: string): boolean {
  try {
    return new RegExp(text, "u") instanceof RegExp;
  } catch (error) {
    return !(error instanceof SyntaxError);
  }
}

interface RankedMatch {
  readonly candidate: Candidate;
  readonly rule: HTTPRouteRule;
  readonly ruleIndex: number;
  readonly matchIndex: number;
  readonly match: HTTPRouteMatch;
}

function matchesOf(candidate: Candidate): readonly RankedMatch[] {
  // A route without rules has one: everything, to no backend. A rule without matches matches everything.
  return (candidate.route.spec.rules ?? [{}]).flatMap((rule, ruleIndex) => {
    const matches: readonly HTTPRouteMatch[] =
      rule.matches === undefined || rule.matches.length === 0 ? [{}] : rule.matches;
    return matches.map((match, matchIndex) => ({ candidate, rule, ruleIndex, matchIndex, match }));
  });
}

function byPrecedence(a: RankedMatch, b: RankedMatch): number {
  return (
    b.candidate.hostRank - a.candidate.hostRank ||
    pathRank(b.match) - pathRank(a.match) ||
    pathLength(b.match) - pathLength(a.match) ||
    Number(b.match.method !== undefined) - Number(a.match.method !== undefined) ||
    (b.match.headers?.length ?? 0) - (a.match.headers?.length ?? 0) ||
    (b.match.queryParams?.length ?? 0) - (a.match.queryParams?.length ?? 0) ||
    compare(a.candidate.route.metadata.creationTimestamp ?? "", b.candidate.route.metadata.creationTimestamp ?? "") ||
    compare(nameOf(a.candidate.route), nameOf(b.candidate.route)) ||
    a.ruleIndex - b.ruleIndex ||
    a.matchIndex - b.matchIndex
  );
}

function pathRank({ path }: HTTPRouteMatch): number {
  if (path?.type === "Exact") return 2;
  return path?.type === "RegularExpression" ? 1 : 0;
}

function pathLength({ path }: HTTPRouteMatch): number {
  return path?.value?.length ?? 1;
}

function nameOf({ metadata }: HTTPRoute): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function translateMatch({ path, headers = [], queryParams = [], method }: HTTPRouteMatch): RouteMatch {
  const matchers: HeaderMatcher[] = [];
  if (method !== undefined) matchers.push({ name: ":method", string_match: { exact: method } });
  // Of several entries for one header, the first counts and the rest are ignored (HTTPHeaderMatch.name).
  const names = new Set<string>();
  for (const { type, name, value } of headers) {
    if (names.has(name.toLowerCase())) continue;
    names.add(name.toLowerCase());
    matchers.push({ name, string_match: stringMatch(type, value) });
  }
  return {
    ...translatePath(path),
    ...(matchers.length === 0 ? {} : { headers: matchers }),
    ...(queryParams.length === 0
      ? {}
      : {
          query_parameters: queryParams.map(({ type, name, value }) => ({
            name,
            string_match: stringMatch(type, value),
          })),
        }),
  };
}

function translatePath(path: HTTPRouteMatch["path"]): RouteMatch {
  const value = path?.value ?? "/";
  if (path?.type === "Exact") return { path: value };
  if (path?.type === "RegularExpression") return { safe_regex: { regex: value } };
  const trimmed = value.replace(/\/+$/, "");
  return trimmed === "" ? { prefix: "/" } : { path_separated_prefix: trimmed };
}

function stringMatch(
  type: "Exact" | "RegularExpression" | undefined,
  value: string,
): HeaderMatcher["string_match"] & object {
  return type === "RegularExpression" ? { safe_regex: { regex: value } } : { exact: value };
}

function translateAction(
  { backendRefs = [], timeouts }: HTTPRouteRule,
  route: HTTPRoute,
  via: "Gateway" | "Service",
  objects: Pick<Objects, "services" | "slicesOf">,
): Pick<Route, "route" | "direct_response"> {
  // A backend whose endpoints are not known yet gets its share once they are; until then the others take it.
  const shares = backendRefs
    .filter((ref) => !isPending(ref, route, objects))
    .map((ref) => ({ backend: resolveBackend(ref, route, via, objects), weight: ref.weight ?? 1 }))
    .filter(({ weight }) => weight > 0)
    .map(({ backend, weight }) => ({ name: backend.kind === "resolved" ? backend.cluster : missingCluster, weight }));
  if (shares.every(({ name }) => name === missingCluster))
    return { direct_response: { status: 500, body: { inline_string: "no backend of this route exists" } } };
  const timeout = timeouts?.request === undefined ? "0s" : (translateDuration(timeouts.request) ?? "0s");
  return { route: { ...clustersOf(shares), timeout, retry_policy: retryPolicy } };
}

function clustersOf(shares: readonly { readonly name: string; readonly weight: number }[]): RouteAction {
  const [only, ...more] = shares;
  if (only !== undefined && more.length === 0) return { cluster: only.name };
  return {
    weighted_clusters: { clusters: shares },
    // The share of a backend that does not exist answers 500, as Gateway API demands.
    ...(shares.some(({ name }) => name === missingCluster)
      ? { cluster_not_found_response_code: "INTERNAL_SERVER_ERROR" as const }
      : {}),
  };
}
