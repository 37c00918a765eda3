/** Admin pages of a stand-alone sidecar: what is shown from the start, and what a drain and a rotation do. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { RawClient, eventually, raw, startAnswering, startUpstream, staticCluster } from "#proxy/l7/fixture.ts";
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
  // A process that is started beside it hears of it, too.
  assert.ok(standalone.sidecar.standing.includes("/healthcheck/fail"));
  assert.equal((await standalone.page("/healthcheck/ok", "POST")).status, 200);
  assert.match(await raw(standalone.port, keepAlive + get), /^HTTP\/1.1 204 .*\r\n\r\nHTTP\/1.1 204 /s);
});

test("/stats counts the listeners that a drain stopped; they stay active, as in Envoy", async () => {
  await using standalone = await startStandalone({ clusters });
  const listeners = async (): Promise<readonly string[]> => {
    const { text } = await standalone.page("/stats?filter=^listener_manager.(total_listeners_active|listener_stopped)");
    return text.trimEnd().split("\n");
  };
  const [stopped, active] = ["listener_manager.listener_stopped", "listener_manager.total_listeners_active: 1"];
  assert.deepEqual(await listeners(), [`${stopped}: 0`, active]);
  await standalone.page("/drain_listeners?inboundonly", "POST");
  assert.deepEqual(await listeners(), [`${stopped}: 0`, active]);
  await standalone.page("/drain_listeners", "POST");
  assert.deepEqual(await listeners(), [`${stopped}: 1`, active]);
  await standalone.page("/reset_counters", "POST");
  assert.deepEqual(await listeners(), [`${stopped}: 0`, active]);
});

test("/drain_listeners says so once in the log, and not where another process asks for it", async () => {
  const lines: string[] = [];
  const log = createLogger("test", "info", (line) => void lines.push(line));
  await using standalone = await startStandalone({ clusters, deps: { log } });
  const drains = (): readonly object[] =>
    lines.map((line) => JSON.parse(line) as { message: string }).filter(({ message }) => message.includes("Draining"));
  await standalone.page("/drain_listeners?skip_exit", "POST");
  standalone.sidecar.change("/drain_listeners?inboundonly");
  assert.deepEqual(drains(), []);
  await standalone.page("/drain_listeners?graceful&inboundonly", "POST");
  const [{ time: _, ...line } = { time: "" }, ...more] = drains() as { time: string }[];
  const flags = { graceful: true, inboundonly: true, skip_exit: false };
  assert.deepEqual(line, { level: "info", component: "test", message: "Draining listeners", ...flags });
  assert.deepEqual(more, []);
});

test("/server_info has the flags that count", async () => {
  await using standalone = await startStandalone({ clusters, deps: { concurrency: 2, drainMs: 45_000 } });
  await using plain = await startStandalone({ clusters });
  const options = async (one: typeof plain): Promise<object> => {
    const info = JSON.parse((await one.page("/server_info")).text) as { command_line_options: Record<string, unknown> };
    const { concurrency, drain_time } = info.command_line_options;
    return { concurrency, drain_time };
  };
  assert.deepEqual(await options(standalone), { concurrency: 2, drain_time: "45s" });
  assert.deepEqual(await options(plain), { concurrency: 1, drain_time: "600s" });
});

test("/logging takes a level and nothing else, and says by which name it was given", async () => {
  await using standalone = await startStandalone({ clusters });
  const post = async (query: string): Promise<{ status: number; text: string }> =>
    standalone.page(`/logging${query}`, "POST");
  const shown = (level: string): object => ({ status: 200, text: `active loggers:\n  wherry: ${level}\n` });
  assert.deepEqual(await post(""), shown("error"));
  for (const level of ["trace", "warning", "critical", "off"])
    assert.deepEqual(await post(`?level=${level}`), shown(level));
  for (const query of ["?http=debug", "?paths=http:debug", "?level=debug&upstream=info"]) {
    const { status, text } = await post(query);
    assert.equal(status, 400);
    assert.match(text, /^Cannot set log level of (http|paths|upstream): there is one logger, wanted level=\n$/);
  }
  assert.deepEqual(await post("?level=bogus"), {
    status: 400,
    text: "Cannot set log level bogus: wanted trace, debug, info, warning, error, critical or off\n",
  });
  assert.deepEqual(await post(""), shown("off"));
});

test("/clusters says what became of connections and requests of each endpoint", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  await using standalone = await startStandalone({ clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(standalone.port);
  for (const turn of [1, 2]) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await client.until("ok".repeat(turn).slice(-2));
    await eventually(() => standalone.sidecar.live.clusters.get("up")!.members[0]!.requestSuccesses === turn, "answer");
  }
  const host = `up::127.0.0.1:${upstream.port}`;
  const lines = (await standalone.page("/clusters")).text.split("\n").filter((line) => /::[cr][xq]_/.test(line));
  assert.deepEqual(lines, [
    `${host}::cx_active::1`,
    `${host}::cx_connect_fail::0`,
    `${host}::cx_total::1`,
    `${host}::rq_active::0`,
    `${host}::rq_error::0`,
    `${host}::rq_success::2`,
    `${host}::rq_timeout::0`,
    `${host}::rq_total::2`,
  ]);
  const json = JSON.parse((await standalone.page("/clusters?format=json")).text) as {
    cluster_statuses: { host_statuses: { stats: { name: string }[] }[] }[];
  };
  const { stats } = json.cluster_statuses[0]!.host_statuses[0]!;
  assert.equal(stats.length, 8);
  assert.deepEqual(
    stats.filter(({ name }) => name.endsWith("_total") || name === "cx_active"),
    [
      { name: "cx_active", type: "GAUGE", value: "1" },
      { name: "cx_total", type: "COUNTER", value: "1" },
      { name: "rq_total", type: "COUNTER", value: "2" },
    ],
  );
  client.close();
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
