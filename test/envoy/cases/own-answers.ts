/** Answers of the proxy's own on their way through filters: whose headers they have, and which filters see them. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const filters = "type.googleapis.com/envoy.extensions.filters.http.";
const always: Fields = { numerator: 100, denominator: "HUNDRED" };
const grpc = ["content-type", "application/grpc"] as const;

const get = (name: string, path: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path,
  headers,
});

const add = (key: string, value: string, append_action = "APPEND_IF_EXISTS_OR_ADD"): Fields => ({
  header: { key, value },
  append_action,
});

const mutation = (name: string, response_mutations: readonly Fields[]): Fields => ({
  name,
  typed_config: {
    "@type": `${filters}header_mutation.v3.HeaderMutation`,
    mutations: { response_mutations },
  },
});

const fault: Fields = {
  name: "fault",
  typed_config: {
    "@type": `${filters}fault.v3.HTTPFault`,
    abort: { header_abort: {}, percentage: always },
  },
};

const limit = (config: Fields): Fields => ({
  "@type": `${filters}local_ratelimit.v3.LocalRateLimit`,
  stat_prefix: "limit",
  ...config,
});

const limited: Fields = {
  limit: limit({
    token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: "3600s" },
    filter_enabled: { default_value: always },
    filter_enforced: { default_value: always },
    response_headers_to_add: [add("x-limit", "1"), add("x-both", "filter"), add("x-gone", "filter")],
  }),
};

const buffer: Fields = {
  name: "buffer",
  typed_config: { "@type": `${filters}buffer.v3.Buffer`, max_request_bytes: 8 },
};

const toA = (path: string, more: Fields = {}): Fields => ({
  name: path,
  match: { prefix: path },
  route: { cluster: "a" },
  ...more,
});

const status = (default_value: number): Fields => ({
  status_code_filter: { comparison: { op: "EQ", value: { default_value, runtime_key: "none" } } },
});

/** Levels of headers on what filters answer. */
const ofRoutes: CaseGroup = {
  name: "own-answers-of-routes",
  manager: { server_name: "edge", via: "1.1 edge" },
  filters: [fault, { name: "limit", typed_config: limit({}) }, buffer],
  table: { response_headers_to_add: [add("x-table", "t")] },
  host: { response_headers_to_add: [add("x-host", "h")], response_headers_to_remove: ["x-removed"] },
  routes: [
    {
      ...toA("/limited"),
      typed_per_filter_config: limited,
      response_headers_to_add: [add("x-both", "route"), add("x-code", "%ROUTE_NAME%")],
      response_headers_to_remove: ["x-gone"],
    },
    {
      name: "direct",
      match: { prefix: "/direct" },
      direct_response: { status: 403, body: { inline_string: "not here" } },
      response_headers_to_add: [add("x-route", "r")],
    },
    {
      name: "weighted",
      match: { prefix: "/weighted" },
      route: {
        weighted_clusters: { clusters: [{ name: "a", weight: 1, response_headers_to_add: [add("x-entry", "e")] }] },
      },
    },
    toA("/", { response_headers_to_add: [add("x-route", "r")], response_headers_to_remove: ["content-type"] }),
  ],
  requests: [
    get("passes", "/limited"),
    get("limited", "/limited"),
    get("limited, gRPC", "/limited", grpc),
    get("fault", "/a", ["x-envoy-fault-abort-request", "418"]),
    get("fault, gRPC", "/a", ["x-envoy-fault-abort-request", "418"], grpc),
    get("fault of a direct response", "/direct", ["x-envoy-fault-abort-request", "418"]),
    get("fault of a weighted cluster", "/weighted", ["x-envoy-fault-abort-request", "418"]),
    get("direct, gRPC", "/direct", grpc),
    { name: "too large", method: "POST", path: "/a", body: "longer than that" },
    { ...get("HEAD", "/a", ["x-envoy-fault-abort-request", "418"]), method: "HEAD" },
  ],
};

/** Filters in front of the one that answers, and behind it. */
const seen: CaseGroup = {
  name: "own-answers-seen",
  manager: {
    local_reply_config: {
      mappers: [
        {
          filter: status(500),
          status_code: 510,
          body: { inline_string: "mapped" },
          headers_to_add: [add("x-seen", "mapper")],
        },
      ],
    },
  },
  filters: [
    mutation("first", [{ append: add("x-seen", "first %RESPONSE_CODE%") }, { append: add("x-first", "1") }]),
    fault,
    mutation("last", [
      { append: add("x-seen", "last") },
      { append: add("strict-transport-security", "max-age=1") },
      { remove: "x-removed" },
    ]),
  ],
  routes: [
    { name: "direct", match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "hi" } } },
    { name: "mapped", match: { prefix: "/mapped" }, direct_response: { status: 500, body: { inline_string: "hi" } } },
    { name: "redirect", match: { prefix: "/redirect" }, redirect: { path_redirect: "/new" } },
    { name: "refused", match: { prefix: "/refused" }, route: { cluster: "refused" } },
    { name: "empty", match: { prefix: "/empty" }, route: { cluster: "empty" } },
    { name: "full", match: { prefix: "/full" }, route: { cluster: "full" } },
    {
      name: "removed",
      match: { prefix: "/removed" },
      direct_response: { status: 204 },
      response_headers_to_add: [add("x-removed", "1")],
    },
    { name: "slow", match: { prefix: "/slow" }, route: { cluster: "a", timeout: "0.05s" } },
    toA("/a"),
  ],
  requests: [
    get("direct", "/direct"),
    { ...get("direct, HEAD", "/direct"), method: "HEAD" },
    { ...get("direct, POST", "/direct"), method: "POST", body: "abc" },
    get("direct, gRPC", "/direct", grpc),
    get("mapped", "/mapped"),
    get("mapped, gRPC", "/mapped", grpc),
    get("redirect", "/redirect"),
    get("refused", "/refused"),
    get("refused, gRPC", "/refused", grpc),
    get("empty", "/empty"),
    get("full", "/full"),
    get("removed", "/removed"),
    get("slow", "/slow", ["x-answer-delay", "1000"]),
    get("nowhere", "/nowhere"),
    get("fault", "/a", ["x-envoy-fault-abort-request", "418"]),
    get("fault, gRPC", "/a", ["x-envoy-fault-abort-request", "418"], grpc),
    get("upstream", "/a"),
  ],
};

const long = "a body that is longer than thirty bytes, so that it is worth it";
const compressor: Fields = {
  name: "compressor",
  typed_config: {
    "@type": `${filters}compressor.v3.Compressor`,
    response_direction_config: { common_config: { content_type: ["text/plain"] } },
    compressor_library: {
      name: "gzip",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip" },
    },
  },
};
const compressed: CaseGroup = {
  name: "own-answers-compressed",
  // Its body is long enough, but the compressor behind the limit has not seen what the request accepts.
  manager: { local_reply_config: { mappers: [{ filter: status(429), body: { inline_string: long } }] } },
  filters: [{ name: "limit", typed_config: limit({}) }, compressor],
  routes: [
    { name: "long", match: { prefix: "/long" }, direct_response: { status: 200, body: { inline_string: long } } },
    { name: "short", match: { prefix: "/short" }, direct_response: { status: 200, body: { inline_string: "hi" } } },
    { ...toA("/limited"), typed_per_filter_config: limited },
  ],
  requests: [
    get("long", "/long", ["accept-encoding", "gzip"]),
    get("long, not asked", "/long"),
    { ...get("long, HEAD", "/long", ["accept-encoding", "gzip"]), method: "HEAD" },
    get("short", "/short", ["accept-encoding", "gzip"]),
    get("first", "/limited"),
    get("limited", "/limited", ["accept-encoding", "gzip"]),
  ],
};

export const ownAnswerCases: readonly CaseGroup[] = [ofRoutes, seen, compressed];
