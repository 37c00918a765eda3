/** What a route answers itself: redirects, direct responses, CORS. And what the proxy answers when something fails. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const redirect = (name: string, action: Fields, match: Fields = { prefix: `/${name}` }): Fields => ({
  name,
  match,
  redirect: action,
});

const get = (path: string, host = "example.org"): CaseRequest => ({ name: `${path} ${host}`, path, host });

const redirects: CaseGroup = {
  name: "redirects",
  routes: [
    redirect("host", { host_redirect: "new.org" }),
    redirect("https", { https_redirect: true }),
    redirect("scheme", { scheme_redirect: "ftp" }),
    redirect("port", { port_redirect: 8443 }),
    redirect("hostport", { host_redirect: "new.org", port_redirect: 81 }),
    redirect("path", { path_redirect: "/elsewhere" }),
    redirect("pquery", { path_redirect: "/elsewhere?a=b" }),
    redirect("prefix", { prefix_rewrite: "/new" }),
    redirect("regex", { regex_rewrite: { pattern: { regex: "^/regex/([a-z]+)" }, substitution: "/r-\\1" } }),
    redirect("strip", { strip_query: true, host_redirect: "new.org" }),
    redirect("found", { response_code: "FOUND", path_redirect: "/f" }),
    redirect("other", { response_code: "SEE_OTHER", path_redirect: "/f" }),
    redirect("temporary", { response_code: "TEMPORARY_REDIRECT", path_redirect: "/f" }),
    redirect("permanent", { response_code: "PERMANENT_REDIRECT", path_redirect: "/f" }),
  ],
  requests: [
    ...[
      "/host/a?b=c",
      "/https/a",
      "/scheme/a",
      "/port/a",
      "/hostport/a",
      "/path/a?x=y",
      "/path/a",
      "/pquery/a?x=y",
    ].map((path) => get(path)),
    ...[
      "/prefix/a?b",
      "/prefixa",
      "/regex/abc/d?e",
      "/strip/a?b=c",
      "/found",
      "/other",
      "/temporary",
      "/permanent",
    ].map((path) => get(path)),
    get("/https/a", "example.org:80"),
    get("/https/a", "example.org:8080"),
    get("/host/a", "Example.org:8080"),
    get("/port/a", "example.org:80"),
    { name: "POST", method: "POST", path: "/host", body: "x" },
    { name: "HEAD", method: "HEAD", path: "/host" },
  ],
};

const direct: CaseGroup = {
  name: "direct",
  routes: [
    { name: "plain", match: { path: "/plain" }, direct_response: { status: 200, body: { inline_string: "hello\n" } } },
    { name: "empty", match: { path: "/empty" }, direct_response: { status: 204 } },
    { name: "teapot", match: { path: "/teapot" }, direct_response: { status: 418, body: { inline_string: "short" } } },
    { name: "error", match: { path: "/error" }, direct_response: { status: 503, body: { inline_string: "down" } } },
    { name: "bytes", match: { path: "/bytes" }, direct_response: { status: 200, body: { inline_bytes: "aGk=" } } },
    {
      name: "typed",
      match: { path: "/typed" },
      direct_response: { status: 200, body: { inline_string: "{}" } },
      response_headers_to_add: [
        { header: { key: "content-type", value: "application/json" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" },
      ],
    },
  ],
  requests: [
    ...["/plain", "/empty", "/teapot", "/error", "/bytes", "/typed", "/none"].map((path) => get(path)),
    { name: "HEAD", method: "HEAD", path: "/plain" },
    { name: "POST", method: "POST", path: "/plain", body: "abc" },
  ],
};

const corsFilter: Fields = {
  name: "envoy.filters.http.cors",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors" },
};

const corsPolicy = (fields: Fields): Fields => ({
  "envoy.filters.http.cors": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
    ...fields,
  },
});

const preflight = (name: string, path: string, origin: string): CaseRequest => ({
  name,
  method: "OPTIONS",
  path,
  headers: [
    ["Origin", origin],
    ["Access-Control-Request-Method", "PUT"],
  ],
});

const cors: CaseGroup = {
  name: "cors",
  filters: [corsFilter],
  host: {
    typed_per_filter_config: corsPolicy({
      allow_origin_string_match: [{ exact: "https://a.org" }, { suffix: ".b.org" }],
      allow_methods: "GET, PUT",
      allow_headers: "x-c",
      expose_headers: "x-d",
      max_age: "600",
      allow_credentials: true,
    }),
  },
  routes: [
    {
      name: "strict",
      match: { prefix: "/strict" },
      route: { cluster: "a" },
      typed_per_filter_config: corsPolicy({
        allow_origin_string_match: [{ exact: "https://s.org" }],
        forward_not_matching_preflights: false,
      }),
    },
    { name: "host", match: { prefix: "/" }, route: { cluster: "a" } },
  ],
  requests: [
    preflight("preflight", "/", "https://a.org"),
    preflight("preflight by suffix", "/", "https://x.b.org"),
    preflight("preflight of another", "/", "https://c.org"),
    preflight("preflight of the route", "/strict", "https://s.org"),
    preflight("preflight that the route refuses", "/strict", "https://a.org"),
    { name: "options without method", method: "OPTIONS", path: "/", headers: [["Origin", "https://a.org"]] },
    { name: "actual", path: "/", headers: [["Origin", "https://a.org"]] },
    { name: "actual of another", path: "/", headers: [["Origin", "https://c.org"]] },
    { name: "actual of the route", path: "/strict", headers: [["Origin", "https://s.org"]] },
    { name: "no origin", path: "/" },
    {
      name: "upstream has its own",
      path: "/",
      headers: [
        ["Origin", "https://a.org"],
        ["x-answer-header", "access-control-allow-origin=*"],
      ],
    },
  ],
};

const failures: CaseGroup = {
  name: "failures",
  routes: [
    { name: "refused", match: { prefix: "/refused" }, route: { cluster: "refused" } },
    { name: "empty", match: { prefix: "/empty" }, route: { cluster: "empty" } },
    {
      name: "named",
      match: { prefix: "/named" },
      route: { cluster_header: "x-cluster" },
      response_headers_to_add: [{ header: { key: "x-made", value: "%RESPONSE_CODE%" } }],
    },
    {
      name: "named-404",
      match: { prefix: "/not-found" },
      route: { cluster_header: "x-cluster", cluster_not_found_response_code: "NOT_FOUND" },
    },
    {
      name: "named-500",
      match: { prefix: "/internal" },
      route: { cluster_header: "x-cluster", cluster_not_found_response_code: "INTERNAL_SERVER_ERROR" },
    },
  ],
  requests: [
    get("/refused"),
    get("/empty"),
    { name: "named", path: "/named", headers: [["x-cluster", "b"]] },
    { name: "named unknown", path: "/named", headers: [["x-cluster", "zzz"]] },
    { name: "named not at all", path: "/named" },
    { name: "404", path: "/not-found", headers: [["x-cluster", "zzz"]] },
    { name: "500", path: "/internal", headers: [["x-cluster", "zzz"]] },
    get("/nothing"),
  ],
};

const requireTLS: CaseGroup = {
  name: "require-tls",
  hosts: [
    {
      name: "all",
      domains: ["all.org"],
      require_tls: "ALL",
      routes: [{ name: "r", match: { prefix: "/a" }, route: { cluster: "a" } }],
    },
    {
      name: "external",
      domains: ["external.org"],
      require_tls: "EXTERNAL_ONLY",
      routes: [{ name: "r", match: { prefix: "/a" }, route: { cluster: "a" } }],
    },
  ],
  requests: [
    get("/a?b", "all.org"),
    get("/none", "all.org"),
    { name: "said https", path: "/a", host: "all.org", headers: [["x-forwarded-proto", "https"]] },
    get("/a", "external.org"),
    { name: "said internal", path: "/a", host: "external.org", headers: [["x-envoy-internal", "true"]] },
  ],
};

const status = (op: string, default_value: number): Fields => ({
  status_code_filter: { comparison: { op, value: { default_value, runtime_key: "none" } } },
});
const directly = (path: string, code: number, text: string): Fields => ({
  name: path,
  match: { path },
  direct_response: { status: code, body: { inline_string: text } },
});
const localRoutes: readonly Fields[] = [
  directly("/gone", 404, "was here"),
  directly("/teapot", 418, "short"),
  directly("/json", 500, "why"),
  directly("/fine", 200, "fine"),
  { name: "moved", match: { path: "/moved" }, redirect: { path_redirect: "/new" } },
  { match: { path: "/refused" }, route: { cluster: "refused" } },
  { match: { path: "/up" }, route: { cluster: "a" } },
];
const localRequests: readonly CaseRequest[] = [
  ...["/gone", "/teapot", "/json", "/fine", "/moved", "/refused", "/nowhere", "/up"].map((path) => get(path)),
  { ...get("/teapot"), name: "by header", headers: [["x-case", "yes"]] },
  { ...get("/up"), name: "of the upstream", headers: [["x-answer-status", "404"]] },
];

const localReplies: readonly CaseGroup[] = [
  {
    name: "local-replies",
    manager: {
      local_reply_config: {
        mappers: [
          {
            filter: status("EQ", 404),
            status_code: 410,
            body: { inline_string: "gone for good" },
            headers_to_add: [{ header: { key: "x-mapped", value: "%RESPONSE_CODE%" }, append: false }],
          },
          {
            filter: status("GE", 500),
            body_format_override: { json_format: { status: "%RESPONSE_CODE%", text: "%REQ(:path)%" } },
          },
          {
            filter: { header_filter: { header: { name: "x-case", string_match: { exact: "yes" } } } },
            body_format_override: {
              text_format_source: { inline_string: "<b>%LOCAL_REPLY_BODY%</b>" },
              content_type: "text/html; charset=UTF-8",
            },
          },
        ],
        body_format: { text_format_source: { inline_string: "%LOCAL_REPLY_BODY% %RESPONSE_CODE%" } },
      },
    },
    routes: localRoutes,
    requests: localRequests,
  },
  {
    name: "local-replies-mapped",
    manager: {
      local_reply_config: {
        mappers: [
          { filter: { and_filter: { filters: [status("GE", 400), status("LE", 450)] } }, status_code: 200 },
          { filter: status("EQ", 500), headers_to_add: [{ header: { key: "content-type", value: "text/x" } }] },
        ],
      },
    },
    routes: localRoutes,
    requests: localRequests,
  },
];

export const answeringCases: readonly CaseGroup[] = [redirects, direct, cors, failures, requireTLS, ...localReplies];
