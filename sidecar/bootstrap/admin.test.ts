/** Admin pages of a stand-alone sidecar: what is shown from the start, and what a drain and a rotation do. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { RawClient, eventually, raw, startUpstream, staticCluster } from "#proxy/l7/fixture.ts";
import { startStandalone } from "./fixture.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const keepAlive = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const clusters = [staticCluster("up", [])];

test("/stats shows the main counters as zero before anything was counted, and once each after that", async () => {
  await using standalone = await startStandalone({ clusters });
  const page = async (): Promise<string> => (await standalone.page("/stats")).text;
  const before = await page();
  const wanted = [
    "upstream_rq_retry",
    "upstream_rq_timeout",
    "upstream_cx_connect_fail",
    "upstream_rq_pending_overflow",
  ];
  for (const digit of [1, 2, 3, 4, 5]) wanted.push(`upstream_rq_${digit}xx`);
  for (const name of wanted)
    assert.ok(before.includes(`\ncluster.up.${name}: 0\n`) || before.startsWith(`cluster.up.${name}: 0\n`), name);
  for (const digit of [1, 2, 3, 4, 5]) assert.ok(before.includes(`\nhttp.x.downstream_rq_${digit}xx: 0\n`));
  assert.match(before, /^listener\.127\.0\.0\.1_0\.downstream_cx_total: 0$/m);
  const exposition = (await standalone.page("/stats/prometheus")).text;
  assert.match(
    exposition,
    /^envoy_cluster_upstream_rq_xx\{envoy_response_code_class="5",envoy_cluster_name="up"\} 0$/m,
  );
  await raw(standalone.port, get);
  const after = await page();
  assert.deepEqual(after.match(/^http\.x\.downstream_rq_5xx: .*$/gm), ["http.x.downstream_rq_5xx: 1"]);
  assert.deepEqual(after.match(/^cluster\.up\.upstream_rq_5xx: .*$/gm), ["cluster.up.upstream_rq_5xx: 1"]);
  assert.equal(new Set(after.match(/^[^:]+/gm)).size, after.trimEnd().split("\n").length);
});

test("/drain_listeners stops listening and leaves the sidecar live, as in Envoy", async () => {
  await using standalone = await startStandalone({ clusters });
  assert.equal((await standalone.page("/drain_listeners", "POST")).text, "OK\n");
  assert.deepEqual(await standalone.page("/ready"), { status: 200, text: "LIVE\n" });
  assert.equal(await raw(standalone.port, get), "");
});

test("/drain_listeners cuts no connection: those there are end behind their next answer", async () => {
  for (const flags of ["", "?graceful", "?graceful&skip_exit"]) {
    const clock = new ManualClock();
    let release: (() => void) | undefined;
    await using upstream = await startUpstream((socket) => {
      socket.on("data", () => (release = () => socket.write("HTTP/1.1 204 No Content\r\n\r\n")));
    });
    const deps = { clock, drainMs: 1000 };
    await using standalone = await startStandalone({ clusters: [staticCluster("up", [upstream.port])], deps });
    const busy = new RawClient(standalone.port);
    const idle = new RawClient(standalone.port);
    try {
      busy.send(keepAlive);
      await eventually(() => release !== undefined && standalone.sidecar.connectionCount === 2, "in flight");
      await standalone.page(`/drain_listeners${flags}`, "POST");
      await clock.advance(5000);
      for (const client of [busy, idle]) {
        if (client === idle) {
          release = undefined;
          idle.send(keepAlive);
          await eventually(() => release !== undefined, "the next request");
        }
        release!();
        assert.match(await client.over(), /^HTTP\/1.1 204 .*\r\nConnection: close\r\n/s, flags);
        client.socket.end();
      }
    } finally {
      for (const { socket } of [busy, idle]) socket.destroy();
    }
  }
});

test("/healthcheck/fail ends keep-alive until /healthcheck/ok", async () => {
  await using standalone = await startStandalone({
    routes: [{ match: { prefix: "/" }, direct_response: { status: 204 } }],
  });
  assert.equal((await standalone.page("/healthcheck/fail", "POST")).status, 200);
  assert.match(await raw(standalone.port, keepAlive), /\r\nConnection: close\r\n/);
  assert.equal((await standalone.page("/healthcheck/ok", "POST")).status, 200);
  assert.match(await raw(standalone.port, keepAlive + get), /^HTTP\/1.1 204 .*\r\n\r\nHTTP\/1.1 204 /s);
});

test("/drain_listeners?inboundonly leaves others listening, and skip_exit goes with graceful alone", async () => {
  await using inbound = await startStandalone({ clusters, listener: { traffic_direction: "INBOUND" } });
  await using other = await startStandalone({ clusters });
  for (const one of [inbound, other]) {
    assert.deepEqual(await one.page("/drain_listeners?skip_exit", "POST"), {
      status: 400,
      text: "skip_exit requires graceful\n",
    });
    assert.equal((await one.page("/drain_listeners?inboundonly", "POST")).text, "OK\n");
  }
  assert.equal(await raw(inbound.port, get), "");
  assert.match(await raw(other.port, get), /^HTTP\/1.1 503 /);
});

test("/reopen_logs lets go of a log that was moved away", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wherry-reopen-"));
  const path = join(folder, "log");
  const typed_config = { "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", path };
  {
    const access_log = [{ name: "log", typed_config }];
    await using standalone = await startStandalone({ clusters, manager: { access_log } });
    await raw(standalone.port, get);
    assert.equal((await standalone.page("/reopen_logs")).status, 405);
    assert.equal((await standalone.page("/reopen_logs", "POST")).text, "OK\n");
    for (let turn = 0; turn < 1000 && !existsSync(path); turn++)
      await new Promise<void>((resolve) => setImmediate(resolve));
    renameSync(path, `${path}.1`);
    await raw(standalone.port, get);
  }
  assert.ok(existsSync(path));
  rmSync(folder, { recursive: true });
});
