/** Faults, limits, breakers, ejections, and the choice of an endpoint by hash. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const filters = "type.googleapis.com/envoy.extensions.filters.http.";
const always: Fields = { numerator: 100, denominator: "HUNDRED" };

const get = (name: string, path: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path,
  headers,
});

const faultOf = (config: Fields): Fields => ({ "@type": `${filters}fault.v3.HTTPFault`, ...config });

const faults: CaseGroup = {
  name: "faults",
  filters: [
    { name: "fault", typed_config: faultOf({ abort: { http_status: 503, percentage: always } }) },
    { name: "asked", typed_config: faultOf({ abort: { header_abort: {}, percentage: always } }) },
  ],
  routes: [
    {
      name: "off",
      match: { prefix: "/off" },
      route: { cluster: "a" },
      typed_per_filter_config: {
        fault: { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true },
      },
    },
    {
      name: "own",
      match: { prefix: "/own" },
      route: { cluster: "a" },
      typed_per_filter_config: {
        fault: faultOf({
          delay: { fixed_delay: "0.01s", percentage: always },
          abort: { http_status: 418, percentage: always },
          headers: [{ name: "x-user", string_match: { prefix: "me" } }],
        }),
      },
    },
    { name: "all", match: { prefix: "/" }, route: { cluster: "a" } },
  ],
  requests: [
    get("all", "/"),
    get("gRPC", "/", ["content-type", "application/grpc"]),
    get("off", "/off"),
    get("own", "/own", ["x-user", "me"]),
    get("own, others", "/own", ["x-user", "you"]),
    get("asked for", "/off", ["x-envoy-fault-abort-request", "429"]),
    get(
      "asked for, never",
      "/off",
      ["x-envoy-fault-abort-request", "429"],
      ["x-envoy-fault-abort-request-percentage", "0"],
    ),
    get("asked for, no status", "/off", ["x-envoy-fault-abort-request", "99"]),
  ],
};

const bucketOf = (max_tokens: number, more: Fields = {}): Fields => ({
  "@type": `${filters}local_ratelimit.v3.LocalRateLimit`,
  stat_prefix: "limit",
  token_bucket: { max_tokens, tokens_per_fill: 1, fill_interval: "3600s" },
  filter_enabled: { default_value: always },
  filter_enforced: { default_value: always },
  ...more,
});

const limited = (name: string, config: Fields): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a" },
  typed_per_filter_config: { limit: config },
});

const localLimits: CaseGroup = {
  name: "local-limits",
  filters: [
    {
      name: "limit",
      typed_config: { "@type": `${filters}local_ratelimit.v3.LocalRateLimit`, stat_prefix: "limit" },
    },
  ],
  routes: [
    limited("two", bucketOf(2)),
    limited("status", bucketOf(1, { status: { code: "ServiceUnavailable" } })),
    limited("header", bucketOf(1, { response_headers_to_add: [{ header: { key: "x-limit", value: "one" } }] })),
    limited("counted", bucketOf(1, { filter_enforced: { default_value: { numerator: 0 } } })),
    { name: "none", match: { prefix: "/" }, route: { cluster: "a" } },
  ],
  requests: ["two", "status", "header", "counted", "none"].flatMap((name) =>
    [1, 2, 3].map((count) => get(`${name} ${count}`, `/${name}`)),
  ),
};

const guarded: CaseGroup = {
  name: "guarded",
  routes: ["full", "ejecting", "a"].map((cluster) => ({
    name: cluster,
    match: { prefix: `/${cluster}` },
    route: { cluster },
  })),
  requests: [
    get("full", "/full"),
    get("before", "/ejecting"),
    get("the error", "/ejecting", ["x-answer-status", "503"]),
    // Envoy's main thread ejects, a moment later.
    get("a moment", "/a", ["x-answer-delay", "300"]),
    get("behind it", "/ejecting"),
  ],
};

const names = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ida", "jim", "kay", "leo"];
const policies: Readonly<Record<string, Fields>> = {
  header: { header: { header_name: "x-user" } },
  query: { query_parameter: { name: "user" } },
  cookie: { cookie: { name: "user" } },
};

const hashed: CaseGroup = {
  name: "hashed",
  routes: ["ring", "maglev"].flatMap((cluster) =>
    Object.entries(policies).map(([kind, policy]) => ({
      name: `${cluster}-${kind}`,
      match: { prefix: `/${cluster}/${kind}` },
      route: { cluster, hash_policy: [policy] },
    })),
  ),
  requests: ["ring", "maglev"].flatMap((cluster) =>
    names.flatMap((user) => [
      get(`${cluster} header ${user}`, `/${cluster}/header`, ["x-user", user]),
      get(`${cluster} query ${user}`, `/${cluster}/query?user=${user}`),
      get(`${cluster} cookie ${user}`, `/${cluster}/cookie`, ["cookie", `user=${user}`]),
    ]),
  ),
};

export const protectingCases: readonly CaseGroup[] = [faults, localLimits, guarded, hashed];
