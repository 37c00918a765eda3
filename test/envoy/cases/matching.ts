/** Which route a request takes: hosts, paths, headers, query parameters. */
import type { CaseGroup, CaseRequest, Fields } from "../types.ts";

const say = (name: string, match: Fields): Fields => ({
  name,
  match,
  direct_response: { status: 200, body: { inline_string: name } },
});

const get = (path: string): CaseRequest => ({ name: path, path });

const paths: CaseGroup = {
  name: "paths",
  routes: [
    say("exact", { path: "/exact" }),
    say("separated", { path_separated_prefix: "/sep" }),
    say("regex", { safe_regex: { regex: "/re/[0-9]+" } }),
    say("inline-flag", { safe_regex: { regex: "(?i)/flag/[a-z]+" } }),
    say("case", { prefix: "/Case/", case_sensitive: false }),
    say("case-exact", { path: "/Whole", case_sensitive: false }),
    say("template", {
      path_match_policy: {
        name: "t",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
          path_template: "/t/{id}/x/*/**",
        },
      },
    }),
    say("long", { prefix: "/prefix/long" }),
    say("prefix", { prefix: "/prefix" }),
    say("post", { prefix: "/", headers: [{ name: ":method", string_match: { exact: "POST" } }] }),
    say("empty", { prefix: "/none-of-these" }),
  ],
  requests: [
    ...["/exact", "/exact/", "/exact?a=b", "/exactly", "/sep", "/sep/", "/sep/a", "/sepa", "/sep?x", "/re/12"].map(get),
    ...["/re/", "/re/12a", "/re/1?2", "/flag/ABC", "/FLAG/abc", "/case/a", "/CASE/a", "/Case", "/whole", "/WHOLE"].map(
      get,
    ),
    ...[
      "/t/1/x/2/3",
      "/t/1/x/2/3/4",
      "/t/1/x/2/",
      "/t/1/y/2/3",
      "/t//x/2/3",
      "/prefix",
      "/prefixed",
      "/prefix/longer",
    ].map(get),
    { name: "POST /any", method: "POST", path: "/any" },
    get("/any"),
    get("/Exact"),
    get("/%65xact"),
  ],
};

const headerMatch = (name: string, matcher: Fields): Fields =>
  say(name, { path: `/${name}`, headers: [{ name: "x-a", ...matcher }] });

const headerMatchers: Readonly<Record<string, Fields>> = {
  exact: { string_match: { exact: "One" } },
  "exact-nocase": { string_match: { exact: "One", ignore_case: true } },
  prefix: { string_match: { prefix: "on" } },
  "prefix-nocase": { string_match: { prefix: "ON", ignore_case: true } },
  suffix: { string_match: { suffix: "ne" } },
  contains: { string_match: { contains: "n" } },
  regex: { string_match: { safe_regex: { regex: "o.e" } } },
  "old-exact": { exact_match: "one" },
  "old-prefix": { prefix_match: "on" },
  "old-suffix": { suffix_match: "ne" },
  "old-contains": { contains_match: "n" },
  "old-regex": { safe_regex_match: { regex: "[a-z]+" } },
  range: { range_match: { start: 5, end: 10 } },
  present: { present_match: true },
  absent: { present_match: false },
  bare: {},
  "not-exact": { string_match: { exact: "one" }, invert_match: true },
  "not-present": { present_match: true, invert_match: true },
  "not-absent": { present_match: false, invert_match: true },
  "not-range": { range_match: { start: 5, end: 10 }, invert_match: true },
  "empty-exact": { string_match: { exact: "" }, treat_missing_header_as_empty: true },
  "empty-not": { string_match: { exact: "one" }, invert_match: true, treat_missing_header_as_empty: true },
};

const headerValues: readonly (readonly [string, readonly (string | undefined)[]])[] = [
  ["exact", ["One", "one", undefined]],
  ["exact-nocase", ["oNE", "two"]],
  ["prefix", ["one", "no"]],
  ["prefix-nocase", ["one", "no"]],
  ["suffix", ["one", "on"]],
  ["contains", ["one", "two"]],
  ["regex", ["one", "ones"]],
  ["old-exact", ["one", "two"]],
  ["old-prefix", ["one", "two"]],
  ["old-suffix", ["one", "two"]],
  ["old-contains", ["one", "two"]],
  ["old-regex", ["one", "1"]],
  ["range", ["5", "10", "9", "-1", "x", undefined]],
  ["present", ["", "x", undefined]],
  ["absent", ["x", undefined]],
  ["bare", ["x", undefined]],
  ["not-exact", ["one", "two", undefined]],
  ["not-present", ["x", undefined]],
  ["not-absent", ["x", undefined]],
  ["not-range", ["7", "70", "x", undefined]],
  ["empty-exact", ["x", undefined]],
  ["empty-not", ["one", "two", undefined]],
];

const headers: CaseGroup = {
  name: "headers",
  routes: [
    ...Object.entries(headerMatchers).map(([name, matcher]) => headerMatch(name, matcher)),
    say("authority", { path: "/authority", headers: [{ name: ":authority", string_match: { prefix: "exam" } }] }),
    say("path-header", { prefix: "/p", headers: [{ name: ":path", string_match: { contains: "?q" } }] }),
    say("two", {
      path: "/two",
      headers: [
        { name: "x-a", string_match: { exact: "1" } },
        { name: "x-b", string_match: { exact: "2" } },
      ],
    }),
    say("grpc", { path: "/grpc", grpc: {} }),
  ],
  requests: [
    ...headerValues.flatMap(([name, values]) =>
      values.map((value) => ({
        name: `${name} ${value ?? "(none)"}`,
        path: `/${name}`,
        headers: value === undefined ? [] : ([["x-a", value]] as const),
      })),
    ),
    {
      name: "two values",
      path: "/exact",
      headers: [
        ["x-a", "One"],
        ["X-A", "Two"],
      ],
    },
    { name: "authority", path: "/authority" },
    { name: "authority other", path: "/authority", host: "other.org" },
    { name: "path with query", path: "/p?q=1" },
    { name: "path without query", path: "/p" },
    {
      name: "both",
      path: "/two",
      headers: [
        ["x-a", "1"],
        ["x-b", "2"],
      ],
    },
    { name: "one of two", path: "/two", headers: [["x-a", "1"]] },
    { name: "not grpc", path: "/grpc", headers: [["content-type", "application/json"]] },
    { name: "not grpc either", path: "/grpc", headers: [["content-type", "application/grpcx"]] },
  ],
};

const query: CaseGroup = {
  name: "query",
  routes: [
    say("exact", { path: "/e", query_parameters: [{ name: "q", string_match: { exact: "1" } }] }),
    say("present", { path: "/p", query_parameters: [{ name: "q", present_match: true }] }),
    say("regex", { path: "/r", query_parameters: [{ name: "q", string_match: { safe_regex: { regex: "a+" } } }] }),
    say("nocase", { path: "/n", query_parameters: [{ name: "q", string_match: { exact: "AB", ignore_case: true } }] }),
  ],
  requests: [
    ...["/e?q=1", "/e?q=2", "/e?q=1&q=2", "/e?q=2&q=1", "/e?x=1", "/e", "/p?q", "/p?q=", "/p?qq=1", "/r?q=aaa"].map(
      get,
    ),
    ...["/r?q=aab", "/n?q=ab", "/e?a&q=1&b", "/e?Q=1", "/p?a=1;q=2"].map(get),
  ],
};

const hostFor = (name: string, domains: readonly string[]): Fields => ({
  name,
  domains,
  routes: [say(name, { prefix: "/" })],
});

const at = (host: string): CaseRequest => ({ name: host, path: "/", host });

const hosts: CaseGroup = {
  name: "hosts",
  hosts: [
    hostFor("exact", ["a.example.org", "b.example.org:8080"]),
    hostFor("suffix", ["*.example.org"]),
    hostFor("long-suffix", ["*.c.example.org", "*-x.example.org"]),
    hostFor("prefix", ["api.*"]),
    hostFor("long-prefix", ["api.eu.*"]),
  ],
  requests: [
    ...[
      "a.example.org",
      "A.EXAMPLE.ORG",
      "a.example.org:80",
      "b.example.org",
      "b.example.org:8080",
      "z.example.org",
    ].map(at),
    ...["example.org", "y.c.example.org", "q-x.example.org", "api.com", "api.eu.com", "api.example.org", "other"].map(
      at,
    ),
  ],
};

const portless: CaseGroup = {
  name: "hosts-without-port",
  table: { ignore_port_in_host_matching: true },
  hosts: [hostFor("exact", ["a.example.org"])],
  requests: [at("a.example.org"), at("a.example.org:8080"), at("b.example.org:80")],
};

export const matchingCases: readonly CaseGroup[] = [paths, headers, query, hosts, portless];
