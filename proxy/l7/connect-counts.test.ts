/** Connections that do not come about, through the whole engine: each counts once, with the tries that waited for it. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
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

test("An endpoint counts its requests, and how they went", async () => {
  let status = "200 OK";
  await using upstream = await startAnswering(() => `HTTP/1.1 ${status}\r\nContent-Length: 0\r\n\r\n`);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  for (const one of ["200 OK", "404 Not Found", "503 Service Unavailable"]) {
    status = one;
    await raw(rig.port, get);
  }
  rig.setEndpoints("up", [upstream.port]);
  const { requestTotal, requestSuccesses, requestErrors, requestTimeouts } = rig.cluster("up").members[0]!;
  assert.deepEqual([requestTotal, requestSuccesses, requestErrors, requestTimeouts], [3, 2, 1, 0]);
});

for (const [name, times, wanted] of [
  ["the route", { timeout: "0.1s" }, [1, 0, 1, 1]],
  ["each try", { timeout: "0s", retry_policy: { retry_on: "5xx", per_try_timeout: "0.1s" } }, [2, 0, 2, 2]],
] as const)
  test(`An endpoint counts requests that took longer than ${name} allows`, async () => {
    await using upstream = await startUpstream((socket) => socket.on("end", () => socket.destroy()));
    const route = { match: { prefix: "/" }, route: { cluster: "up", ...times } };
    const routes = { name: "routes", virtual_hosts: [{ name: "v", domains: ["*"], routes: [route] }] };
    await using rig = await startRig({ routes, clusters: [staticCluster("up", [upstream.port])] });
    assert.match(await raw(rig.port, get), /^HTTP\/1\.1 504 /);
    const { requestTotal, requestSuccesses, requestErrors, requestTimeouts } = rig.cluster("up").members[0]!;
    assert.deepEqual([requestTotal, requestSuccesses, requestErrors, requestTimeouts], wanted);
  });
