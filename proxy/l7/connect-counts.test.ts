/** Connections that do not come about, through the whole engine: each counts once, with the tries that waited for it. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { plainChain } from "./config/listener.ts";
import { plainTCP } from "./config/tcp.ts";
import {
  RawClient,
  type Rig,
  eventually,
  raw,
  refusedPort,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const tcp = { defaultChain: plainChain("tcp", plainTCP("up")) };
const types = "type.googleapis.com/envoy.extensions";
const tls = { "@type": `${types}.transport_sockets.tls.v3.UpstreamTlsContext` };
const secure = { transport_socket: { name: "tls", typed_config: tls } };

const speaking = (config: object): object => ({
  typed_extension_protocol_options: {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": `${types}.upstreams.http.v3.HttpProtocolOptions`,
      ...config,
    },
  },
});
const http2 = speaking({ explicit_http_config: { http2_protocol_options: {} } });

/** Made, failed, those of them whose time passed, and tries that waited for them. */
function countsOf(rig: Rig): readonly number[] {
  const { connectionTotal, budgets } = rig.cluster("up");
  const { connectFailures, connectTimeouts, ejectedRequests } = budgets.default;
  return [connectionTotal, connectFailures, connectTimeouts, ejectedRequests];
}

for (const [name, more] of [
  ["HTTP/1", {}],
  ["HTTP/2", http2],
  ["a protocol that TLS decides", { ...secure, ...speaking({ auto_config: {} }) }],
] as const)
  test(`A cluster of ${name} counts each refused connection of a request that is tried again`, async () => {
    const cluster = { ...staticCluster("up", [await refusedPort()]), ...more };
    await using rig = await startRig({ routes: routesTo("up"), clusters: [cluster] });
    assert.match(await raw(rig.port, get), /^HTTP\/1\.1 503 /);
    assert.deepEqual(countsOf(rig), [3, 3, 0, 3]);
    const [endpoint] = rig.cluster("up").members;
    assert.deepEqual([endpoint!.connectionTotal, endpoint!.connectFailures], [3, 3]);
  });

test("A handshake that fails counts as a connection that failed", async () => {
  await using upstream = await startUpstream((socket) => socket.on("data", () => socket.end("no TLS\r\n\r\n")));
  const cluster = { ...staticCluster("up", [upstream.port]), ...secure };
  await using rig = await startRig({ routes: routesTo("up"), clusters: [cluster] });
  assert.match(await raw(rig.port, get), /^HTTP\/1\.1 503 /);
  assert.deepEqual(countsOf(rig), [3, 3, 0, 3]);
});

for (const [name, listener] of [
  ["HTTP", {}],
  ["TCP", tcp],
] as const)
  test(`A cluster of ${name} counts a connection whose time passed, and none that was given up`, async () => {
    const clock = new ManualClock();
    const routes = { match: { prefix: "/" }, route: { cluster: "up" } };
    await using rig = await startRig({
      clock,
      listener,
      dial: () => new Socket(),
      routes: { name: "routes", virtual_hosts: [{ name: "v", domains: ["*"], routes: [routes] }] },
      clusters: [staticCluster("up", [1])],
    });
    const given = new RawClient(rig.port);
    given.send(get);
    await eventually(() => rig.cluster("up").connectionTotal === 1, "dialing");
    given.socket.resetAndDestroy();
    await eventually(() => rig.cluster("up").connectionCount === 0, "given up");
    const waiting = new RawClient(rig.port);
    waiting.send(get);
    await eventually(() => rig.cluster("up").connectionTotal === 2, "dialing");
    await clock.advance(5100);
    await waiting.over();
    assert.deepEqual(countsOf(rig), [2, 1, 1, 1]);
  });

test("A cluster of TCP counts each endpoint that refuses", async () => {
  await using upstream = await startUpstream((socket) => socket.end("hi"));
  const ports = [await refusedPort(), await refusedPort(), upstream.port];
  await using rig = await startRig({ listener: tcp, clusters: [staticCluster("up", ports)] });
  assert.equal(await raw(rig.port, ""), "hi");
  assert.deepEqual(countsOf(rig), [3, 2, 0, 2]);
});

/** Made, answered, failed, and those whose time passed. */
function requestsOf(rig: Rig): readonly number[] {
  const { requestTotal, requestSuccesses, requestErrors, requestTimeouts } = rig.cluster("up").members[0]!;
  return [requestTotal, requestSuccesses, requestErrors, requestTimeouts];
}

function routesWith(action: object): RouteConfiguration {
  const route = { match: { prefix: "/" }, route: { cluster: "up", ...action } };
  return { name: "routes", virtual_hosts: [{ name: "v", domains: ["*"], routes: [route] }] };
}

test("An endpoint counts its requests, and how they went", async () => {
  let status = "200 OK";
  await using upstream = await startAnswering(() => `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  for (const one of ["200 OK", "404 Not Found", "503 Service Unavailable"]) {
    status = one;
    await raw(rig.port, get);
  }
  assert.deepEqual(requestsOf(rig), [3, 2, 1, 0]);
});

for (const [name, action, wanted] of [
  ["the route allows", { timeout: "1s" }, [1, 0, 1, 1]],
  ["each try may", { timeout: "0s", retry_policy: { retry_on: "5xx", per_try_timeout: "1s" } }, [2, 0, 2, 2]],
] as const)
  test(`An endpoint counts requests that took longer than ${name}`, async () => {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket) => socket.on("end", () => socket.destroy()));
    const clusters = [staticCluster("up", [upstream.port])];
    await using rig = await startRig({ clock, routes: routesWith(action), clusters });
    const client = new RawClient(rig.port);
    client.send(get);
    for (let turn = 1; turn <= wanted[0]; turn++) {
      await eventually(() => rig.cluster("up").members[0]!.requestTotal === turn, "asked");
      await clock.advance(2000);
    }
    assert.match(await client.over(), /^HTTP\/1\.1 504 /);
    client.socket.end();
    assert.deepEqual(requestsOf(rig), wanted);
  });

test("An endpoint that has answered counts nothing of the back-off in which the route's time passes", async () => {
  const clock = new ManualClock();
  await using upstream = await startAnswering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
  const retry_policy = { retry_on: "5xx", retry_back_off: { base_interval: "100s", max_interval: "100s" } };
  const routes = routesWith({ timeout: "0.001s", retry_policy });
  await using rig = await startRig({ clock, routes, clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send(get);
  await eventually(() => rig.cluster("up").members[0]!.requestErrors === 1, "answered");
  await clock.advance(500);
  assert.match(await client.over(), /^HTTP\/1\.1 504 /);
  client.socket.end();
  assert.deepEqual(requestsOf(rig), [1, 0, 1, 0]);
});

test("An endpoint counts a hedged try by its answer alone", async () => {
  const clock = new ManualClock();
  const sockets: Socket[] = [];
  await using upstream = await startUpstream((socket) => socket.once("data", () => sockets.push(socket)));
  const retry_policy = { retry_on: "5xx", per_try_timeout: "1s" };
  const routes = routesWith({ timeout: "0s", retry_policy, hedge_policy: { hedge_on_per_try_timeout: true } });
  await using rig = await startRig({ clock, routes, clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send(get);
  await eventually(() => sockets.length === 1, "first");
  await clock.advance(1500);
  await eventually(() => sockets.length === 2, "second");
  sockets[0]!.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  assert.match(await client.over(), /^HTTP\/1\.1 200 /);
  client.socket.end();
  assert.deepEqual(requestsOf(rig), [2, 1, 0, 0]);
});
