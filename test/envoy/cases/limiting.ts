/** Global rate limits: what the service is asked, and what its answers do. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const filter = (name: string, more: Fields = {}): Fields => ({
  name,
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
    domain: "shop",
    timeout: "5s",
    rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: "rls" } }, transport_api_version: "V3" },
    ...more,
  },
});

const header = (descriptor_key: string, more: Fields = {}): Fields => ({
  request_headers: { header_name: `x-${descriptor_key}`, descriptor_key, ...more },
});

const to = (name: string, actions: readonly Fields[], more: Fields = {}): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a", ...(actions.length === 0 ? {} : { rate_limits: [{ actions }] }), ...more },
});

const get = (path: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name: [path, ...headers.map(([key, value]) => `${key} ${value}`)].join(" "),
  path,
  headers,
});

const routes: readonly Fields[] = [
  to("header", [header("user"), header("plan")]),
  to("skipped", [header("user"), header("plan", { skip_if_absent: true })]),
  to("address", [{ remote_address: {} }]),
  to("generic", [
    { generic_key: { descriptor_value: "v" } },
    { generic_key: { descriptor_key: "k", descriptor_value: "w" } },
  ]),
  to("clusters", [{ source_cluster: {} }, { destination_cluster: {} }]),
  to("pseudo", [{ request_headers: { header_name: ":path", descriptor_key: "path" } }]),
  to("matched", [
    {
      header_value_match: {
        descriptor_value: "mine",
        headers: [{ name: "x-user", string_match: { exact: "me" } }],
      },
    },
  ]),
  to("unmatched", [
    {
      header_value_match: {
        descriptor_key: "not",
        descriptor_value: "mine",
        expect_match: false,
        headers: [{ name: "x-user", string_match: { exact: "me" } }],
      },
    },
  ]),
  to("query", [
    {
      query_parameter_value_match: {
        descriptor_value: "asked",
        query_parameters: [{ name: "q", string_match: { prefix: "a" } }],
      },
    },
  ]),
  to("two", [], {
    rate_limits: [
      { actions: [header("user")] },
      { actions: [header("plan")] },
      { stage: 1, actions: [header("late")] },
    ],
  }),
  to("both", [header("plan")], { include_vh_rate_limits: true }),
  to("host", []),
  { name: "direct", match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "here" } } },
  {
    ...to("off", [header("user")]),
    typed_per_filter_config: {
      limit: { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true },
    },
  },
];

const limited: CaseGroup = {
  name: "limited",
  filters: [filter("limit")],
  host: { rate_limits: [{ actions: [header("host-user")] }] },
  routes,
  requests: [
    get("/header", ["x-user", "ann"], ["x-plan", "free"]),
    get("/header", ["x-user", "ann"]),
    get("/header", ["x-user", "over"], ["x-plan", "free"]),
    get("/header", ["x-user", "ann"], ["x-user", "bob"], ["x-plan", "free"]),
    get("/header", ["x-user", ""], ["x-plan", "free"]),
    get("/skipped", ["x-user", "ann"]),
    get("/skipped", ["x-plan", "free"]),
    get("/address"),
    get("/address", ["x-forwarded-for", "10.0.0.1, 10.0.0.2"]),
    get("/address", ["x-forwarded-for", "nobody"]),
    get("/generic"),
    get("/clusters"),
    get("/pseudo?x=1"),
    get("/matched", ["x-user", "me"]),
    get("/matched", ["x-user", "you"]),
    get("/unmatched", ["x-user", "me"]),
    get("/unmatched", ["x-user", "you"]),
    get("/query?q=abc"),
    get("/query?q=b"),
    get("/two", ["x-user", "ann"], ["x-plan", "free"], ["x-late", "1"]),
    get("/two", ["x-plan", "over"]),
    get("/both", ["x-plan", "free"], ["x-host-user", "ann"]),
    get("/host", ["x-host-user", "ann"]),
    get("/host"),
    get("/direct", ["x-host-user", "over"]),
    get("/off", ["x-user", "over"]),
    get("/nowhere", ["x-host-user", "over"]),
    get("/header", ["x-user", "over"], ["x-plan", "free"], ["content-type", "application/grpc"]),
  ],
};

const atTheEdge: CaseGroup = {
  name: "limited-edge",
  manager: { use_remote_address: true, xff_num_trusted_hops: 1 },
  filters: [
    filter("limit", {
      stage: 1,
      rate_limited_status: { code: "ServiceUnavailable" },
      disable_x_envoy_ratelimited_header: true,
      rate_limited_as_resource_exhausted: true,
      response_headers_to_add: [{ header: { key: "x-limited", value: "yes" } }],
    }),
  ],
  routes: [
    to("address", [], { rate_limits: [{ stage: 1, actions: [{ remote_address: {} }] }] }),
    to("user", [], { rate_limits: [{ stage: 1, actions: [header("user")] }] }),
  ],
  requests: [
    get("/address", ["x-forwarded-for", "10.0.0.1, 10.0.0.2"]),
    get("/user", ["x-user", "over"]),
    get("/user", ["x-user", "over"], ["content-type", "application/grpc"]),
  ],
};

/** Nobody listens at the service. */
const failing = (name: string, more: Fields): CaseGroup => ({
  name,
  filters: [
    filter("limit", {
      rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: "refused" } }, transport_api_version: "V3" },
      ...more,
    }),
  ],
  routes: [to("user", [header("user")])],
  requests: [get("/user", ["x-user", "ann"])],
});

export const limitingCases: readonly CaseGroup[] = [
  limited,
  atTheEdge,
  failing("limited-open", {}),
  failing("limited-closed", { failure_mode_deny: true }),
  failing("limited-closed-as", { failure_mode_deny: true, status_on_error: { code: "ServiceUnavailable" } }),
];
