/** What is changed on the way: paths, hosts and headers. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const to = (name: string, action: Fields, more: Fields = {}): Fields => ({
  name,
  match: { prefix: `/${name}` },
  route: { cluster: "a", ...action },
  ...more,
});

const get = (path: string, headers: CaseRequest["headers"] = []): CaseRequest => ({ name: path, path, headers });

const rewrites: CaseGroup = {
  name: "rewrites",
  routes: [
    to("prefix", { prefix_rewrite: "/new" }),
    to("top", { prefix_rewrite: "/" }),
    to("regex", { regex_rewrite: { pattern: { regex: "/regex/([a-z]+)/([0-9]+)" }, substitution: "/\\2/\\1" } }),
    to("all", { regex_rewrite: { pattern: { regex: "a" }, substitution: "b" } }),
    to("literal", { host_rewrite_literal: "Inner.Example" }),
    to("header", { host_rewrite_header: "x-host" }),
    to("hostregex", { host_rewrite_path_regex: { pattern: { regex: "^/hostregex/(.+)$" }, substitution: "\\1" } }),
    to("auto", { auto_host_rewrite: true }),
    to("forwarded", { host_rewrite_literal: "inner", append_x_forwarded_host: true }),
    {
      name: "template",
      match: {
        path_match_policy: {
          name: "t",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            path_template: "/template/{country}/{id=*}",
          },
        },
      },
      route: {
        cluster: "a",
        path_rewrite_policy: {
          name: "r",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
            path_template_rewrite: "/{id}/in/{country}",
          },
        },
      },
    },
    { name: "exact", match: { path: "/exact" }, route: { cluster: "a", prefix_rewrite: "/replaced" } },
    {
      name: "any-case",
      match: { prefix: "/ANY", case_sensitive: false },
      route: { cluster: "a", prefix_rewrite: "/some" },
    },
    { name: "re", match: { safe_regex: { regex: "/re/.*" } }, route: { cluster: "a", prefix_rewrite: "/x" } },
  ],
  requests: [
    ...[
      "/prefix/a?b=c",
      "/prefix",
      "/prefixed",
      "/top/a",
      "/top",
      "/regex/abc/12?x",
      "/regex/nothing",
      "/all/aaa?a",
    ].map((path) => get(path)),
    ...[
      "/literal",
      "/hostregex/other.org",
      "/forwarded",
      "/template/de/42?q",
      "/exact?q=1",
      "/any/thing",
      "/re/thing",
    ].map((path) => get(path)),
    get("/header", [["x-host", "from.header"]]),
    { name: "header without", path: "/header" },
    { name: "forwarded twice", path: "/forwarded", headers: [["x-forwarded-host", "first.org"]] },
    { name: "forwarded same", path: "/forwarded", host: "inner" },
  ],
};

const add = (key: string, value: string, more: Fields = {}): Fields => ({ header: { key, value }, ...more });

const requestHeaders: CaseGroup = {
  name: "request-headers",
  table: {
    request_headers_to_add: [add("x-level", "table"), add("x-table", "%PROTOCOL%")],
    request_headers_to_remove: ["x-gone-table"],
  },
  host: {
    request_headers_to_add: [add("x-level", "host")],
    request_headers_to_remove: ["x-gone-host"],
  },
  routes: [
    to("append", {}, { request_headers_to_add: [add("x-level", "route"), add("x-a", "added")] }),
    to(
      "overwrite",
      {},
      { request_headers_to_add: [add("x-a", "over", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })] },
    ),
    to("absent", {}, { request_headers_to_add: [add("x-a", "if", { append_action: "ADD_IF_ABSENT" })] }),
    to("exists", {}, { request_headers_to_add: [add("x-a", "if", { append_action: "OVERWRITE_IF_EXISTS" })] }),
    to("old", {}, { request_headers_to_add: [add("x-a", "old", { append: false })] }),
    to("remove", {}, { request_headers_to_remove: ["x-a", "X-B"] }),
    to("both", {}, { request_headers_to_remove: ["x-a"], request_headers_to_add: [add("x-a", "after")] }),
    to(
      "operators",
      { prefix_rewrite: "/rewritten" },
      {
        request_headers_to_add: [
          add("x-method", "%REQ(:METHOD)%"),
          add("x-path", "%REQ(:PATH)%"),
          add("x-authority", "<%REQ(:AUTHORITY)%>"),
          add("x-copy", "%REQ(x-a)%"),
          add("x-other", "%REQ(x-none?x-a)%"),
          add("x-cut", "%REQ(x-a):2%"),
          add("x-none", "%REQ(x-none)%"),
          add("x-mixed", "a-%REQ(x-none)%-b"),
          add("x-percent", "100%%"),
          add("x-remote", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
          add("x-local", "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"),
          add("x-route", "%ROUTE_NAME%"),
        ],
      },
    ),
    to("empty", {}, { request_headers_to_add: [add("x-e", ""), add("x-f", "", { keep_empty_value: true })] }),
  ],
  requests: [
    ...["/append", "/overwrite", "/absent", "/exists", "/old", "/both", "/operators"].flatMap((path) => [
      get(path, [["X-A", "received"]]),
      { name: `${path} without`, path },
    ]),
    get("/remove", [
      ["x-a", "1"],
      ["x-b", "2"],
      ["x-c", "3"],
    ]),
    {
      name: "two values",
      path: "/overwrite",
      headers: [
        ["x-a", "1"],
        ["x-a", "2"],
      ],
    },
    {
      name: "of other levels",
      path: "/append",
      headers: [
        ["x-gone-table", "1"],
        ["x-gone-host", "2"],
      ],
    },
    get("/empty"),
  ],
};

const specificWins: CaseGroup = {
  name: "most-specific-wins",
  table: {
    most_specific_header_mutations_wins: true,
    request_headers_to_add: [add("x-level", "table", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })],
    response_headers_to_add: [add("x-level", "table", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })],
  },
  host: { request_headers_to_add: [add("x-level", "host", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })] },
  routes: [
    to(
      "route",
      {},
      {
        request_headers_to_add: [add("x-level", "route", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })],
        response_headers_to_add: [add("x-level", "route", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })],
      },
    ),
    to("plain", {}),
  ],
  requests: [get("/route"), get("/plain")],
};

const responseHeaders: CaseGroup = {
  name: "response-headers",
  table: { response_headers_to_add: [add("x-level", "table")], response_headers_to_remove: ["x-gone"] },
  host: { response_headers_to_add: [add("x-level", "host")] },
  routes: [
    to("append", {}, { response_headers_to_add: [add("x-level", "route"), add("x-u", "added")] }),
    to("remove", {}, { response_headers_to_remove: ["x-u"] }),
    to(
      "operators",
      {},
      {
        response_headers_to_add: [
          add("x-code", "%RESPONSE_CODE%"),
          add("x-copy", "%RESP(x-u)%"),
          add("x-path", "%REQ(:PATH)%"),
          add("x-flags", "%RESPONSE_FLAGS%"),
          add("x-cluster", "%UPSTREAM_CLUSTER%"),
          add("x-none", "%RESP(x-none)%"),
          add("x-details", "%RESPONSE_CODE_DETAILS%"),
        ],
      },
    ),
    to(
      "overwrite",
      {},
      { response_headers_to_add: [add("x-u", "o", { append_action: "OVERWRITE_IF_EXISTS_OR_ADD" })] },
    ),
    { name: "direct", match: { path: "/direct" }, direct_response: { status: 200, body: { inline_string: "d" } } },
    { name: "redirect", match: { path: "/redirect" }, redirect: { path_redirect: "/x" } },
  ],
  requests: [
    ...["/append", "/remove", "/operators", "/overwrite", "/direct", "/redirect"].map((path) =>
      get(path, [
        ["x-answer-header", "x-u=one"],
        ["x-answer-header", "x-gone=1"],
      ]),
    ),
    { name: "status", path: "/operators", headers: [["x-answer-status", "404"]] },
    {
      name: "two values",
      path: "/overwrite",
      headers: [
        ["x-answer-header", "x-u=1"],
        ["x-answer-header", "x-u=2"],
      ],
    },
    { name: "no route", path: "/none" },
  ],
};

const attempts: CaseGroup = {
  name: "attempts",
  host: { include_request_attempt_count: true, include_attempt_count_in_response: true },
  routes: [
    to("a", {}),
    { name: "d", match: { path: "/d" }, direct_response: { status: 200, body: { inline_string: "d" } } },
  ],
  requests: [get("/a"), get("/a/forged", [["x-envoy-attempt-count", "9"]]), get("/d")],
};

const weighted: CaseGroup = {
  name: "weighted",
  routes: [
    to("all-b", {
      cluster: undefined,
      weighted_clusters: {
        clusters: [
          { name: "a", weight: 0 },
          {
            name: "b",
            weight: 100,
            host_rewrite_literal: "b.inner",
            request_headers_to_add: [add("x-entry", "b")],
            request_headers_to_remove: ["x-a"],
            response_headers_to_add: [add("x-entry", "b")],
          },
        ],
      },
    }),
    to("by-header", {
      cluster: undefined,
      weighted_clusters: {
        header_name: "x-random",
        clusters: [
          { name: "a", weight: 30 },
          { name: "b", weight: 70 },
        ],
      },
    }),
    to("entry-header", {
      cluster: undefined,
      weighted_clusters: { clusters: [{ cluster_header: "x-cluster", weight: 1 }] },
    }),
  ],
  requests: [
    get("/all-b", [["x-a", "1"]]),
    ...["0", "29", "30", "99", "100", "130"].map((value) => ({
      name: `random ${value}`,
      path: "/by-header",
      headers: [["x-random", value]] as const,
    })),
    get("/entry-header", [["x-cluster", "b"]]),
  ],
};

export const changingCases: readonly CaseGroup[] = [
  rewrites,
  requestHeaders,
  specificWins,
  responseHeaders,
  attempts,
  weighted,
];
