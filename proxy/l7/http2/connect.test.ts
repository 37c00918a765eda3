/** CONNECT over HTTP/2 on either side: tunnels of one stream among others, held back, cut and refused by themselves. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type Http2Server,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { describe, it } from "node:test";
import { compileListener } from "../config/listener.ts";
import { type Rig, eventually, routesTo, startAnswering, startRig, startUpstream, staticCluster } from "../fixture.ts";

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_PROTOCOL_ERROR } = http2.constants;

/** CONNECT and everything else to cluster "up". `config` is of the tunnels' upgrade_config. */
async function rigTo(port: number, config: object, speaksHTTP2: boolean): Promise<Rig> {
  const routes = [
    {
      match: { connect_matcher: {} },
      route: { cluster: "up", upgrade_configs: [{ upgrade_type: "CONNECT", ...config }] },
    },
    { match: { prefix: "/" }, route: { cluster: "up" } },
  ];
  const options = {
    "@type": `type.googleapis.com/${optionsName}`,
    explicit_http_config: { http2_protocol_options: {} },
  };
  const cluster = staticCluster("up", [port]);
  return startRig({
    routes: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    clusters: [speaksHTTP2 ? { ...cluster, typed_extension_protocol_options: { [optionsName]: options } } : cluster],
  });
}

/** A session that is closed with its test. */
class Client implements AsyncDisposable {
  readonly session: ClientHttp2Session;

  constructor({ port }: Rig) {
    this.session = http2.connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => undefined);
  }

  connect(headers: http2.OutgoingHttpHeaders = {}, options: http2.ClientSessionRequestOptions = {}): ClientHttp2Stream {
    const stream = this.session.request({ ":method": "CONNECT", ":authority": "a:80", ...headers }, options);
    // The tests look at how it ends.
    return stream.on("error", () => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.session.destroy();
  }
}

async function statusOf(stream: ClientHttp2Stream): Promise<number> {
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  return Number(headers[":status"]);
}

/** Resolves when the stream is closed, by an error or not. */
async function closed(stream: ClientHttp2Stream): Promise<void> {
  await new Promise<void>((resolve) => stream.once("close", () => resolve()));
}

async function startHTTP2(serve: (stream: ServerHttp2Stream) => void): Promise<{ server: Http2Server; port: number }> {
  const server = http2.createServer();
  server.on("stream", (stream: ServerHttp2Stream) => serve(stream.on("error", () => undefined)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

describe("CONNECT over HTTP/2", () => {
  it("holds back who sends faster than the far end takes, in both directions", async () => {
    let far: Socket | undefined;
    await using upstream = await startUpstream((socket) => void (far = socket.pause()));
    await using rig = await rigTo(upstream.port, { connect_config: {} }, false);
    await using client = new Client(rig);
    const stream = client.connect();
    assert.equal(await statusOf(stream), 200);
    const slice = Buffer.alloc(64 * 1024, "x");
    await eventually(() => far !== undefined, "far end");
    for (let sent = 0; sent < 256; sent++) stream.write(slice);
    await eventually(() => stream.writableLength > 0, "a stream that waits");
    const turns = 2000;
    for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
    // 16 MiB were written; what the far end did not take is still at the near end, but for windows and socket buffers.
    assert.ok(stream.writableLength > 4 * 1024 * 1024, `${stream.writableLength} bytes wait`);
    const ended = once(far!, "end");
    far!.resume();
    stream.end();
    await ended;
    assert.equal(upstream.received[0]!.length, 256 * slice.length);
  });

  it("is cut on the far side when the near one resets it, and the other way round", async () => {
    const codes: number[] = [];
    const streams: ServerHttp2Stream[] = [];
    const { server, port } = await startHTTP2((stream) => {
      streams.push(stream);
      stream.on("close", () => codes.push(stream.rstCode));
      stream.respond({ ":status": 200 });
      stream.write("hello");
    });
    try {
      await using rig = await rigTo(port, {}, true);
      await using client = new Client(rig);
      const one = client.connect();
      await once(one, "data");
      const two = client.connect();
      await once(two, "data");
      one.close(NGHTTP2_CANCEL);
      await eventually(() => codes.length === 1, "reset at the far end");
      assert.deepEqual(codes, [NGHTTP2_CANCEL]);
      streams[1]!.close(NGHTTP2_INTERNAL_ERROR);
      await closed(two);
      assert.equal(two.rstCode, NGHTTP2_INTERNAL_ERROR);
      await eventually(() => rig.records.length === 2, "both records");
      assert.deepEqual(
        rig.records.map(({ status, flag }) => [status, flag]),
        [
          [200, "-"],
          [200, "UR"],
        ],
      );
      assert.deepEqual(rig.cluster("up").limits.default.used, { connections: 0, pending: 0, requests: 0, retries: 0 });
    } finally {
      server.close();
    }
  });

  it("carries the end of a side that ended before it was open", async () => {
    await using upstream = await startUpstream((socket) => void socket.on("end", () => socket.end("bye")));
    await using rig = await rigTo(upstream.port, { connect_config: {} }, false);
    await using client = new Client(rig);
    const stream = client.connect({}, { endStream: true });
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await closed(stream);
    assert.equal(text, "bye");
  });

  it("that is refused is a response, and leaves the connection to the others", async () => {
    await using upstream = await startAnswering("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
    await using rig = await rigTo(upstream.port, {}, false);
    await using client = new Client(rig);
    const refused = client.connect();
    refused.write("GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(await statusOf(refused), 407);
    refused.resume();
    await closed(refused);
    assert.equal(upstream.received.join("").includes("/behind"), false);
    const next = client.session.request({ ":path": "/", ":authority": "a" });
    assert.equal(await statusOf(next), 407);
    next.resume();
  });

  it("is opened by a status that leaves its stream open, and has no length", async () => {
    await using upstream = await startUpstream((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 204 Yes\r\nX-A: b\r\n\r\nfirst"));
      socket.on("end", () => socket.end());
    });
    await using rig = await rigTo(upstream.port, {}, false);
    await using client = new Client(rig);
    const stream = client.connect();
    const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    assert.deepEqual([headers[":status"], headers["x-a"], headers["content-length"]], [200, "b", undefined]);
    const [first] = (await once(stream, "data")) as [Buffer];
    assert.equal(first.toString(), "first");
    stream.write("second");
    await eventually(() => upstream.received[0]!.endsWith("second"), "bytes of the tunnel");
  });

  const wrong = [
    ["a length", { "content-length": "3" }, 400],
    ["no port", { ":authority": "a" }, 400],
    ["another host", { host: "b:80" }, 400],
  ] as const;
  for (const [what, headers, status] of wrong)
    it(`is refused with ${what}`, async () => {
      await using upstream = await startAnswering("HTTP/1.1 200 OK\r\n\r\n");
      await using rig = await rigTo(upstream.port, {}, false);
      await using client = new Client(rig);
      const stream = client.connect(headers);
      const code = closed(stream).then(() => stream.rstCode);
      stream.resume();
      const found = await Promise.race([statusOf(stream), code]);
      assert.ok(found === status || found === NGHTTP2_PROTOCOL_ERROR, `${found}`);
      assert.deepEqual(upstream.received, []);
    });
});

describe("extended CONNECT", () => {
  const manager =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const rds = { route_config_name: "routes", config_source: { ads: {} } };
  const router = { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" };
  const address = { socket_address: { address: "127.0.0.1", port_value: 1 } };

  for (const [http2_protocol_options, isAllowed] of [
    [undefined, false],
    [{ max_concurrent_streams: 10 }, false],
    [{ allow_connect: true }, true],
  ] as const)
    it(`is announced and taken with ${JSON.stringify(http2_protocol_options)}: ${isAllowed}`, async () => {
      await using upstream = await startUpstream((socket) => {
        socket.once("data", () => socket.end("HTTP/1.1 101 A\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
      });
      const http_filters = [{ name: "router", typed_config: router }];
      const upgrade_configs = [{ upgrade_type: "websocket" }];
      const named = { stat_prefix: "x", rds, http_filters, upgrade_configs };
      const typed_config = { "@type": manager, ...named, http2_protocol_options };
      const filter_chains = [{ filters: [{ name: "http", typed_config }] }];
      await using rig = await startRig({
        listener: compileListener({ name: "test", address, filter_chains }),
        routes: routesTo("up"),
        clusters: [staticCluster("up", [upstream.port])],
      });
      await using client = new Client(rig);
      const [settings] = (await once(client.session, "remoteSettings")) as [http2.Settings];
      assert.equal(settings.enableConnectProtocol === true, isAllowed);
      const stream = client.connect({ ":protocol": "websocket", ":scheme": "http", ":path": "/", ":authority": "a" });
      if (isAllowed) return assert.equal(await statusOf(stream), 200);
      await closed(stream);
      assert.equal(stream.rstCode, NGHTTP2_PROTOCOL_ERROR);
      assert.deepEqual(upstream.received, []);
    });
});
