/** Retries, weights, changes under load, hand-back and drain, end to end on loopback. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Socket } from "node:net";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import {
  RawClient,
  eventually,
  raw,
  refusedPort,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";

const getClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const postClose = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
const answer = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;

/** Sends `count` requests on one connection; resolves with the bodies. */
async function requests(
  port: number,
  count: number,
  each: (index: number) => void = () => undefined,
): Promise<string[]> {
  const client = new RawClient(port);
  const bodies: string[] = [];
  for (let index = 0; index < count; index++) {
    each(index);
    client.text = "";
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const text = await client.until("\r\n\r\n");
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
    const length = Number(/Content-Length: (\d+)/.exec(text)![1]);
    const from = text.indexOf("\r\n\r\n") + 4;
    await eventually(() => client.text.length >= from + length, "body");
    bodies.push(client.text.slice(from));
  }
  client.close();
  return bodies;
}

test("Exchange tries another endpoint when one refuses, for any method", async () => {
  await using upstream = await startAnswering(answer("up"));
  const ports = [await refusedPort(), upstream.port];
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", ports)] });
  for (const request of [getClose, postClose, getClose, postClose])
    assert.match(await raw(rig.port, request), /200 OK.*\r\n\r\nup$/s);
  assert.equal(rig.counters.retries, 2);
  assert.equal(upstream.received.join("").split("abc").length, 3);
});

test("Exchange answers 503 UF when every endpoint refuses, and 503 UH without one", async () => {
  await using rig = await startRig({
    routes: routesTo("up"),
    clusters: [staticCluster("up", [await refusedPort(), await refusedPort()])],
  });
  const refused = await raw(rig.port, getClose);
  assert.match(
    refused,
    /^HTTP\/1\.1 503 .*x-wherry-error: UF Cannot connect to an endpoint of up: connect ECONNREFUSED\r\n/s,
  );
  // Where it is, is told to the operator alone.
  assert.doesNotMatch(refused, /127\.0\.0\.1/);
  assert.match(rig.records[0]!.details!, /\{remote_connection_failure\|delayed_connect_error:_Connection_refused\}$/);
  rig.setEndpoints("up", []);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 503 .*x-wherry-error: UH /s);
  rig.setRoutes(routesTo("other"));
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 503 .*x-wherry-error: NC /s);
  rig.setRoutes({ name: "routes", virtual_hosts: [] });
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 404 .*x-wherry-error: NR /s);
  assert.deepEqual(
    rig.records.map(({ flag }) => flag),
    ["UF", "UH", "NC", "NR"],
  );
});

test("Exchange retries a reset before the first byte for GET, and not for POST", async () => {
  await using broken = await startUpstream((socket) => socket.once("data", () => socket.resetAndDestroy()));
  await using upstream = await startAnswering(answer("up"));
  const clusters = [staticCluster("up", [broken.port, upstream.port])];
  await using rig = await startRig({ routes: routesTo("up"), clusters });
  assert.match(await raw(rig.port, getClose), /\r\n\r\nup$/);
  assert.equal(broken.received.length, 1);
  rig.setEndpoints("up", [broken.port]);
  assert.match(await raw(rig.port, postClose), /^HTTP\/1\.1 503 .*x-wherry-error: UC /s);
  assert.equal(rig.counters.retries, 1);
});

test("Exchange does not retry once a byte of the response came, and passes a cut on as a reset", async () => {
  await using cut = await startUpstream((socket) =>
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")),
  );
  await using partial = await startUpstream((socket) => socket.once("data", () => socket.end("HTTP/1.1 20")));
  await using rig = await startRig({
    routes: routesTo("up"),
    clusters: [staticCluster("up", [cut.port])],
  });
  assert.doesNotMatch(await raw(rig.port, getClose), /1234/);
  assert.equal(cut.received.length, 1);
  rig.setEndpoints("up", [partial.port]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 503 .*UC/s);
  assert.equal(partial.received.length, 1);
  assert.deepEqual(
    rig.records.map(({ status, flag }) => [status, flag]),
    [
      [200, "UC"],
      [503, "UC"],
    ],
  );
});

test("Exchange makes a new connection when a kept one turns out closed", async () => {
  await using upstream = await startUpstream((socket, index) => {
    // The first connection answers once and resets at the second request, as a server that closes idle connections
    // does.
    let count = 0;
    socket.on("data", () => (index === 0 && ++count === 2 ? socket.resetAndDestroy() : socket.write(answer("up"))));
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  assert.deepEqual(await requests(rig.port, 3), ["up", "up", "up"]);
  assert.equal(upstream.received.length, 2);
});

test("Pool closes a connection that idles for 3 s, and drops one that its endpoint closed", async () => {
  const clock = new ManualClock();
  await using upstream = await startUpstream((socket) => {
    socket.on("data", () => socket.write(answer("up")));
    socket.on("end", () => socket.end());
  });
  await using rig = await startRig({ clock, routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  await requests(rig.port, 2);
  await clock.advance(2900);
  assert.equal(rig.counters.upstreamOpen, 1);
  await clock.advance(400);
  await eventually(() => rig.counters.upstreamOpen === 0, "closed after 3 s");
  await requests(rig.port, 1);
  for (const socket of upstream.sockets) socket.end();
  await eventually(() => rig.counters.upstreamOpen === 0, "dropped");
  await requests(rig.port, 1);
  assert.deepEqual([upstream.received.length, rig.counters.retries], [3, 0]);
});

test("Exchange gives up on a connection that does not come about in time", async () => {
  const clock = new ManualClock();
  const sockets: Socket[] = [];
  const dial = (): Socket => {
    const socket = new Socket();
    sockets.push(socket);
    return socket;
  };
  const clusters = [staticCluster("up", [1])];
  await using rig = await startRig({ clock, dial, routes: routesTo("up"), clusters });
  rig.setRoutes({
    name: "routes",
    virtual_hosts: [{ name: "a", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }],
  });
  const answered = raw(rig.port, getClose);
  await eventually(() => sockets.length === 1, "dialled");
  await clock.advance(5300);
  assert.match(await answered, /^HTTP\/1\.1 503 .*x-wherry-error: UF .*the connect timeout passed/s);
});

test("Exchange sends exact shares to weighted clusters", async () => {
  await using stable = await startAnswering(answer("s"));
  await using canary = await startAnswering(answer("c"));
  const clusters = [staticCluster("stable", [stable.port]), staticCluster("canary", [canary.port])];
  const weighted_clusters = {
    clusters: [
      { name: "stable", weight: 90 },
      { name: "canary", weight: 10 },
    ],
  };
  const routes: RouteConfiguration = {
    name: "routes",
    virtual_hosts: [{ name: "a", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { weighted_clusters } }] }],
  };
  await using rig = await startRig({ routes, clusters });
  const bodies = (await Promise.all([1, 2, 3, 4].map(() => requests(rig.port, 500)))).flat();
  assert.equal(bodies.filter((body) => body === "c").length, 200);
  assert.equal(bodies.length, 2000);
});

test("Exchange loses no request while routes and endpoints change under load", async () => {
  await using one = await startAnswering(answer("1"));
  await using two = await startAnswering(answer("2"));
  const clusters = [staticCluster("a", [one.port, two.port]), staticCluster("b", [two.port])];
  await using rig = await startRig({ routes: routesTo("a"), clusters });
  const change = (index: number): void => {
    if (index % 7 === 0) rig.setRoutes(routesTo(index % 2 === 0 ? "a" : "b"));
    if (index % 5 === 0) rig.setEndpoints("a", [[one.port], [two.port], [one.port, two.port]][index % 3]!);
  };
  const bodies = await Promise.all(
    [0, 1, 2, 3, 4].map((offset) => requests(rig.port, 200, (at) => change(at + offset))),
  );
  assert.equal(bodies.flat().length, 1000);
  assert.ok(rig.records.every(({ status, flag }) => status === 200 && flag === "-"));
});

test("Exchange hands back inbound what the application refuses or breaks, without an answer or a record", async () => {
  await using broken = await startUpstream((socket) => socket.once("data", () => socket.resetAndDestroy()));
  const bare: RouteConfiguration = {
    name: "routes",
    virtual_hosts: [{ name: "a", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "app" } }] }],
  };
  const inbound = {
    direction: "inbound",
    routes: bare,
    clusters: [staticCluster("app", [await refusedPort()])],
  } as const;
  await using rig = await startRig({ ...inbound, handsBack: true });
  assert.equal(await raw(rig.port, getClose), "");
  rig.setEndpoints("app", [broken.port]);
  assert.equal(await raw(rig.port, getClose), "");
  assert.deepEqual(rig.counters.handedBack, { connect: 1, reset: 1 });
  assert.equal(rig.records.length, 0);
  // Where nobody tries elsewhere.
  await using alone = await startRig(inbound);
  assert.match(await raw(alone.port, getClose), /^HTTP\/1\.1 503 /);
  alone.setEndpoints("app", [broken.port]);
  assert.match(await raw(alone.port, getClose), /^HTTP\/1\.1 503 /);
  assert.deepEqual(
    alone.records.map(({ flag }) => flag),
    ["UF", "UC"],
  );
});

test("ListenerSet.drain() ends keep-alive, waits for what is in flight, and closes what is idle", async () => {
  let release: (() => void) | undefined;
  await using upstream = await startUpstream((socket) => {
    socket.on("data", () => (release = () => socket.write(answer("late"))));
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const busy = new RawClient(rig.port);
  const idle = new RawClient(rig.port);
  busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await eventually(() => release !== undefined && rig.counters.downstreamOpen === 2, "in flight");
  const drained = rig.listeners.drain({ graceMs: 0, deadlineMs: 10_000 });
  assert.equal(await idle.over(), "");
  idle.socket.end();
  assert.equal(busy.text, "");
  release!();
  assert.match(
    await busy.over(),
    /^HTTP\/1\.1 200 OK\r\nContent-Length: 4\r\nDate: [^\r]+ GMT\r\nConnection: close\r\n\r\nlate$/,
  );
  busy.socket.end();
  await drained;
  assert.equal(rig.listeners.connectionCount, 0);
});
