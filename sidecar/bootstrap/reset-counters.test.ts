/** POST /reset_counters of a stand-alone sidecar: every counter is zero, whatever keeps it, and gauges go on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, raw, refusedPort, startAnswering, startUpstream, staticCluster } from "#proxy/l7/fixture.ts";
import { type Standalone, startStandalone } from "./fixture.ts";

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
const filterTypes = "type.googleapis.com/envoy.extensions.filters.http";

async function statsOf(standalone: Standalone, query: string): Promise<ReadonlyMap<string, string>> {
  const { text } = await standalone.page(`/stats?${query}`);
  const lines = text.trimEnd().split("\n");
  return new Map(lines.filter((line) => line !== "").map((line) => line.split(": ", 2) as [string, string]));
}

test("/reset_counters sets all counters to zero, keeps their names, and leaves gauges", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const each = { timeout: "1s", interval: "3600s", unhealthy_threshold: 9, healthy_threshold: 1 };
  const none = {
    ...staticCluster("none", [await refusedPort()]),
    health_checks: [{ ...each, tcp_health_check: {} }],
    outlier_detection: { consecutive_5xx: 1, interval: "3600s", max_ejection_percent: 100 },
  };
  const retry_policy = { retry_on: "connect-failure", num_retries: 2 };
  const routes = [
    { match: { prefix: "/none" }, route: { cluster: "none", retry_policy } },
    { match: { prefix: "/" }, route: { cluster: "up" } },
  ];
  const gzip = "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip";
  const compressor_library = { name: "gzip", typed_config: { "@type": gzip } };
  const http_filters = [
    { name: "gzip", typed_config: { "@type": `${filterTypes}.compressor.v3.Compressor`, compressor_library } },
    { name: "router", typed_config: { "@type": `${filterTypes}.router.v3.Router` } },
  ];
  const clusters = [staticCluster("up", [upstream.port]), none];
  await using standalone = await startStandalone({ clusters, routes, manager: { http_filters } });
  for (const text of [get("/"), get("/none"), "x"]) await raw(standalone.port, `${text}\r\n\r\n`);
  const { counters } = standalone.sidecar.engine;
  await eventually(() => counters.downstreamOpen === 0, "connections are closed");
  const gauges = "type=Gauges&filter=^(cluster|http|listener)";
  const [before, gaugesBefore] = [await statsOf(standalone, "type=Counters"), await statsOf(standalone, gauges)];
  for (const name of [
    "cluster.none.health_check.attempt",
    "cluster.none.outlier_detection.ejections_enforced_total",
    "cluster.none.upstream_cx_connect_fail",
    "cluster.none.upstream_cx_total",
    "cluster.none.upstream_rq_retry_limit_exceeded",
    "cluster.up.upstream_rq_200",
    "cluster.up.upstream_rq_total",
    "http.x.compressor.gzip.gzip.no_accept_header",
    "http1.protocol_errors",
    "http.x.downstream_rq_total",
  ])
    assert.ok(Number(before.get(name) ?? 0) > 0, name);
  assert.equal((await standalone.page("/reset_counters", "POST")).text, "OK\n");
  const after = await statsOf(standalone, "type=Counters");
  assert.deepEqual([...after.keys()], [...before.keys()]);
  assert.deepEqual(
    [...after].filter(([, value]) => value !== "0"),
    [],
  );
  assert.deepEqual(await statsOf(standalone, gauges), gaugesBefore);
  assert.deepEqual([...(await statsOf(standalone, "type=Counters&usedonly"))], []);
  await raw(standalone.port, get("/"));
  const used = await statsOf(standalone, "type=Counters&usedonly&filter=^cluster");
  assert.deepEqual([used.get("cluster.up.upstream_rq_200"), used.get("cluster.up.upstream_rq_total")], ["1", "1"]);
  assert.deepEqual(
    [...used.keys()].filter((name) => name.startsWith("cluster.none")),
    [],
  );
});

test("/stats counts each connection that failed, and each try that waited for it", async () => {
  const retry_policy = { retry_on: "connect-failure", num_retries: 2 };
  const routes = [{ match: { prefix: "/" }, route: { cluster: "none", retry_policy } }];
  const clusters = [staticCluster("none", [await refusedPort()])];
  await using standalone = await startStandalone({ clusters, routes });
  await raw(standalone.port, get("/"));
  const stats = await statsOf(standalone, "filter=^cluster.none.upstream");
  const shown = ["cx_total", "cx_connect_fail", "cx_connect_timeout", "rq_pending_failure_eject"];
  assert.deepEqual(
    shown.map((name) => stats.get(`cluster.none.upstream_${name}`)),
    ["3", "3", "0", "3"],
  );
});

test("/stats counts no request as one that waited whose connection breaks before its answer", async () => {
  await using upstream = await startUpstream((socket) => socket.on("data", () => socket.destroy()));
  await using standalone = await startStandalone({ clusters: [staticCluster("up", [upstream.port])] });
  assert.match(await raw(standalone.port, get("/")), /^HTTP\/1\.1 503 /);
  const stats = await statsOf(standalone, "filter=^cluster.up.upstream");
  assert.equal(stats.get("cluster.up.upstream_rq_pending_failure_eject"), "0");
});
