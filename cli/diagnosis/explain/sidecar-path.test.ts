import assert from "node:assert/strict";
import { test } from "node:test";
import { typeUrls } from "#api/xds/envoy.ts";
import { type Explanation, formatExplanation } from "./explanation.ts";
import { parseRequest } from "./request.ts";
import { type ConfigDump, type DescribeEndpoint, type Followed, followSidecar } from "./sidecar-path.ts";

const address = (ip: string, port: number): object => ({ socket_address: { address: ip, port_value: port } });

function httpListener(name: string, ip: string, port: number): object {
  const manager = {
    "@type": typeUrls.httpConnectionManager,
    stat_prefix: "x",
    rds: { route_config_name: "reviews" },
    http_filters: [{ name: "router", typed_config: { "@type": typeUrls.router } }],
  };
  return {
    name,
    address: address(ip, port),
    traffic_direction: "OUTBOUND",
    filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
  };
}

function cluster(name: string): object {
  return { name, type: "EDS", eds_cluster_config: { eds_config: { ads: {} } } };
}

function endpoints(name: string, ...list: readonly (readonly [ip: string, health?: string])[]): object {
  const lb = list.map(([ip, health]) => ({
    endpoint: { address: address(ip, 9080) },
    ...(health === undefined ? {} : { health_status: health }),
  }));
  return { cluster_name: name, endpoints: [{ lb_endpoints: lb }] };
}

const weighted = {
  clusters: [
    { name: "v1", weight: 90 },
    { name: "v3", weight: 10 },
  ],
};
const routes = {
  name: "reviews",
  virtual_hosts: [
    {
      name: "all",
      domains: ["*"],
      routes: [
        { name: "gone", match: { prefix: "/gone" }, route: { cluster: "nowhere" } },
        { name: "teapot", match: { path: "/teapot" }, direct_response: { status: 418 } },
        {
          name: "jason",
          match: { prefix: "/reviews", headers: [{ name: "end-user", string_match: { exact: "jason" } }] },
          route: { cluster: "v2" },
        },
        { name: "split", match: { prefix: "/reviews" }, route: { weighted_clusters: weighted, timeout: "3s" } },
      ],
    },
  ],
};

const named = (resource: object): { name: string; resource: object } => {
  const { name, cluster_name: other } = resource as { name?: string; cluster_name?: string };
  return { name: name ?? other ?? "", resource };
};
const dump: ConfigDump = {
  configs: [
    { "@type": typeUrls.listener, resources: [httpListener("reviews", "10.96.0.5", 9080)].map(named) },
    { "@type": typeUrls.route, resources: [routes].map(named) },
    { "@type": typeUrls.cluster, resources: ["v1", "v2", "v3"].map((name) => named(cluster(name))) },
    {
      "@type": typeUrls.endpoint,
      resources: [
        endpoints("v1", ["10.244.1.1"], ["10.244.1.2", "DRAINING"]),
        endpoints("v2", ["10.244.1.3", "UNHEALTHY"]),
        endpoints("v3", ["10.244.1.4"]),
      ].map(named),
    },
  ],
};
const describe: DescribeEndpoint = ({ address: ip, port, isServing }) => ({
  address: ip,
  port,
  serving: isServing,
  pod: "",
  node: "",
  hasSidecar: false,
  refusedBy: "",
  isUnheard: false,
});
const follow = (path: string, ...headers: readonly string[]): Followed =>
  followSidecar(
    dump,
    parseRequest("GET", `http://reviews:9080${path}`, headers),
    { address: "10.96.0.5", port: 9080 },
    describe,
  );

test("followSidecar() shows the shares of a split with the state of each endpoint", () => {
  const { listener, route, shares, outcome } = follow("/reviews/1");
  assert.equal(listener, "reviews");
  assert.deepEqual(route, { name: "split", timeoutMs: 3000, retriesMax: 0 });
  assert.deepEqual(
    shares.map(({ cluster, share, endpoints = [] }) => [cluster, share, endpoints.map(({ serving }) => serving)]),
    [
      ["v1", 0.9, [true, false]],
      ["v3", 0.1, [true]],
    ],
  );
  assert.deepEqual(outcome, { kind: "forwarded" });
});

test("followSidecar() matches headers, and says that nobody is ready", () => {
  const { route, outcome } = follow("/reviews/1", "end-user: jason");
  assert.equal(route?.name, "jason");
  assert.deepEqual(outcome, { kind: "answered", status: 503, flag: "UH", why: "no endpoint is ready" });
});

test("followSidecar() knows what the mesh answers itself", () => {
  const ends = (path: string): unknown => {
    const { outcome } = follow(path);
    return outcome.kind === "answered" ? [outcome.status, outcome.flag] : outcome;
  };
  assert.deepEqual(ends("/nothing"), [404, "NR"]);
  assert.deepEqual(ends("/teapot"), [418, "-"]);
  assert.deepEqual(ends("/gone"), [503, "NC"]);
});

test("followSidecar() fails without a listener for the port", () => {
  const request = parseRequest("GET", "http://reviews:81/", []);
  const { outcome } = followSidecar(dump, request, { address: "10.96.0.5", port: 81 }, describe);
  assert.deepEqual(outcome, { kind: "fails", why: "no listener has port 81" });
});

test("formatExplanation() is one line a stage, the outcome last", () => {
  const explanation: Explanation = {
    request: "GET http://reviews:9080/reviews/1",
    from: "default/web",
    node: "node1",
    resolved: { name: "reviews.default.svc.cluster.local", addresses: ["10.96.0.5"] },
    service: "default/reviews:9080",
    by: "sidecar",
    ...follow("/reviews/1"),
  };
  assert.equal(
    formatExplanation(explanation),
    [
      "GET http://reviews:9080/reviews/1 from default/web on node1",
      "  dns       reviews.default.svc.cluster.local → 10.96.0.5",
      "  service   default/reviews:9080",
      "  decides   sidecar, listener reviews",
      "  route     split (timeout 3000 ms, no retry)",
      "  cluster   90 % v1, 2 endpoints",
      "              10.244.1.1:9080 ready  no pod",
      "              10.244.1.2:9080 NOT READY  no pod",
      "  cluster   10 % v3, 1 endpoint",
      "              10.244.1.4:9080 ready  no pod",
      "→ answered by one of 2 endpoints, each in its turn",
      "",
    ].join("\n"),
  );
});
