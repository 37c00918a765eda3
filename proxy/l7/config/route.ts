/**
 * Envoy's RouteConfiguration → RouteTable. Pure.
 *
 *   RDS, a listener's inline route_config or a file ─▶ compileRoutes() ─▶ route/table.ts
 *
 * Source: envoy.config.route.v3.RouteConfiguration. Invariant: domains are unique over all virtual hosts, lower case.
 */
import type { HeaderMatcher, RouteMatch, StringMatch } from "#api/xds/envoy.ts";
import { compileMatch } from "../route/match.ts";
import {
  type CompiledRoute,
  type CompiledVirtualHost,
  RouteTable,
  type RetryRule,
  type RouteTarget,
} from "../route/table.ts";
import { SmoothWeighted } from "../route/weight.ts";
import { Reader } from "./reader.ts";

/** Envoy's default for a route without a timeout. */
const timeoutMsDefault = 15_000;

export function compileRoutes(resource: unknown, path = "RouteConfiguration"): RouteTable {
  const reader = new Reader(resource, path);
  const name = reader.text("name") ?? "";
  const domains = new Set<string>();
  const hosts = reader.list("virtual_hosts").map((host) => readHost(host, domains));
  const ignoresPort = reader.flag("ignore_port_in_host_matching") ?? false;
  reader.ignore("validate_clusters").done();
  return new RouteTable(name, hosts, ignoresPort);
}

function readHost(reader: Reader, seen: Set<string>): CompiledVirtualHost {
  const name = reader.wantText("name");
  const domains = reader.texts("domains").map((domain) => domain.toLowerCase());
  if (domains.length === 0) throw reader.bad("domains", "it is empty, wanted at least one");
  for (const domain of domains) {
    if (seen.has(domain)) throw reader.bad("domains", `${JSON.stringify(domain)} is there twice`);
    const star = domain.indexOf("*");
    const isWildcard = star === 0 || star === domain.length - 1;
    if (domain === "" || (star >= 0 && (!isWildcard || domain.lastIndexOf("*") !== star)))
      throw reader.bad("domains", `${JSON.stringify(domain)} has a * that is not alone at an end`);
    seen.add(domain);
  }
  const routes = reader.list("routes").map(readRoute);
  reader.done();
  return { name, domains, routes };
}

function readRoute(reader: Reader): CompiledRoute {
  const name = reader.text("name") ?? "";
  const match = reader.wantObject("match");
  const matches = compileMatch(readMatch(match), (path, why) => match.bad(path, why));
  const direct = reader.object("direct_response");
  const action = reader.object("route");
  // Metadata is for others; a decorator names spans, which are named elsewhere.
  reader.ignore("metadata", "decorator").done();
  if ((direct === undefined) === (action === undefined))
    throw reader.bad("route", "wanted exactly one of route and direct_response");
  if (direct !== undefined)
    return { name, matches, target: readDirect(direct), timeoutMs: 0, retry: undefined, unknownCluster: undefined };
  const route = action!;
  const target = readTarget(route);
  const timeoutMs = route.durationMs("timeout") ?? timeoutMsDefault;
  const policy = route.object("retry_policy");
  const retry = policy === undefined ? undefined : readRetry(policy);
  const code = route.oneOf("cluster_not_found_response_code", Object.keys(notFoundStatuses));
  route.done();
  const unknownCluster = code === undefined ? undefined : notFoundStatuses[code];
  return { name, matches, target, timeoutMs, retry, unknownCluster };
}

/** envoy.config.route.v3.RouteAction.ClusterNotFoundResponseCode */
const notFoundStatuses: Readonly<Record<string, number>> = {
  SERVICE_UNAVAILABLE: 503,
  NOT_FOUND: 404,
  INTERNAL_SERVER_ERROR: 500,
};

function readDirect(reader: Reader): RouteTarget {
  const status = reader.integer("status", 200) ?? 0;
  if (status < 200 || status > 599) throw reader.bad("status", "it is not between 200 and 599");
  const body = reader.object("body");
  const text = body?.text("inline_string") ?? "";
  body?.done();
  reader.done();
  return { kind: "direct", status, body: text };
}

function readTarget(reader: Reader): RouteTarget {
  const weighted = reader.object("weighted_clusters");
  if (weighted === undefined) return { kind: "cluster", name: reader.wantText("cluster") };
  if (reader.has("cluster")) throw reader.bad("cluster", "it does not go with weighted_clusters");
  const names: string[] = [];
  const weights: number[] = [];
  for (const entry of weighted.list("clusters")) {
    names.push(entry.wantText("name"));
    weights.push(entry.integer("weight", 0) ?? 0);
    entry.done();
  }
  // Deprecated in Envoy and without effect there: the sum counts.
  weighted.ignore("total_weight").done();
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total < 1 || total > 0xffff_ffff) throw weighted.bad("clusters", "the sum of weights is not in 1 to 2^32-1");
  return { kind: "weighted", names, weights: new SmoothWeighted(weights) };
}

/** Retry conditions that are known, and whether each has an effect on HTTP/1. */
const conditions: Readonly<Record<string, "connect" | "reset" | "http2">> = {
  "connect-failure": "connect",
  reset: "reset",
  "reset-before-request": "reset",
  // Conditions of HTTP/2 and gRPC never come up in HTTP/1: accepted, as Istio's default policy lists them.
  "refused-stream": "http2",
  unavailable: "http2",
  cancelled: "http2",
};

function readRetry(reader: Reader): RetryRule {
  const retriesMax = reader.integer("num_retries", 0) ?? 1;
  let onConnectFailure = false;
  let onReset = false;
  for (const part of (reader.text("retry_on") ?? "").split(",")) {
    const condition = part.trim();
    if (condition === "") continue;
    const kind = conditions[condition];
    if (kind === undefined)
      throw reader.unsupported("retry_on", `${JSON.stringify(condition)}, wanted connect-failure or reset`);
    if (kind === "connect") onConnectFailure = true;
    if (kind === "reset") onReset = true;
  }
  // Another endpoint is always preferred, which is what these two ask for.
  reader.ignore("retry_host_predicate", "host_selection_retry_max_attempts").done();
  return { onConnectFailure, onReset, retriesMax };
}

function readMatch(reader: Reader): RouteMatch {
  const paths = ["prefix", "path", "path_separated_prefix", "safe_regex"].filter((name) => reader.has(name));
  if (paths.length > 1) throw reader.bad(paths[1]!, `it does not go with ${paths[0]!}`);
  const match: RouteMatch = {
    ...textOf(reader, "prefix"),
    ...textOf(reader, "path"),
    ...textOf(reader, "path_separated_prefix"),
    ...regexOf(reader),
    headers: reader.list("headers").map(readHeader),
    query_parameters: reader.list("query_parameters").map(readQuery),
  };
  if (!(reader.flag("case_sensitive") ?? true))
    throw reader.unsupported("case_sensitive", "paths are compared with case only");
  reader.done();
  return match;
}

function readHeader(reader: Reader): HeaderMatcher {
  const name = reader.wantText("name");
  const matcher = { name, ...stringMatchOf(reader), ...flagOf(reader, "present_match") };
  const invert = reader.flag("invert_match") ?? false;
  reader.done();
  return { ...matcher, invert_match: invert };
}

function readQuery(reader: Reader): NonNullable<RouteMatch["query_parameters"]>[number] {
  const name = reader.wantText("name");
  const matcher = { name, ...stringMatchOf(reader), ...flagOf(reader, "present_match") };
  reader.done();
  return matcher;
}

function stringMatchOf(reader: Reader): { string_match?: StringMatch } {
  const match = reader.object("string_match");
  if (match === undefined) return {};
  const read: StringMatch = {
    ...textOf(match, "exact"),
    ...textOf(match, "prefix"),
    ...textOf(match, "suffix"),
    ...regexOf(match),
  };
  match.done();
  return { string_match: read };
}

/** The one field as an object to spread; empty when it is not there. */
function textOf<Name extends string>(reader: Reader, name: Name): Partial<Record<Name, string>> {
  const text = reader.text(name);
  return text === undefined || (text === "" && name !== "exact") ? {} : ({ [name]: text } as Record<Name, string>);
}

function flagOf(reader: Reader, name: "present_match"): { present_match?: boolean } {
  const flag = reader.flag(name);
  return flag === undefined ? {} : { [name]: flag };
}

function regexOf(reader: Reader): { safe_regex?: { regex: string } } {
  const regex = reader.object("safe_regex");
  if (regex === undefined) return {};
  const text = regex.wantText("regex");
  // RE2 is the only engine that Envoy ever had.
  regex.ignore("google_re2").done();
  return { safe_regex: { regex: text } };
}
