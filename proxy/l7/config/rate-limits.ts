/**
 * Envoy's RateLimit (the rules of routes and virtual hosts) → RateLimitRule. Pure.
 *
 *   rate_limits ─▶ readRateLimits() ─▶ route/rate-limits.ts
 *
 * Source: envoy.config.route.v3.RateLimit.
 */
import { isIP } from "node:net";
import { headerValue } from "../http1/headers.ts";
import { allOf, plainInfo } from "../route/match.ts";
import type { RateLimitAction, RateLimitRule } from "../route/rate-limits.ts";
import type { RouteTarget } from "../route/types.ts";
import { readHeaderMatcher, readQuery } from "./match.ts";
import type { Reader } from "./reader.ts";

export function readRateLimits(reader: Reader): readonly RateLimitRule[] {
  return reader.list("rate_limits").map((rule) => {
    const actions = rule.list("actions");
    if (actions.length === 0) throw rule.bad("actions", "it is empty, wanted at least one");
    const compiled: RateLimitRule = {
      stage: readStage(rule),
      needsDestination: actions.some((action) => action.isSet("destination_cluster")),
      actions: actions.map(readAction),
    };
    rule.done();
    return compiled;
  });
}

/** Of a route: its own rules, or its virtual host's; both where it asks for both. */
export function readRouteLimits(
  action: Reader,
  target: RouteTarget,
  ofHost: readonly RateLimitRule[],
): readonly RateLimitRule[] {
  const own = readRateLimits(action);
  const includesHost = action.flag("include_vh_rate_limits") ?? false;
  const all = own.length === 0 ? ofHost : includesHost ? [...own, ...ofHost] : own;
  // Limits are asked for before the turn of a weighted cluster is taken.
  if (target.kind === "weighted" && all.some(({ needsDestination }) => needsDestination))
    throw action.unsupported("rate_limits", "destination_cluster does not go with weighted_clusters");
  return all;
}

/** `stage` of rules and filters. */
export function readStage(reader: Reader): number {
  const stage = reader.integer("stage", 0) ?? 0;
  if (stage > 10) throw reader.bad("stage", "it is more than 10");
  return stage;
}

function readAction(reader: Reader): RateLimitAction {
  const names = Object.keys(actionReaders);
  const [name, second] = names.filter((field) => reader.isSet(field));
  if (name === undefined || second !== undefined) {
    // Names the field that is there but not supported.
    reader.done();
    throw reader.bad("request_headers", `wanted exactly one of ${names.join(", ")}`);
  }
  const config = reader.wantObject(name);
  const action = actionReaders[name]!(config);
  config.done();
  reader.done();
  return action;
}

const actionReaders: Readonly<Record<string, (config: Reader) => RateLimitAction>> = {
  source_cluster:
    () =>
    ({ sourceCluster: value }) => ({ key: "source_cluster", value }),
  destination_cluster:
    () =>
    ({ destinationCluster: value }) =>
      value === "" ? "abandon" : { key: "destination_cluster", value },
  request_headers: readRequestHeaders,
  remote_address:
    () =>
    ({ clientAddress: value }) =>
      isIP(value) === 0 ? "abandon" : { key: "remote_address", value },
  generic_key: (config) => {
    const entry = { key: config.text("descriptor_key") || "generic_key", value: config.wantText("descriptor_value") };
    return () => entry;
  },
  header_value_match: (config) => readMatch(config, "headers", "header_match", readHeaderMatcher),
  query_parameter_value_match: (config) => readMatch(config, "query_parameters", "query_match", readQuery),
};

function readRequestHeaders(config: Reader): RateLimitAction {
  const name = config.wantText("header_name").toLowerCase();
  const key = config.wantText("descriptor_key");
  const skips = config.flag("skip_if_absent") ?? false;
  return ({ head }) => {
    const value = headerOf(head, name);
    if (value === undefined) return skips ? "skip" : "abandon";
    return { key, value };
  };
}

function headerOf(head: Parameters<RateLimitAction>[0]["head"], name: string): string | undefined {
  if (name === ":path") return head.target;
  if (name === ":method") return head.method;
  if (name === ":authority" || name === "host") return head.host;
  // Of several lines the first one, as in Envoy.
  return headerValue(head.headers, name);
}

function readMatch(config: Reader, field: string, keyDefault: string, read: typeof readHeaderMatcher): RateLimitAction {
  const entry = { key: config.text("descriptor_key") || keyDefault, value: config.wantText("descriptor_value") };
  const expects = config.flag("expect_match") ?? true;
  const matchers = config.list(field).map(read);
  if (matchers.length === 0) throw config.bad(field, "it is empty, wanted at least one");
  const matches = allOf(matchers);
  return ({ head }) => (matches(head, plainInfo) === expects ? entry : "abandon");
}
