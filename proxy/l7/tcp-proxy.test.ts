/** TCP chains and protocol detection, end to end on loopback. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Socket, connect, createServer } from "node:net";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { httpDefault } from "./config/http.ts";
import { plainChain } from "./config/listener.ts";
import { plainTCP } from "./config/tcp.ts";
import { detectProtocol } from "./detect.ts";
import {
  RawClient,
  type RigOptions,
  eventually,
  listenOn,
  raw,
  refusedPort,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";
import { resetSocket } from "./tcp.ts";

const tcpChain = plainChain("tcp", plainTCP("tcp"));
const httpFilter = { ...httpDefault, routeName: "routes", inline: undefined };
const httpChain = plainChain("http", httpFilter, ["http/1.1", "h2c"]);
const tcp: NonNullable<RigOptions["listener"]> = { defaultChain: tcpChain };
const detecting: NonNullable<RigOptions["listener"]> = { chains: [httpChain], defaultChain: tcpChain, detects: true };

test("TCPProxy passes bytes and half-closes both ways", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.on("end", () => socket.end("after your end"));
  });
  await using rig = await startRig({ listener: tcp, clusters: [staticCluster("tcp", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.socket.end("hello");
  assert.equal(await client.over(), "after your end");
  assert.equal(upstream.received[0], "hello");
  await eventually(() => rig.tcpRecords.length === 1, "record");
  assert.deepEqual([rig.tcpRecords[0]!.receivedBytes, rig.tcpRecords[0]!.sentBytes], [5, 14]);
  assert.notEqual(rig.tcpRecords[0]!.upstream, undefined);
  assert.ok(rig.tcpRecords[0]!.durationMs > 0);
});

test("TCPProxy tries another endpoint, and resets the downstream when none takes it", async () => {
  await using upstream = await startUpstream((socket) => socket.end("hi"));
  const dead = await refusedPort();
  await using rig = await startRig({ listener: tcp, clusters: [staticCluster("tcp", [dead, upstream.port])] });
  for (const _ of [1, 2]) assert.equal(await raw(rig.port, ""), "hi");
  rig.setEndpoints("tcp", [dead]);
  assert.equal(await raw(rig.port, "x"), "");
  rig.setEndpoints("tcp", []);
  assert.equal(await raw(rig.port, "x"), "");
  assert.deepEqual(
    rig.tcpRecords.slice(-2).map(({ flag }) => flag),
    ["UF", "UH"],
  );
});

test("TCPProxy refuses what goes beyond max_connections, and gives back what it took", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.write("hi");
    socket.on("end", () => socket.end());
  });
  const dead = await refusedPort();
  const limited = { circuit_breakers: { thresholds: [{ max_connections: 1 }] } };
  const cluster = { ...staticCluster("tcp", [dead, upstream.port]), ...limited };
  await using rig = await startRig({ listener: tcp, clusters: [cluster] });
  const first = new RawClient(rig.port);
  await first.until("hi");
  assert.deepEqual([await raw(rig.port, ""), await raw(rig.port, "")], ["", ""]);
  assert.deepEqual(
    rig.tcpRecords.map(({ flag }) => flag),
    ["UO", "UO"],
  );
  assert.equal(rig.cluster("tcp").connectionOverflows, 2);
  first.socket.end();
  await first.over();
  await eventually(() => rig.cluster("tcp").connectionCount === 0, "given back");
  assert.equal(rig.counters.upstreamOpen, 0);
  const next = new RawClient(rig.port);
  await next.until("hi");
  next.socket.end();
  await next.over();
});

test("TCPProxy gives back the place of a connection whose downstream left while it was made", async () => {
  const limited = { circuit_breakers: { thresholds: [{ max_connections: 1 }] } };
  const silent = (): Socket => new Socket();
  const cluster = { ...staticCluster("tcp", [1]), ...limited };
  await using rig = await startRig({ dial: silent, listener: tcp, clusters: [cluster] });
  const client = new RawClient(rig.port);
  await eventually(() => rig.cluster("tcp").connectionCount === 1, "dialing");
  client.socket.resetAndDestroy();
  await eventually(() => rig.cluster("tcp").connectionCount === 0, "given back");
  assert.equal(rig.tcpRecords[0]?.flag, "DC");
});

test("TCPProxy tells outlier detection of each connection that failed or came about", async () => {
  await using upstream = await startUpstream((socket) => socket.end("hi"));
  const dead = await refusedPort();
  const outlier_detection = { consecutive_5xx: 2, max_ejection_percent: 50, interval: "3600s" };
  const cluster = { ...staticCluster("tcp", [dead, upstream.port]), outlier_detection };
  await using rig = await startRig({ listener: tcp, clusters: [cluster] });
  for (const _ of [1, 2, 3, 4]) assert.equal(await raw(rig.port, ""), "hi");
  assert.deepEqual(
    rig.cluster("tcp").members.map(({ outlier }) => outlier.isEjected),
    [true, false],
  );
  const { inGatewayRow, successes } = rig.cluster("tcp").members[1]!.outlier;
  assert.deepEqual([inGatewayRow, successes], [0, 4]);
});

test("ListenerSet sends HTTP to the HTTP chain and the rest to the TCP chain", async () => {
  await using web = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nweb");
  await using other = await startUpstream((socket) => socket.once("data", () => socket.end("other")));
  await using rig = await startRig({
    listener: detecting,
    routes: routesTo("web"),
    clusters: [staticCluster("web", [web.port]), staticCluster("tcp", [other.port])],
  });
  assert.match(await raw(rig.port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /web$/);
  for (const bytes of ["\x16\x03\x01\x02\x00", "GET key\r\n"]) assert.equal(await raw(rig.port, bytes), "other");
  assert.equal(other.received.join("|"), "\x16\x03\x01\x02\x00|GET key\r\n");
  const client = new RawClient(rig.port);
  client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  // A SETTINGS frame: type 4, no flags, stream 0.
  await client.until("\x04\x00\x00\x00\x00\x00");
  client.close();
});

test("ListenerSet lets the server speak first once the downstream was silent for the detection's time", async () => {
  const clock = new ManualClock();
  await using mysql = await startUpstream((socket) => socket.write("greeting"));
  await using rig = await startRig({
    clock,
    listener: detecting,
    routes: routesTo("web"),
    clusters: [staticCluster("tcp", [mysql.port])],
  });
  const client = new RawClient(rig.port);
  await eventually(() => rig.wheel.size === 1, "detecting");
  await clock.advance(1200);
  await client.until("greeting");
  client.close();
  assert.equal(rig.counters.detectTimeouts, 1);
});

test("detectProtocol() knows HTTP by its whole request line, byte by byte", () => {
  const rows: readonly (readonly [string, ReturnType<typeof detectProtocol>])[] = [
    ["GET / HTTP/1.1\r\n", "http/1.1"],
    ["\r\nGET / HTTP/1.1\r\n", "http/1.1"],
    ["M-SEARCH * HTTP/1.0\n", "http/1.1"],
    ["GET / HTTP/1.1", undefined],
    ["GE", undefined],
    ["PRI * HT", undefined],
    ["P", undefined],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c"],
    ["SET a b\r\n", "other"],
    ["get / HTTP/1.1\r\n", "other"],
    ["*1\r\n", "other"],
    ["\x00", "other"],
    ["ABCDEFGHIJKLMNOPQRSTUVWXYZ", "other"],
    [`GET /${"a".repeat(9000)}`, "http/1.1"],
  ];
  for (const [text, wanted] of rows)
    assert.equal(detectProtocol(Buffer.from(text, "latin1")), wanted, JSON.stringify(text));
});

test("resetSocket() closes a socket whose end is on its way", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined).resume();
    socket.end();
    resetSocket(socket);
  });
  const client = connect({ port: await listenOn(server), host: "127.0.0.1" });
  client.on("error", () => undefined).resume();
  await once(client, "close");
  server.close();
  await eventually(() => !process.getActiveResourcesInfo().includes("TCPSocketWrap"), "no handle that Node.js lost");
});
