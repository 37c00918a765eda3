/** The bootstrap: what is read, what is refused, and names that are resolved. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { Cluster } from "#proxy/l7/cluster.ts";
import { compileCluster } from "#proxy/l7/config/cluster.ts";
import { compileListener } from "#proxy/l7/config/listener.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { createCounters } from "#proxy/l7/types.ts";
import { parseBootstrap } from "./config.ts";
import { DNSClusters } from "./dns-clusters.ts";

const adsCluster = `{ name: xds, type: STATIC, load_assignment: { cluster_name: xds, endpoints: [] } }`;

test("parseBootstrap() reads YAML and JSON, both cases of names, and merges texts as Envoy does", () => {
  const config = parseBootstrap(
    [
      `{ node: { id: a, cluster: b }, static_resources: { clusters: [${adsCluster}] } }`,
      `{"node":{"id":"c"},"admin":{"address":{"socketAddress":{"address":"127.0.0.1","portValue":"9901"}}}}`,
    ],
    { serviceCluster: "d" },
  );
  assert.deepEqual(config.node, { id: "c", cluster: "d", metadata: {} });
  assert.deepEqual(config.admin, { address: "127.0.0.1", port: 9901, takesIPv4: false });
  assert.deepEqual(
    config.clusters.map(({ name }) => name),
    ["xds"],
  );
});

test("parseBootstrap() reads a control plane over delta ADS", () => {
  const ads = `ads_config: { api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{ envoy_grpc: { cluster_name: xds } }] }`;
  const dynamic = `dynamic_resources: { ${ads}, cds_config: { ads: {}, resource_api_version: V3 }, lds_config: { ads: {} } }`;
  const config = parseBootstrap([`{ ${dynamic}, static_resources: { clusters: [${adsCluster}] } }`]);
  assert.deepEqual(config.ads, { cluster: "xds", isDelta: true, hasListeners: true, hasClusters: true });
});

test("parseBootstrap() reads a filter of Wherry's own", () => {
  const limit = {
    "@type": "type.googleapis.com/wherry.v1.RedisRateLimit",
    domain: "shop",
    url: "redis://127.0.0.1",
    limits: [{ descriptors: [{ key: "user" }], requests_per_unit: 3, unit: "MINUTE" }],
  };
  const prefix = "type.googleapis.com/envoy.extensions.filters";
  const manager = {
    "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"] }] },
    http_filters: [
      { name: "limit", typed_config: limit },
      { name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } },
    ],
  };
  const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
  const chain = { filters: [{ name: "hcm", typed_config: manager }] };
  const bootstrap = { static_resources: { listeners: [{ name: "l", address, filter_chains: [chain] }] } };
  const [listener] = parseBootstrap([JSON.stringify(bootstrap)]).listeners;
  const { filter } = compileListener(listener!.resource).chains[0]!;
  assert.deepEqual(filter.kind === "http" && filter.filters.map(({ name }) => name), ["limit"]);
});

test("parseBootstrap() refuses what is wrong or not supported by its path", () => {
  const grpc = `grpc_services: [{ envoy_grpc: { cluster_name: xds } }]`;
  const rows: readonly (readonly [string, RegExp])[] = [
    ["a: [", /Cannot read bootstrap/],
    ["node: {}\n---\nnode: {}\n", /Cannot read bootstrap: several YAML documents, wanted one$/],
    ["[]", /Cannot read bootstrap: it is a list, wanted an object$/],
    ["", /Cannot read bootstrap: it is empty, wanted an object$/],
    ["envoy.yaml", /Cannot read bootstrap: it is the string "envoy.yaml", wanted an object$/],
    ["{ nodes: {} }", /nodes/],
    [
      "{ admin: { address: { pipe: { path: /x } } } }",
      /: Cannot read admin\.address\.socket_address: it is not there$/,
    ],
    ["{ static_resources: { secrets: [{ name: s }] } }", /static_resources\.secrets/],
    [`{ static_resources: { clusters: [${adsCluster}, ${adsCluster}] } }`, /clusters\[1\]\.name: "xds" is there twice/],
    ["{ hds_config: { api_type: GRPC } }", /: Cannot use hds_config: the field is not supported$/],
    [`{ dynamic_resources: { ads_config: { api_type: REST, ${grpc} } } }`, /ads_config\.api_type.*DELTA_GRPC/],
    [`{ dynamic_resources: { ads_config: { api_type: DELTA_GRPC, ${grpc} } } }`, /"xds" is not among/],
    ["{ dynamic_resources: { lds_config: { path_config_source: { path: /x } } } }", /lds_config\.ads/],
    ["{ layered_runtime: { layers: [{ name: l, static_layer: { upstream: { x: 1 } } }] } }", /runtime key upstream\.x/],
    ["{ stats_sinks: [{ name: s }] }", /stats_sinks/],
    ["{ stats_flush_interval: 5 }", /stats_flush_interval/],
  ];
  for (const [text, message] of rows) assert.throws(() => parseBootstrap([text]), message, text);
});

test("DNSClusters resolves names, keeps what it knows when that fails, and stops with the cluster", async () => {
  const clock = new ManualClock();
  const deps = {
    dial: () => {
      throw new Error("No connections here");
    },
    wheel: new TimerWheel(clock),
    nowMs: () => clock.monotonicMs(),
    wallMs: () => clock.nowMs(),
    after: (delayMs: number, callback: () => void) => void clock.after(delayMs, callback),
    log: silentLogger,
    random: seededRandom(1),
    counters: createCounters(),
  };
  const endpoint = { endpoint: { address: { socket_address: { address: "up.example", port_value: 80 } } } };
  const load_assignment = { cluster_name: "c", endpoints: [{ lb_endpoints: [endpoint] }] };
  const cluster = new Cluster(compileCluster({ name: "c", type: "STRICT_DNS", load_assignment }), deps);
  let answers: readonly string[] | undefined = ["192.0.2.1", "192.0.2.2"];
  let asked = 0;
  let warm = 0;
  const dns = new DNSClusters({
    clock,
    log: silentLogger,
    lookup: async () => {
      asked++;
      if (answers === undefined) throw new Error("no such name");
      return answers.map((address) => ({ address, family: 4 }));
    },
    onWarm: () => void warm++,
  });
  dns.follow([cluster]);
  await clock.advance(0);
  const addresses = (): readonly string[] => cluster.serving.map(({ address }) => address);
  assert.deepEqual([addresses(), warm], [["192.0.2.1", "192.0.2.2"], 1]);
  assert.equal(cluster.serving[0]!.hostname, "up.example");
  answers = undefined;
  await clock.advance(5000);
  assert.deepEqual([addresses(), asked], [["192.0.2.1", "192.0.2.2"], 2]);
  answers = ["192.0.2.3"];
  await clock.advance(5000);
  assert.deepEqual(addresses(), ["192.0.2.3"]);
  dns.follow([]);
  await clock.advance(60_000);
  assert.equal(asked, 3);
  dns.close();
});
