/** TCP connections through tunnels that an upstream is asked for: back-pressure, ends, breaks, refusals. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { describe, it } from "node:test";
import { compileListener } from "./config/listener.ts";
import {
  RawClient,
  type Rig,
  type Upstream,
  eventually,
  raw,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";

const tcpType = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

function listenerWith(fields: object): ReturnType<typeof compileListener> {
  const config = { "@type": tcpType, stat_prefix: "t", cluster: "up", ...fields };
  return compileListener({
    name: "l",
    address: { socket_address: { address: "127.0.0.1", port_value: 1 } },
    filter_chains: [{ filters: [{ name: "tcp", typed_config: config }] }],
  });
}

async function rigTo(ports: readonly number[], fields: object, speaksHTTP2 = false): Promise<Rig> {
  const tunneling_config = { hostname: "far.example:443" };
  const explicit_http_config = { http2_protocol_options: {} };
  const options = { [optionsName]: { "@type": `type.googleapis.com/${optionsName}`, explicit_http_config } };
  const cluster = staticCluster("up", ports);
  return startRig({
    listener: listenerWith({ tunneling_config, ...fields }),
    clusters: [speaksHTTP2 ? { ...cluster, typed_extension_protocol_options: options } : cluster],
  });
}

/** An HTTP/1 proxy that answers CONNECT by `answer`, and then leaves the socket to `serve`. */
async function startProxy(answer: string, serve?: (socket: Socket) => void): Promise<Upstream> {
  return startUpstream((socket) => {
    let head = "";
    const onData = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", onData);
      socket.write(answer);
      serve?.(socket);
    };
    socket.on("data", onData);
    socket.on("end", () => socket.end());
  });
}

const opened = "HTTP/1.1 200 OK\r\n\r\n";
const nothingUsed = { connections: 0, pending: 0, requests: 0, retries: 0 };

describe("tunneling_config", () => {
  it("reads nothing before the tunnel is open, and passes the end of either side", async () => {
    let far: Socket | undefined;
    await using upstream = await startUpstream((socket) => {
      far = socket;
      socket.on("end", () => socket.end("bye"));
    });
    await using rig = await rigTo([upstream.port], {});
    const client = new RawClient(rig.port);
    client.send("early");
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "CONNECT alone");
    far!.write(`${opened}first `);
    await client.until("first ");
    client.socket.end(" late");
    assert.equal(await client.over(), "first bye");
    assert.match(
      upstream.received[0]!,
      /^CONNECT far\.example:443 HTTP\/1\.1\r\nHost: far\.example:443\r\n\r\nearly late$/,
    );
    await eventually(() => rig.tcpRecords.length === 1, "record");
    const { requestTotal, requestSuccesses, requestErrors } = rig.cluster("up").members[0]!;
    assert.deepEqual([requestTotal, requestSuccesses, requestErrors], [1, 1, 0]);
    const { flag, receivedBytes, sentBytes } = rig.tcpRecords[0]!;
    assert.deepEqual([flag, receivedBytes, sentBytes], ["-", 10, 9]);
    assert.deepEqual(rig.cluster("up").limits.default.used, nothingUsed);
    await eventually(() => rig.counters.upstreamOpen === 0, "no connection");
  });

  it("holds back who sends faster than the other side takes, in both directions", async () => {
    const slice = Buffer.alloc(64 * 1024, "x");
    let far: Socket | undefined;
    await using upstream = await startProxy(opened, (socket) => {
      far = socket.pause();
      for (let sent = 0; sent < 512; sent++) socket.write(slice);
    });
    await using rig = await rigTo([upstream.port], {});
    const client = new RawClient(rig.port);
    client.socket.pause();
    for (let sent = 0; sent < 512; sent++) client.socket.write(slice);
    await eventually(() => far !== undefined, "tunnel");
    for (let turn = 0; turn < 2000; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    // 32 MiB each way: what the socket buffers do not hold still waits at its sender.
    assert.ok(client.socket.writableLength > 8 * 1024 * 1024, `${client.socket.writableLength} bytes wait`);
    assert.ok(far!.writableLength > 8 * 1024 * 1024, `${far!.writableLength} bytes wait`);
    client.close();
    await eventually(() => upstream.sockets.size === 0, "the far side's end");
    assert.equal(rig.tcpRecords.length, 1);
  });

  it("shares one HTTP/2 connection, and resets one tunnel alone", async () => {
    const streams: ServerHttp2Stream[] = [];
    const server = http2.createServer();
    const sessions: ServerHttp2Session[] = [];
    server.on("session", (session) => sessions.push(session));
    server.on("stream", (stream: ServerHttp2Stream) => {
      streams.push(stream.on("error", () => undefined));
      stream.respond({ ":status": 200 });
      stream.on("data", (chunk: Buffer) => stream.write(`echo:${chunk.toString()}`));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      await using rig = await rigTo([(server.address() as AddressInfo).port], {}, true);
      const one = new RawClient(rig.port);
      one.send("one");
      await one.until("echo:one");
      const two = new RawClient(rig.port);
      two.send("two");
      await two.until("echo:two");
      assert.equal(sessions.length, 1);
      streams[0]!.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      await one.over();
      two.send("more");
      await two.until("echo:more");
      one.close();
      two.socket.resetAndDestroy();
      await eventually(() => streams[1]!.closed, "the far side's reset");
      assert.notEqual(streams[1]!.rstCode, http2.constants.NGHTTP2_NO_ERROR);
      assert.deepEqual(rig.cluster("up").limits.default.used, nothingUsed);
    } finally {
      for (const session of sessions) session.destroy();
      server.close();
    }
  });

  it("asks the next endpoint where it may, and else resets the downstream with flag UF", async () => {
    await using refusing = await startProxy("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    await using taking = await startProxy(opened, (socket) => socket.end("taken"));
    await using rig = await rigTo([refusing.port, taking.port], { max_connect_attempts: 2 });
    for (const _ of [1, 2]) assert.equal(await raw(rig.port, "x"), "taken");
    assert.equal(refusing.received.length, 1);
    await using once_ = await rigTo([refusing.port], {});
    assert.equal(await raw(once_.port, "x"), "");
    assert.equal(once_.tcpRecords[0]!.flag, "UF");
    await eventually(() => refusing.sockets.size === 0, "connections of refused tunnels closed");
  });

  it("asks for no host that a downstream made up", async () => {
    await using upstream = await startProxy(opened);
    // A connection without a server name names nothing.
    await using rig = await rigTo([upstream.port], { tunneling_config: { hostname: "%REQUESTED_SERVER_NAME%" } });
    assert.equal(await raw(rig.port, "x"), "");
    assert.equal(rig.tcpRecords[0]!.flag, "UF");
    assert.deepEqual(upstream.received, []);
  });

  it("is refused by the path of what it does not do", () => {
    for (const field of ["use_post", "propagate_response_headers", "propagate_response_trailers"])
      assert.throws(
        () => listenerWith({ tunneling_config: { hostname: "a:1", [field]: true } }),
        new RegExp(`tunneling_config\\.${field}`),
      );
    assert.throws(() => listenerWith({ tunneling_config: {} }), /tunneling_config\.hostname/);
    assert.throws(() => listenerWith({ tunneling_config: { hostname: "%NO%" } }), /tunneling_config\.hostname/);
  });
});
