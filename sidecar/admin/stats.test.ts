/** Statistics of several processes as one, and what is read off a live cluster. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cluster } from "#proxy/l7/cluster.ts";
import { compileCluster } from "#proxy/l7/config/cluster.ts";
import { silentLogger } from "#lib/log.ts";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { type EngineDeps, createCounters } from "#proxy/l7/types.ts";
import { Histogram } from "../histogram.ts";
import { clusterStats } from "./cluster-stats.ts";
import { clustersJSON, clustersText, hostCounts } from "./dump.ts";
import { fromPlain, mergeStats, toPlain } from "./merge-stats.ts";
import { type AllStats, type StatsQuery, noHostCounts, parseStatsQuery, renderStats } from "./stats-page.ts";

function partOf(requests: number, ms: number): AllStats {
  const histogram = new Histogram();
  histogram.observe(ms);
  return {
    hosts: { "c::10.0.0.1:80": { ...noHostCounts, cx_active: requests, rq_active: 1 } },
    stats: [
      { name: "http.x.downstream_rq_total", kind: "counter", value: requests },
      { name: "http.x.downstream_cx_active", kind: "gauge", value: 1 },
      { name: "cluster.c.membership_total", kind: "gauge", value: 2 },
      { name: "cluster.c.circuit_breakers.default.cx_open", kind: "gauge", value: requests > 1 ? 1 : 0 },
      { name: "server.live", kind: "gauge", value: 1 },
      { name: "listener_manager.listener_stopped", kind: "counter", value: 1 },
      { name: "listener_manager.downstream_global_cx_overflow", kind: "counter", value: 1 },
    ],
    histograms: [{ name: "http.x.downstream_rq_time", histogram }],
  };
}

test("mergeStats() adds what processes count, and takes once what all of them say", () => {
  const overTheWire = fromPlain(JSON.parse(JSON.stringify(toPlain(partOf(3, 7)))));
  const { hosts, stats, histograms } = mergeStats([partOf(1, 2), overTheWire, { stats: [], histograms: [] }]);
  assert.deepEqual(Object.fromEntries(stats.map(({ name, value }) => [name, value])), {
    "http.x.downstream_rq_total": 4,
    "http.x.downstream_cx_active": 2,
    "cluster.c.membership_total": 2,
    "cluster.c.circuit_breakers.default.cx_open": 1,
    "server.live": 1,
    "listener_manager.listener_stopped": 1,
    "listener_manager.downstream_global_cx_overflow": 2,
  });
  assert.deepEqual(hosts, { "c::10.0.0.1:80": { ...noHostCounts, cx_active: 4, rq_active: 2 } });
  const [{ histogram } = { histogram: new Histogram() }] = histograms;
  assert.equal(histogram.sum, 9);
  assert.equal(
    histogram.counts.reduce((sum, count) => sum + count, 0),
    2,
  );
});

test("clusterStats() says what a cluster's limits hold and refused", () => {
  const deps = depsWithoutSockets();
  const thresholds = [{ max_requests: 1, max_pending_requests: 1, max_retries: 0, track_remaining: true }];
  const cluster = new Cluster(compileCluster({ name: "c", type: "STATIC", circuit_breakers: { thresholds } }), deps);
  const valueOf = (name: string): number | undefined =>
    clusterStats(cluster).find((stat) => stat.name === `cluster.c.${name}`)?.value;
  assert.equal(valueOf("circuit_breakers.default.rq_open"), 0);
  assert.equal(valueOf("circuit_breakers.default.rq_retry_open"), 1);
  assert.equal(valueOf("circuit_breakers.default.remaining_rq"), 1);
  assert.equal(valueOf("circuit_breakers.default.remaining_cx"), 1024);
  assert.equal(valueOf("circuit_breakers.high.remaining_rq"), undefined);
  const limits = cluster.limits.default;
  assert.deepEqual(
    [limits.take("requests"), limits.take("requests"), limits.take("pending"), limits.take("retries")],
    [true, false, true, false],
  );
  assert.deepEqual(
    [
      "circuit_breakers.default.rq_open",
      "circuit_breakers.high.rq_open",
      "circuit_breakers.default.remaining_rq",
      "circuit_breakers.default.remaining_pending",
      "upstream_rq_pending_active",
      "upstream_rq_active_overflow",
      "upstream_rq_pending_overflow",
      "upstream_rq_retry_overflow",
      "upstream_cx_total",
    ].map(valueOf),
    [1, 0, 0, 0, 1, 1, 0, 1, 0],
  );
});

test("/stats gives those of one type, and names the types for any other", () => {
  const stats = [
    { name: "a", kind: "counter", value: 1 },
    { name: "b", kind: "gauge", value: 2 },
  ] as const;
  const shown = (type: string): string => {
    const query = parseStatsQuery(new URLSearchParams({ type }));
    return typeof query === "string" ? query : renderStats({ stats, histograms: [] }, query);
  };
  assert.deepEqual(["All", "Counters", "Gauges", "Histograms"].map(shown), ["a: 1\nb: 2\n", "a: 1\n", "b: 2\n", ""]);
  assert.match(shown("toString"), /^Cannot serve .*type, wanted All, Counters/);
});

test("renderStats() names what a cluster's parts count by the cluster alone in Prometheus", () => {
  const stats = [
    "cluster.a.b.circuit_breakers.default.cx_open",
    "cluster.a.b.circuit_breakers.high.remaining_rq",
    "cluster.a.b.health_check.attempt",
    "cluster.a.b.outlier_detection.ejections_active",
    "cluster.a.b.membership_total",
  ].map((name) => ({ name, kind: "gauge" as const, value: 1 }));
  const query = parseStatsQuery(new URLSearchParams("format=prometheus")) as StatsQuery;
  const lines = renderStats({ stats, histograms: [] }, query).split("\n");
  assert.deepEqual(
    lines.filter((line) => line !== "" && !line.startsWith("#")),
    [
      'envoy_cluster_circuit_breakers_default_cx_open{envoy_cluster_name="a.b"} 1',
      'envoy_cluster_circuit_breakers_high_remaining_rq{envoy_cluster_name="a.b"} 1',
      'envoy_cluster_health_check_attempt{envoy_cluster_name="a.b"} 1',
      'envoy_cluster_membership_total{envoy_cluster_name="a.b"} 1',
      'envoy_cluster_outlier_detection_ejections_active{envoy_cluster_name="a.b"} 1',
    ],
  );
});

test("clustersText() and clustersJSON() say what all processes have open to an endpoint", () => {
  const deps = depsWithoutSockets();
  const lb_endpoints = ["::1", "10.0.0.1"].map((address) => ({
    endpoint: { address: { socket_address: { address, port_value: 80 } } },
  }));
  const load_assignment = { cluster_name: "c", endpoints: [{ lb_endpoints }] };
  const cluster = new Cluster(compileCluster({ name: "c", type: "STATIC", load_assignment }), deps);
  const facts = { isStatic: () => true, hosts: { "c::10.0.0.1:80": { ...noHostCounts, cx_active: 4, rq_active: 2 } } };
  const lines = clustersText([cluster], facts).split("\n");
  for (const line of ["c::10.0.0.1:80::cx_active::4", "c::10.0.0.1:80::rq_active::2", "c::[::1]:80::cx_active::0"])
    assert.ok(lines.includes(line), line);
  assert.match(JSON.stringify(clustersJSON([cluster], facts)), /"rq_active","type":"GAUGE","value":"2"/);
  assert.deepEqual(hostCounts([cluster])["c::10.0.0.1:80"], noHostCounts);
});

test("clusterStats() shows the health checks so far", () => {
  const deps = depsWithoutSockets();
  const address = { socket_address: { address: "10.0.0.1", port_value: 80 } };
  const load_assignment = { cluster_name: "c", endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] };
  const each = { timeout: "1s", interval: "1s", unhealthy_threshold: 1, healthy_threshold: 1 };
  const health_checks = [{ ...each, tcp_health_check: {} }];
  const cluster = new Cluster(compileCluster({ name: "c", type: "STATIC", load_assignment, health_checks }), deps);
  const attempts = (): number | undefined =>
    clusterStats(cluster).find(({ name }) => name === "cluster.c.health_check.attempt")?.value;
  assert.equal(attempts(), 0);
  cluster.start();
  assert.equal(attempts(), 1);
  cluster.close();
});

function depsWithoutSockets(): EngineDeps {
  const clock = new ManualClock();
  return {
    dial: () => {
      throw new Error("Nobody dials here");
    },
    wheel: new TimerWheel(clock),
    nowMs: () => clock.monotonicMs(),
    wallMs: () => clock.nowMs(),
    after: () => undefined,
    log: silentLogger,
    random: seededRandom(1),
    counters: createCounters(),
  };
}
