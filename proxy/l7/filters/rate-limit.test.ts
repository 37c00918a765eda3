/** Global rate limits through the whole engine: by a service over gRPC, and counted in Redis. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { decodeMessage } from "#api/xds/decode.ts";
import { findMessage } from "#api/xds/descriptors.ts";
import { encodeMessage } from "#api/xds/encode.ts";
import { compileListener } from "../config/listener.ts";
import { type Rig, startAnswering, startRig, staticCluster } from "../fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const prefix = "type.googleapis.com/envoy.extensions.filters";
const serviceName = "envoy.service.ratelimit.v3";

const byUser = { request_headers: { header_name: "x-user", descriptor_key: "user" } };
const byPlan = { generic_key: { descriptor_value: "free", descriptor_key: "plan" } };

// Without the table of messages the limiter lets everything pass; here it is said what is missing.
before(() => assert.ok(findMessage(`${serviceName}.RateLimitRequest`), "build/xds.json knows the service"));

/** One filter before the router; "/open" has no limits, "/plan" other ones, the rest those of its virtual host. */
async function rigWith(clusters: Readonly<Record<string, number>>, filter: object): Promise<Rig> {
  const route = (path: string, more: object = {}): object => ({
    match: { prefix: path },
    route: { cluster: "c", ...more },
  });
  const off = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true };
  const routes = [
    { ...route("/open"), typed_per_filter_config: { f: off } },
    route("/plan", { rate_limits: [{ actions: [byPlan, { destination_cluster: {} }, { remote_address: {} }] }] }),
    route("/"),
  ];
  const host = { name: "all", domains: ["*"], rate_limits: [{ actions: [byUser] }], routes };
  const manager = {
    "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    route_config: { name: "routes", virtual_hosts: [host] },
    http_filters: [
      { name: "f", typed_config: filter },
      { name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } },
    ],
  };
  const listener = compileListener({
    name: "l",
    address: { socket_address: { address: "127.0.0.1", port_value: 1 } },
    filter_chains: [{ filters: [{ name: "hcm", typed_config: manager }] }],
  });
  return startRig({ clusters: Object.entries(clusters).map(([name, port]) => staticCluster(name, [port])), listener });
}

const ask = async (rig: Rig, path: string, user?: string): Promise<Response> => {
  const headers: Record<string, string> = user === undefined ? {} : { "x-user": user };
  const response = await fetch(`http://127.0.0.1:${rig.port}${path}`, { headers });
  await response.text();
  return response;
};
const statusOf = async (rig: Rig, path: string, user?: string): Promise<number> => (await ask(rig, path, user)).status;

interface Service extends AsyncDisposable {
  readonly port: number;
  readonly asked: unknown[];
}

/** A rate limit service; `answer` undefined: it never answers. */
async function startService(answer: (count: number) => object | undefined): Promise<Service> {
  const asked: unknown[] = [];
  const server = new Server();
  const same = (value: Buffer): Buffer => value;
  const shape = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const path = `/${serviceName}.RateLimitService/ShouldRateLimit`;
  server.addService(
    { ShouldRateLimit: { path, requestStream: false, responseStream: false, ...shape } },
    {
      ShouldRateLimit: (call: { request: Buffer }, reply: (error: null, value: Buffer) => void) => {
        asked.push(decodeMessage(`${serviceName}.RateLimitRequest`, call.request));
        const given = answer(asked.length);
        if (given !== undefined) reply(null, encodeMessage(`${serviceName}.RateLimitResponse`, given));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { port, asked, [Symbol.asyncDispose]: async () => server.forceShutdown() };
}

const byService = (more: object = {}): object => ({
  "@type": `${prefix}.http.ratelimit.v3.RateLimit`,
  domain: "shop",
  timeout: "5s",
  rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: "rls" } }, transport_api_version: "V3" },
  ...more,
});

describe("rate limit service", () => {
  it("is told the descriptors of the route, and its answer stands", async () => {
    await using upstream = await startAnswering(ok);
    await using service = await startService((count) => ({
      overall_code: count > 2 ? "OVER_LIMIT" : "OK",
      response_headers_to_add: [{ key: "x-count", value: String(count) }],
    }));
    await using rig = await rigWith({ c: upstream.port, rls: service.port }, byService());
    assert.equal((await ask(rig, "/", "ann")).headers.get("x-count"), "1");
    assert.equal(await statusOf(rig, "/plan"), 200);
    const refused = await ask(rig, "/", "ann");
    assert.deepEqual(
      [refused.status, refused.headers.get("x-envoy-ratelimited"), refused.headers.get("x-count")],
      [429, "true", "3"],
    );
    // Without the header, with the filter off: nothing to ask about.
    assert.deepEqual([await statusOf(rig, "/"), await statusOf(rig, "/open", "ann")], [200, 200]);
    const entriesOf = (key: string, value: string): object => ({ key, value });
    assert.deepEqual(service.asked.slice(0, 2), [
      { domain: "shop", descriptors: [{ entries: [entriesOf("user", "ann")] }] },
      {
        domain: "shop",
        descriptors: [
          {
            entries: [
              entriesOf("plan", "free"),
              entriesOf("destination_cluster", "c"),
              entriesOf("remote_address", "127.0.0.1"),
            ],
          },
        ],
      },
    ]);
    assert.deepEqual(
      rig.records.map(({ flag }) => flag),
      ["-", "-", "RL", "-", "-"],
    );
  });

  it("that does not answer in time, or is not there, lets requests pass or refuses them as configured", async () => {
    await using upstream = await startAnswering(ok);
    await using silent = await startService(() => undefined);
    await using open = await rigWith({ c: upstream.port, rls: silent.port }, byService({ timeout: "0.05s" }));
    assert.equal(await statusOf(open, "/", "ann"), 200);
    const denying = byService({ failure_mode_deny: true, status_on_error: { code: "ServiceUnavailable" } });
    await using closed = await rigWith({ c: upstream.port }, denying);
    assert.equal(await statusOf(closed, "/", "ann"), 503);
    assert.equal(closed.records[0]?.flag, "RLSE");
  });

  it("must not make two heads out of one", async () => {
    await using upstream = await startAnswering(ok);
    await using service = await startService(() => ({
      overall_code: "OVER_LIMIT",
      response_headers_to_add: [{ key: "x", value: "1\r\nset-cookie: evil" }],
    }));
    const config = byService({ failure_mode_deny: true });
    await using rig = await rigWith({ c: upstream.port, rls: service.port }, config);
    const answer = await ask(rig, "/", "ann");
    assert.deepEqual([answer.status, answer.headers.get("set-cookie")], [500, null]);
  });
});

const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;
const skip = !hasRedis && "SKIP no redis-server (Debian's package of that name)";

interface RedisServer extends AsyncDisposable {
  readonly url: string;
  stop(): Promise<void>;
  /** At the same place, empty. */
  restart(): Promise<void>;
}

/** A server of its own behind a socket in a folder of its own. */
async function startRedis(): Promise<RedisServer> {
  const dir = mkdtempSync(join(tmpdir(), "wherry-redis-"));
  const url = join(dir, "redis.sock");
  let child = await spawnRedis(dir, url);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  };
  return {
    url,
    stop,
    async restart() {
      child = await spawnRedis(dir, url);
    },
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Resolves when it serves. */
async function spawnRedis(dir: string, url: string): Promise<ChildProcess> {
  const flags = ["--port", "0", "--unixsocket", url, "--save", "", "--appendonly", "no", "--dir", dir];
  const child = spawn("redis-server", flags, { stdio: ["ignore", "pipe", "inherit"] });
  let log = "";
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${code}: ${log}`)));
    child.stdout.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("ready to accept connections")) resolve();
    });
  });
  return child;
}

/** What one command answers, in the protocol's own words. */
async function command(url: string, text: string): Promise<string> {
  const socket = connect(url);
  socket.end(`${text}\r\n`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

const inRedis = (url: string, more: object = {}): object => ({
  "@type": "type.googleapis.com/wherry.v1.RedisRateLimit",
  domain: "shop",
  url,
  timeout: "5s",
  limits: [
    { descriptors: [{ key: "user", value: "root" }], requests_per_unit: 1000, unit: "MINUTE" },
    { descriptors: [{ key: "user" }], requests_per_unit: 3, unit: "DAY" },
  ],
  ...more,
});

describe("rate limit in Redis", { skip }, () => {
  it("is one for all proxies, counts each value for itself, and ends by itself", async () => {
    await using upstream = await startAnswering(ok);
    await using redis = await startRedis();
    await using one = await rigWith({ c: upstream.port }, inRedis(redis.url));
    await using two = await rigWith({ c: upstream.port }, inRedis(redis.url));
    const answers: number[] = [];
    for (const rig of [one, two, one, two, one]) answers.push(await statusOf(rig, "/", "ann"));
    assert.deepEqual(answers, [200, 200, 200, 429, 429]);
    assert.deepEqual([await statusOf(one, "/", "bob"), await statusOf(one, "/", "root")], [200, 200]);
    // "/plan" falls under no limit here.
    assert.equal(await statusOf(one, "/plan"), 200);
    const refused = await ask(one, "/", "ann");
    assert.ok(Number(refused.headers.get("retry-after")) > 86_000);
    assert.equal(one.records.at(-1)?.flag, "RL");
    const left = await command(redis.url, "PTTL wherry:{shop}:86400000:user=ann");
    assert.ok(Number(left.slice(1)) > 86_000_000, left);
  });

  it("lets requests pass, or refuses them, while Redis is gone, and connects again", async () => {
    await using upstream = await startAnswering(ok);
    await using redis = await startRedis();
    await using open = await rigWith({ c: upstream.port }, inRedis(redis.url));
    await using closed = await rigWith({ c: upstream.port }, inRedis(redis.url, { failure_mode_deny: true }));
    assert.deepEqual([await statusOf(open, "/", "ann"), await statusOf(closed, "/", "ann")], [200, 200]);
    await redis.stop();
    const users = ["ann", "ann", "ann", "ann"];
    for (const user of users) assert.equal(await statusOf(open, "/", user), 200);
    assert.equal(await statusOf(closed, "/", "ann"), 500);
    assert.equal(closed.records.at(-1)?.flag, "RLSE");
    await redis.restart();
    // Not at once: who lost the connection waits a moment before the next one. Then requests are counted again.
    let [status, requests] = [200, 0];
    while (status !== 429 && requests++ < 10_000) status = await statusOf(open, "/", "ann");
    assert.equal(status, 429);
  });
});
