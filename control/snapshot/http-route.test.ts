/** HTTPRoute rules as Envoy routes: matches, precedence, weights, timeouts, refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { HTTPRoute, HTTPRouteMatch } from "#api/gateway/httproute.ts";
import { translateDuration } from "./duration.ts";
import { backend, httpRoute, service, slice } from "./fixture.ts";
import { mustWait, problemOf, translateRoutes } from "./http-route.ts";

const services = new Map(
  ["a", "b"].map((name) => [`default/${name}`, service(name, "10.96.0.1", [{ port: 9080 }])[1]]),
);

/** Every Service has a slice, but for those of `pending`. */
const pending = new Set<string>();
const objects = {
  services,
  slicesOf: (key: string) => (pending.has(key) ? [] : [slice(key.slice("default/".length), 9080, [])[1]]),
};

function route(name: string, matches: readonly HTTPRouteMatch[], createdAt?: string): HTTPRoute {
  const more = createdAt === undefined ? {} : { createdAt };
  return httpRoute(name, { service: "a" }, [{ matches, backendRefs: [backend("a")] }], more)[1];
}

function translate(...routes: readonly HTTPRoute[]): ReturnType<typeof translateRoutes> {
  return translateRoutes(
    routes.map((one) => ({ route: one, hostRank: 0 })),
    "Service",
    objects,
  );
}

test("translateRoutes() translates each kind of match", () => {
  const forms: readonly [HTTPRouteMatch, object][] = [
    [{}, { prefix: "/" }],
    [{ path: { value: "/" } }, { prefix: "/" }],
    [{ path: { type: "PathPrefix", value: "/a/" } }, { path_separated_prefix: "/a" }],
    [{ path: { type: "Exact", value: "/a/" } }, { path: "/a/" }],
    [{ path: { type: "RegularExpression", value: "/a.*" } }, { safe_regex: { regex: "/a.*" } }],
    [{ method: "GET" }, { prefix: "/", headers: [{ name: ":method", string_match: { exact: "GET" } }] }],
    [
      {
        headers: [
          { name: "End-User", value: "jason" },
          { name: "end-user", value: "ignored" },
        ],
      },
      { prefix: "/", headers: [{ name: "End-User", string_match: { exact: "jason" } }] },
    ],
    [
      { queryParams: [{ type: "RegularExpression", name: "v", value: "2|3" }] },
      { prefix: "/", query_parameters: [{ name: "v", string_match: { safe_regex: { regex: "2|3" } } }] },
    ],
  ];
  for (const [match, wanted] of forms) assert.deepEqual(translate(route("r", [match]))[0]?.match, wanted);
});

test("translateRoutes() orders by precedence, whatever the order of the routes", () => {
  const old = "2025-01-01T00:00:00Z";
  const header = [{ name: "x", value: "1" }];
  const sorted: readonly HTTPRoute[] = [
    route("exact", [{ path: { type: "Exact", value: "/a" } }]),
    route("regex", [{ path: { type: "RegularExpression", value: "/.*" } }]),
    route("long", [{ path: { value: "/a/b" } }]),
    route("method", [{ path: { value: "/a" }, method: "GET" }]),
    route("two-headers", [{ path: { value: "/a" }, headers: [...header, { name: "y", value: "1" }] }]),
    route("one-header", [{ path: { value: "/a" }, headers: header }]),
    route("query", [{ path: { value: "/a" }, queryParams: header }]),
    route("z-oldest", [{ path: { value: "/a" } }], old),
    route("first-by-name", [{ path: { value: "/a" } }]),
    route("second-by-name", [{ path: { value: "/a" } }]),
    route("any", [{}]),
  ];
  const wanted = sorted.map(({ metadata }) => `default/${metadata.name}/0`);
  fc.assert(
    fc.property(fc.shuffledSubarray([...sorted], { minLength: sorted.length }), (shuffled) => {
      assert.deepEqual(
        translate(...shuffled).map(({ name }) => name),
        wanted,
      );
    }),
    { numRuns: 50 },
  );
});

test("translateRoutes() gives no traffic to weight 0, and 500 where there is no backend", () => {
  const action = (...refs: Parameters<typeof backend>[]): object | undefined => {
    const rule = { backendRefs: refs.map((ref) => backend(...ref)) };
    const [made] = translate(httpRoute("r", { service: "a" }, [rule])[1]);
    return made?.route ?? made?.direct_response;
  };
  const cluster = (name: string): string => `outbound|9080||${name}.default.svc.cluster.local`;
  const rest = { timeout: "0s", retry_policy: { retry_on: "connect-failure,reset", num_retries: 1 } };
  assert.deepEqual(action(["a", 0], ["b", 5]), { cluster: cluster("b"), ...rest });
  assert.deepEqual(action(["a"], ["gone", 3]), {
    weighted_clusters: {
      clusters: [
        { name: cluster("a"), weight: 1 },
        { name: "MissingBackend", weight: 3 },
      ],
    },
    cluster_not_found_response_code: "INTERNAL_SERVER_ERROR",
    ...rest,
  });
  for (const refs of [[], [["a", 0]], [["gone"]], [["a", 1, 1]]] as Parameters<typeof backend>[][])
    assert.ok("status" in (action(...refs) ?? {}), JSON.stringify(refs));
});

test("translateRoutes() leaves out a backend whose endpoints nobody knows yet; a route of nothing else waits", (t) => {
  t.after(() => pending.clear());
  pending.add("default/b");
  const made = (...refs: Parameters<typeof backend>[]): HTTPRoute =>
    httpRoute("r", { service: "a" }, [{ backendRefs: refs.map((ref) => backend(...ref)) }])[1];
  const canary = made(["a", 9], ["b", 1]);
  assert.equal(translate(canary)[0]?.route?.cluster, "outbound|9080||a.default.svc.cluster.local");
  assert.equal(mustWait(canary, objects), false);
  assert.equal(mustWait(made(["b"]), objects), true);
  pending.clear();
  assert.equal(translate(canary)[0]?.route?.weighted_clusters?.clusters.length, 2);
  assert.equal(mustWait(made(["b"]), objects), false);
});

test("problemOf() refuses what is not supported with a sentence", () => {
  const problem = (rule: object): string | undefined => problemOf(httpRoute("r", { service: "a" }, [rule])[1]);
  assert.equal(problem({ timeouts: { request: "500ms" } }), undefined);
  assert.equal(
    problem({ filters: [{ type: "URLRewrite" }] }),
    "Cannot program rules[0].filters: observed URLRewrite, wanted none (filters are not supported)",
  );
  assert.match(problem({ backendRefs: [{ name: "a", port: 1, filters: [{ type: "X" }] }] }) ?? "", /observed X/);
  assert.match(problem({ timeouts: { request: "5 s" } }) ?? "", /observed 5 s, wanted a duration as 500ms/);
  assert.match(problem({ timeouts: { backendRequest: "5s" } }) ?? "", /only timeouts\.request/);
  assert.match(
    problem({ matches: [{ path: { type: "RegularExpression", value: "(" } }] }) ?? "",
    /observed \(, wanted a regular expression/,
  );
});

test("translateDuration() follows GEP-2257", () => {
  const forms: readonly [string, string | undefined][] = [
    ["0s", "0s"],
    ["250ms", "0.25s"],
    ["1h30m", "5400s"],
    ["1s500ms", "1.5s"],
    ["1.5s", undefined],
    ["-1s", undefined],
    ["", undefined],
    ["100000s", undefined],
  ];
  for (const [text, wanted] of forms) assert.equal(translateDuration(text), wanted, text);
});
