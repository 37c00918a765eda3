/** Routes as Envoy configuration → the route of a request. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Route, RouteMatch } from "#api/xds/envoy.ts";
import { compileRoutes } from "../config/route.ts";
import { parseRequestHead } from "../http1/request.ts";
import { SmoothWeighted } from "./weight.ts";

const toCluster = (name: string, match: RouteMatch = { prefix: "/" }): Route => ({
  name,
  match,
  route: { cluster: name },
});

function routeOf(routes: readonly Route[], head: string): string | undefined {
  const table = compileRoutes({ name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes }] });
  return table.find(parseRequestHead(`${head}\r\n\r\n`))?.name;
}

test("RouteTable finds virtual hosts in Envoy's order: exact, longest suffix, longest prefix, any", () => {
  const host = (domain: string): object => ({ name: domain, domains: [domain], routes: [toCluster("c")] });
  const domains = ["*", "a.example.org", "*.example.org", "*-x.example.org", "a.*", "a.exam*", "a.example.org:8080"];
  const table = compileRoutes({ name: "r", virtual_hosts: domains.map(host) });
  for (const [authority, wanted] of [
    ["a.example.org", "a.example.org"],
    ["a.example.org:8080", "a.example.org:8080"],
    ["b.example.org", "*.example.org"],
    ["b-x.example.org", "*-x.example.org"],
    [".example.org", "*"],
    ["a.com", "a.*"],
    ["a.exam.com", "a.exam*"],
    ["b.com", "*"],
  ] as const)
    assert.equal(table.hostFor(authority)?.name, wanted, authority);
});

test("RouteTable matches paths, headers and queries, first match first", () => {
  const get = (target: string, headers = ""): string => `GET ${target} HTTP/1.1\r\nHost: a${headers}`;
  const rows: readonly (readonly [RouteMatch, string, boolean])[] = [
    [{ prefix: "/a" }, get("/ab"), true],
    [{ path: "/a" }, get("/a?b"), true],
    [{ path: "/a" }, get("/a/"), false],
    [{ path_separated_prefix: "/a" }, get("/a/b"), true],
    [{ path_separated_prefix: "/a" }, get("/ab"), false],
    [{ safe_regex: { regex: "/[a-z]+" } }, get("/abc"), true],
    [{ safe_regex: { regex: "/[a-z]" } }, get("/abc"), false],
    [{ prefix: "/", headers: [{ name: "X", string_match: { exact: "y" } }] }, get("/", "\r\nx: y"), true],
    [{ prefix: "/", headers: [{ name: "x", string_match: { exact: "z" } }] }, get("/", "\r\nx: y\r\nX: z"), true],
    [{ prefix: "/", headers: [{ name: "x", string_match: { exact: "y" } }] }, get("/"), false],
    [{ prefix: "/", headers: [{ name: "x", string_match: { exact: "y" }, invert_match: true }] }, get("/"), false],
    [{ prefix: "/", headers: [{ name: "x", present_match: true }] }, get("/", "\r\nx:"), true],
    [{ prefix: "/", headers: [{ name: "x", present_match: false }] }, get("/", "\r\nx:"), false],
    [
      { prefix: "/", headers: [{ name: "cookie", string_match: { safe_regex: { regex: ".*user=jason.*" } } }] },
      get("/", "\r\ncookie: a; user=jason"),
      true,
    ],
    [{ prefix: "/", headers: [{ name: ":method", string_match: { exact: "GET" } }] }, get("/"), true],
    [{ prefix: "/", query_parameters: [{ name: "q", string_match: { prefix: "a" } }] }, get("/?p=1&q=ab"), true],
    [{ prefix: "/", query_parameters: [{ name: "q", present_match: true }] }, get("/?q"), true],
    [{ prefix: "/", query_parameters: [{ name: "q", string_match: { exact: "" } }] }, get("/?r=1"), false],
  ];
  for (const [match, head, wanted] of rows)
    assert.equal(routeOf([toCluster("yes", match)], head) === "yes", wanted, `${JSON.stringify(match)} ${head}`);
  assert.equal(routeOf([toCluster("one", { prefix: "/a" }), toCluster("two")], get("/a")), "one");
});

test("RouteTable does not hang on a regular expression that runs away", () => {
  assert.equal(
    routeOf([toCluster("no", { safe_regex: { regex: "/(a+)+b" } })], `GET /${"a".repeat(5000)} HTTP/1.1\r\nHost: a`),
    undefined,
  );
});

test("compileRoutes() names the field that it refuses", () => {
  const config = (route: object): object => ({ virtual_hosts: [{ name: "v", domains: ["*"], routes: [route] }] });
  const rows: readonly (readonly [object, RegExp])[] = [
    [config({ match: { prefix: "/" }, route: { cluster: "c", hash_policy: [{}] } }), /routes\[0\]\.route\.hash_policy/],
    [config({ match: {}, route: { cluster: "c" } }), /routes\[0\]\.match.*no path matcher/],
    [config({ match: { prefix: "/" } }), /exactly one of route, redirect and direct_response/],
    [
      config({ match: { prefix: "/" }, non_forwarding_action: {} }),
      /routes\[0\]\.non_forwarding_action: wanted route, redirect/,
    ],
    [config({ match: { safe_regex: { regex: "(?=a)" } }, route: { cluster: "c" } }), /safe_regex.*RE2/],
    [
      config({ match: { prefix: "/" }, route: { cluster: "c", retry_policy: { retry_on: "sometimes" } } }),
      /retry_on: "sometimes"/,
    ],
    [config({ match: { prefix: "/" }, route: { weighted_clusters: { clusters: [{ name: "a" }] } } }), /sum of weights/],
    [{ virtual_hosts: [{ name: "v", domains: ["a", "A"] }] }, /"a" is there twice/],
    [{ virtual_hosts: [{ name: "v", domains: ["a*b"] }] }, /a \* that is not alone/],
    [{ virtual_hosts: "x" }, /virtual_hosts: it is not a list/],
  ];
  for (const [resource, message] of rows) assert.throws(() => compileRoutes(resource), message);
});

test("SmoothWeighted gives exact shares over each turn, whatever the weights", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      fc.pre(total > 0);
      const picker = new SmoothWeighted(weights);
      for (let turn = 0; turn < 3; turn++) {
        const counts = weights.map(() => 0);
        for (let step = 0; step < total; step++) counts[picker.pick()]!++;
        assert.deepEqual(counts, weights);
      }
    }),
    { seed: 5 },
  );
});
