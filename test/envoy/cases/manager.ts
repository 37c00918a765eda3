/** What a listener does to every request: paths made canonical, addresses, hosts, names. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const toA: Fields = { name: "a", match: { prefix: "/" }, route: { cluster: "a" } };

const group = (
  name: string,
  manager: Fields,
  requests: readonly CaseRequest[],
  more: Partial<CaseGroup> = {},
): CaseGroup => ({
  name,
  manager,
  routes: [toA],
  requests,
  ...more,
});

const get = (path: string): CaseRequest => ({ name: path, path });
const withHeaders = (name: string, ...headers: readonly (readonly [string, string])[]): CaseRequest => ({
  name,
  path: "/",
  headers,
});

const forwardedFor = (name: string, manager: Fields): CaseGroup =>
  group(name, manager, [
    withHeaders("none"),
    withHeaders("one", ["x-forwarded-for", "10.0.0.1"]),
    withHeaders("two", ["x-forwarded-for", "10.0.0.1, 10.0.0.2"]),
    withHeaders("proto", ["x-forwarded-proto", "https"]),
    withHeaders("bad proto", ["x-forwarded-proto", "gopher"]),
    withHeaders("steering", ["x-envoy-upstream-rq-timeout-ms", "1"], ["x-envoy-max-retries", "3"]),
    withHeaders("internal", ["x-envoy-internal", "true"]),
  ]);

const steers = [
  "x-envoy-attempt-count",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-ip-tags",
  "x-envoy-max-retries",
  "x-envoy-original-url",
  "x-envoy-retriable-header-names",
  "x-envoy-retriable-status-codes",
  "x-envoy-retry-grpc-on",
  "x-envoy-retry-on",
  "x-envoy-upstream-alt-stat-name",
  "x-envoy-upstream-rq-per-try-timeout-ms",
] as const;

/** Whose x-envoy-… headers count: from everywhere that a request may come. */
const fromInside = (name: string, manager: Fields): CaseGroup => {
  const steering = ["x-envoy-upstream-rq-timeout-ms", "9999"] as const;
  const lists = ["10.0.0.1", "10.0.0.1, 10.0.0.2", "8.8.8.8", "8.8.8.8, 10.0.0.1", "10.0.0.1:80", "no address"];
  const inside = { address_prefix: "10.0.0.0", prefix_len: 8 };
  const loopback = { address_prefix: "127.0.0.0", prefix_len: 8 };
  return group(name, { ...manager, internal_address_config: { cidr_ranges: [inside, loopback] } }, [
    withHeaders("none", steering),
    withHeaders("all that steers", ...steers.map((key) => [key, "9999"] as const)),
    ...lists.map((list) => withHeaders(list, ["x-forwarded-for", list], steering)),
    withHeaders("inside, outside by lines", ["x-forwarded-for", "10.0.0.1"], ["x-forwarded-for", "8.8.8.8"], steering),
    withHeaders("said to be internal", ["x-forwarded-for", "8.8.8.8"], ["x-envoy-internal", "true"], steering),
  ]);
};

const escaped = ["/a%2Fb", "/a%2fb%5Cc?d%2Fe", "/plain"].map(get);

const filterConfig: Fields = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig" };

/** A filter that adds a header to the request. */
const adding = (name: string, key: string): Fields => ({
  name,
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations: { request_mutations: [{ append: { header: { key, value: "yes" } } }] },
  },
});

export const managerCases: readonly CaseGroup[] = [
  ...[false, true].flatMap((use_remote_address) =>
    [0, 1, 2].map((xff_num_trusted_hops) =>
      fromInside(`inside: remote address ${use_remote_address}, ${xff_num_trusted_hops} hops`, {
        use_remote_address,
        xff_num_trusted_hops,
      }),
    ),
  ),
  group("plain", {}, [
    get("/a//b/../c/./d?x=%20&y=1+2"),
    get("/%41%2f%7e"),
    { name: "POST", method: "POST", path: "/p", body: "payload" },
    { name: "HEAD", method: "HEAD", path: "/h" },
    { name: "DELETE", method: "DELETE", path: "/d" },
    { name: "PUT", method: "PUT", path: "/d", body: "x".repeat(3000) },
    { name: "OPTIONS", method: "OPTIONS", path: "/d" },
    ...["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"].map((method) => ({
      name: `${method} without a body`,
      method,
      path: "/empty",
    })),
    { name: "PATCH", method: "PATCH", path: "/d", body: "{}" },
    withHeaders("repeated", ["x-a", "1"], ["x-a", "2"], ["X-A", "3"]),
    withHeaders("cookies", ["Cookie", "a=1; b=2"]),
    withHeaders("hop", ["Keep-Alive", "timeout=5"], ["Proxy-Connection", "close"], ["TE", "gzip"]),
    withHeaders("statuses", ["x-answer-status", "503"], ["x-answer-header", "x-up=1"]),
    withHeaders("not modified", ["x-answer-status", "304"]),
    withHeaders("no content", ["x-answer-status", "204"]),
    withHeaders("set-cookie", ["x-answer-header", "set-cookie=a=1"], ["x-answer-header", "set-cookie=b=2"]),
  ]),
  group(
    "normalize",
    { normalize_path: true },
    [
      "/a/b/../c",
      "/a/./b",
      "/a/..",
      "/../../a",
      "/a/b/..",
      "/a//b",
      "/%41b",
      "/%7Eu",
      "/a%2Fb",
      "/a\\b",
      "/a/b/.?q=../x",
    ].map(get),
  ),
  group("merge", { merge_slashes: true }, ["/a//b///c", "//a", "/a?b=//c", "/a/../b"].map(get)),
  group("normalize-merge", { normalize_path: true, merge_slashes: true }, ["/a//b/../c", "/a/..//b"].map(get)),
  group("escaped-keep", { path_with_escaped_slashes_action: "KEEP_UNCHANGED", normalize_path: true }, escaped),
  group("escaped-reject", { path_with_escaped_slashes_action: "REJECT_REQUEST", normalize_path: true }, escaped),
  group(
    "escaped-redirect",
    { path_with_escaped_slashes_action: "UNESCAPE_AND_REDIRECT", normalize_path: true },
    escaped,
  ),
  group("escaped-forward", { path_with_escaped_slashes_action: "UNESCAPE_AND_FORWARD", normalize_path: true }, escaped),
  forwardedFor("xff-off", {}),
  forwardedFor("xff-on", { use_remote_address: true }),
  forwardedFor("xff-hops", { use_remote_address: true, xff_num_trusted_hops: 1 }),
  forwardedFor("xff-skip", { use_remote_address: true, skip_xff_append: true }),
  group("via", { via: "wherry" }, [
    withHeaders("none"),
    withHeaders("some", ["Via", "1.1 other"], ["x-answer-header", "via=1.1 origin"]),
  ]),
  group("strip-any", { strip_any_host_port: true }, [
    { name: "port", path: "/", host: "example.org:8080" },
    { name: "no port", path: "/" },
    { name: "ipv6", path: "/", host: "[::1]:80" },
  ]),
  group("strip-dot", { strip_trailing_host_dot: true }, [
    { name: "dot", path: "/", host: "example.org." },
    { name: "dot and port", path: "/", host: "example.org.:80" },
    { name: "none", path: "/" },
  ]),
  group("underscores-drop", { common_http_protocol_options: { headers_with_underscores_action: "DROP_HEADER" } }, [
    withHeaders("dropped", ["x_a", "1"], ["x-b", "2"]),
  ]),
  group("underscores-reject", { common_http_protocol_options: { headers_with_underscores_action: "REJECT_REQUEST" } }, [
    withHeaders("rejected", ["x_a", "1"]),
    withHeaders("accepted", ["x-a", "1"]),
  ]),
  group("scheme", { scheme_header_transformation: { scheme_to_overwrite: "https" } }, [withHeaders("plain")], {
    routes: [toA],
  }),
  group("header-mutation", {}, [withHeaders("both", ["x-gone", "1"], ["x-a", "1"], ["x-answer-header", "x-up=1"])], {
    filters: [
      {
        name: "mutation",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
          mutations: {
            request_mutations: [
              { remove: "x-gone" },
              { append: { header: { key: "x-a", value: "two" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" } },
              { append: { header: { key: "x-path", value: "%REQ(:PATH)%" } } },
            ],
            response_mutations: [
              { append: { header: { key: "x-code", value: "%RESPONSE_CODE%" } } },
              { remove: "x-up" },
            ],
          },
        },
      },
    ],
  }),
  group(
    "health-check",
    {},
    [
      { name: "check", path: "/healthz" },
      { name: "other", path: "/other" },
    ],
    {
      filters: [
        {
          name: "health",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
            pass_through_mode: false,
            headers: [{ name: ":path", string_match: { exact: "/healthz" } }],
          },
        },
      ],
    },
  ),
  group("upgrades-named", { upgrade_configs: [{ upgrade_type: "websocket", enabled: false }] }, [
    {
      name: "refused",
      path: "/",
      headers: [
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
      ],
    },
  ]),
  group("upgrades-unnamed", {}, [
    {
      name: "refused",
      path: "/",
      headers: [
        ["Upgrade", "websocket"],
        ["Connection", "Upgrade"],
      ],
    },
  ]),
  {
    name: "switched",
    filters: [
      adding("on", "x-on"),
      { ...adding("off", "x-off"), disabled: true },
      { ...adding("off-too", "x-off-too"), disabled: true },
    ],
    routes: [
      {
        match: { prefix: "/less" },
        route: { cluster: "a" },
        typed_per_filter_config: { on: { ...filterConfig, disabled: true } },
      },
      {
        match: { prefix: "/more" },
        route: { cluster: "a" },
        typed_per_filter_config: { off: { ...filterConfig, config: {} } },
      },
      { match: { prefix: "/" }, route: { cluster: "a" } },
    ],
    requests: ["/", "/less", "/more"].map((path) => ({ name: path, path })),
  },
];
