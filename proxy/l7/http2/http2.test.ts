/** HTTP/2 on either side of the engine, end to end on loopback: translation, trailers, cancellation, drain, limits. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Cluster as ClusterResource } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import {
  type Rig,
  RawClient,
  eventually,
  raw,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "../fixture.ts";
import { httpDefault } from "../config/http.ts";
import { plainChain } from "../config/listener.ts";
import { http2OptionsDefault, httpOptionsDefault } from "../options.ts";

const optionsType = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** A cluster whose connections speak HTTP/2. */
function http2Cluster(name: string, port: number): ClusterResource {
  const options = { "@type": optionsType, explicit_http_config: { http2_protocol_options: {} } };
  return {
    ...staticCluster(name, [port]),
    typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
  };
}

interface HTTP2Upstream extends AsyncDisposable {
  readonly port: number;
  readonly streams: ServerHttp2Stream[];
  readonly resets: number[];
}

async function startHTTP2(
  serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  settings: http2.Settings = {},
): Promise<HTTP2Upstream> {
  const streams: ServerHttp2Stream[] = [];
  const resets: number[] = [];
  const sessions = new Set<http2.ServerHttp2Session>();
  const server = http2.createServer({ settings: { enableConnectProtocol: true, ...settings } });
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    streams.push(stream);
    // Resets are part of the tests.
    stream.on("error", () => undefined);
    stream.on("close", () => resets.push(stream.rstCode));
    serve(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    streams,
    resets,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
  readonly code: number;
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders | undefined;
  let body = "";
  stream.on("response", (received) => (headers = received));
  stream.on("trailers", (received) => (trailers = received));
  stream.on("data", (chunk: Buffer) => (body += chunk.toString()));
  stream.on("error", () => undefined);
  await new Promise<void>((resolve) => stream.once("close", resolve));
  return { headers, body, trailers, code: stream.rstCode };
}

/** Without what node:http2 adds under a symbol. */
function plain(headers: IncomingHttpHeaders | undefined): unknown {
  return JSON.parse(JSON.stringify(headers ?? null));
}

async function withClient<Result>(rig: Rig, use: (client: ClientHttp2Session) => Promise<Result>): Promise<Result> {
  const client = http2.connect(`http://127.0.0.1:${rig.port}`);
  client.on("error", () => undefined);
  try {
    return await use(client);
  } finally {
    client.destroy();
  }
}

const ok = (body: string, more = ""): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

test("HTTP/2 downstream reaches an HTTP/1 upstream, names, cookies and host translated", async () => {
  await using upstream = await startAnswering(
    ok("hello", "Keep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
  );
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const answer = await withClient(rig, async (client) =>
    answerOf(client.request({ ":path": "/a?b", ":authority": "Shop", cookie: ["x=1", "y=2"], te: "trailers" })),
  );
  assert.equal(answer.headers[":status"], 200);
  assert.equal(answer.headers["keep-alive"], undefined);
  assert.deepEqual(answer.headers["set-cookie"], ["a=1", "b=2"]);
  assert.equal(answer.body, "hello");
  assert.match(upstream.received[0]!, /^GET \/a\?b HTTP\/1\.1\r\nhost: Shop\r\ncookie: x=1; y=2\r\n/);
  assert.doesNotMatch(upstream.received[0]!, /\r\nte:/);
  assert.equal(rig.records[0]!.head!.protocol, "HTTP/2");
});

test("HTTP/2 downstream streams a body into chunks, and its trailers are dropped for HTTP/1", async () => {
  await using upstream = await startUpstream((socket) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith("0\r\n\r\n"))
        socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n");
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const answer = await withClient(rig, async (client) => {
    const stream = client.request({ ":method": "POST", ":path": "/", ":authority": "a" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-late": "1" }));
    stream.write("abc");
    stream.end("de");
    return answerOf(stream);
  });
  assert.equal(answer.body, "hi");
  assert.deepEqual(plain(answer.trailers), { "x-sum": "7" });
  assert.match(upstream.received[0]!, /transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n$/i);
});

test("HTTP/1 downstream reaches an HTTP/2 upstream", async () => {
  const seen: IncomingHttpHeaders[] = [];
  await using upstream = await startHTTP2((stream, headers) => {
    seen.push(headers);
    stream.respond({ ":status": 201, "x-a": ["1", "2"] });
    stream.end("made");
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  const text = await raw(
    rig.port,
    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Keep: 2\r\nContent-Length: 3\r\n\r\nabc",
  );
  assert.match(text, /^HTTP\/1\.1 201 Created\r\n/);
  assert.match(text, /x-a: 1\r\nx-a: 2\r\n/);
  assert.match(text, /4\r\nmade\r\n0\r\n\r\n$/);
  const { [":authority"]: authority, "x-keep": kept, "x-hop": hop, "content-length": length } = seen[0]!;
  assert.deepEqual([authority, kept, hop, length], ["a", "2", undefined, "3"]);
});

test("HTTP/2 both ways carries trailers, answers without a body, and 1xx", async () => {
  await using upstream = await startHTTP2((stream, headers) => {
    if (headers[":path"] === "/only")
      return stream.respond({ ":status": 200, "grpc-status": "5" }, { endStream: true });
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "fine" }));
    stream.pipe(stream);
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  await withClient(rig, async (client) => {
    const stream = client.request({ ":method": "POST", ":path": "/", ":authority": "a" });
    const interim: number[] = [];
    stream.on("headers", (headers) => void interim.push(Number(headers[":status"])));
    stream.end("x".repeat(300_000));
    const answer = await answerOf(stream);
    assert.equal(answer.body.length, 300_000);
    assert.deepEqual(interim, [103]);
    assert.deepEqual(plain(answer.trailers), { "grpc-status": "0", "grpc-message": "fine" });
    const only = await answerOf(client.request({ ":path": "/only", ":authority": "a" }));
    assert.equal(only.headers["grpc-status"], "5");
    assert.equal(only.body, "");
  });
  // One connection served both.
  assert.equal(rig.counters.upstreamOpen, 1);
});

test("HTTP/2 downstream that resets cancels the upstream's stream", async () => {
  await using upstream = await startHTTP2(() => undefined);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  await withClient(rig, async (client) => {
    const stream = client.request({ ":path": "/", ":authority": "a" });
    stream.on("error", () => undefined);
    await eventually(() => upstream.streams.length === 1, "stream");
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually(() => upstream.resets.length === 1, "reset");
    assert.equal(upstream.resets[0], http2.constants.NGHTTP2_CANCEL);
  });
  await eventually(() => rig.records.length === 1, "record");
  assert.equal(rig.records[0]!.flag, "DC");
});

test("HTTP/2 upstream that refuses a stream is asked again, whatever the method", async () => {
  let count = 0;
  await using upstream = await startHTTP2((stream) => {
    if (count++ === 0) return stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
    stream.respond({ ":status": 200 });
    stream.end("second");
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  const text = await raw(rig.port, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab");
  assert.match(text, /second/);
});

test("HTTP/2 upstream that resets in the middle resets the downstream, whatever it speaks", async () => {
  await using upstream = await startHTTP2((stream) => {
    stream.respond({ ":status": 200, "content-length": "10" });
    stream.write("half", () => stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR));
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  const answer = await withClient(rig, async (client) => answerOf(client.request({ ":path": "/", ":authority": "a" })));
  assert.equal(answer.code, http2.constants.NGHTTP2_INTERNAL_ERROR);
  assert.doesNotMatch(await raw(rig.port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), /half.{6}/s);
  // Its end came before the length that it said.
  assert.deepEqual(
    rig.records.map(({ flag }) => flag),
    ["UPE", "UPE"],
  );
});

test("HTTP/2 answers of the proxy tell gRPC by status and message, and others by their sentence", async () => {
  await using rig = await startRig({ routes: { name: "routes", virtual_hosts: [] }, clusters: [] });
  await withClient(rig, async (client) => {
    const head = { ":method": "POST", ":path": "/a.B/C", ":authority": "a" };
    const grpc = await answerOf(client.request({ ...head, "content-type": "application/grpc" }, { endStream: true }));
    assert.equal(grpc.headers[":status"], 200);
    assert.equal(grpc.headers["grpc-status"], "12");
    assert.match(String(grpc.headers["grpc-message"]), /^Cannot route request/);
    const text = await answerOf(client.request({ ":path": "/", ":authority": "a" }));
    assert.equal(text.headers[":status"], 404);
    assert.match(text.body, /^Cannot route request/);
  });
});

test("HTTP/2 downstream is refused a head that HTTP/1 could read otherwise", async () => {
  await using upstream = await startAnswering(ok("no"));
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  await withClient(rig, async (client) => {
    const cases: readonly http2.OutgoingHttpHeaders[] = [
      { ":authority": "a", host: "b" },
      { ":authority": "a b" },
      { ":path": "/a#b" },
      { ":path": "a", ":authority": "a" },
      { ":method": "FOO" },
    ];
    for (const one of cases) {
      const answer = await answerOf(client.request({ ":path": "/", ":authority": "a", ...one }));
      assert.ok(Number(answer.headers[":status"]) === 400 || answer.code !== 0, JSON.stringify(one));
    }
  });
  assert.equal(upstream.received.length, 0);
});

test("HTTP/2 holds back who sends faster than the other side takes, in both directions", async () => {
  let sent = 0;
  await using upstream = await startHTTP2((stream, headers) => {
    if (headers[":path"] === "/up") return void stream.pause();
    stream.respond({ ":status": 200 });
    const part = Buffer.alloc(64 * 1024);
    const push = (): void => {
      while (!stream.destroyed && sent < 100e6) {
        sent += part.length;
        if (!stream.write(part)) return void stream.once("drain", push);
      }
    };
    push();
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  await withClient(rig, async (client) => {
    const slow = client.request({ ":path": "/down", ":authority": "a" });
    slow.on("error", () => undefined);
    slow.pause();
    await eventually(() => sent > 0, "first bytes");
    await settled(() => sent);
    assert.ok(sent < 16e6, `${sent} bytes down`);
    const upload = client.request({ ":method": "POST", ":path": "/up", ":authority": "a" });
    upload.on("error", () => undefined);
    let written = 0;
    const part = Buffer.alloc(64 * 1024);
    const push = (): void => {
      while (written < 100e6) {
        written += part.length;
        if (!upload.write(part)) return void upload.once("drain", push);
      }
    };
    push();
    await settled(() => written);
    assert.ok(written < 16e6, `${written} bytes up`);
  });
});

/** Resolves once a number has stayed the same for many turns of the event loop. */
async function settled(read: () => number): Promise<void> {
  let last = read();
  for (let still = 0; still < 2000; still++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (read() !== last) still = 0;
    last = read();
  }
}

test("HTTP/2 drain announces itself, finishes what is in flight and closes", async () => {
  await using upstream = await startUpstream((socket) => socket.once("data", () => undefined));
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  await withClient(rig, async (client) => {
    const stream = client.request({ ":path": "/", ":authority": "a" });
    const answer = answerOf(stream);
    await eventually(() => upstream.sockets.size === 1, "request");
    const goaway = once(client, "goaway");
    const drained = rig.listeners.drain({ graceMs: 10, deadlineMs: 5000 });
    const [code, last] = (await goaway) as [number, number];
    assert.deepEqual([code, last], [0, 2 ** 31 - 1]);
    for (const socket of upstream.sockets) socket.write(ok("late"));
    assert.equal((await answer).body, "late");
    await drained;
  });
});

test("HTTP/2 hears at once that keep-alive ends, and of what is transient behind its next answer", async () => {
  for (const isTransient of [false, true]) {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket) => socket.once("data", () => undefined));
    const clusters = [staticCluster("up", [upstream.port])];
    await using rig = await startRig({ clock, routes: routesTo("up"), clusters });
    await withClient(rig, async (client) => {
      const answer = answerOf(client.request({ ":path": "/", ":authority": "a" }));
      await eventually(() => upstream.sockets.size === 1, "request");
      let isTold = false;
      client.once("goaway", () => (isTold = true));
      const closed = once(client, "close");
      if (isTransient) rig.listeners.keepsAlive = false;
      else rig.listeners.endKeepAlive(["outbound"]);
      if (!isTransient) await eventually(() => isTold, "GOAWAY");
      for (const socket of upstream.sockets) socket.write(ok("late"));
      assert.equal((await answer).body, "late");
      await eventually(() => isTold, "GOAWAY");
      await clock.advance(6000);
      await closed;
    });
  }
});

test("HTTP/2 connection ends that is flooded by resets", async () => {
  await using upstream = await startUpstream((socket) => socket.resume());
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  await withClient(rig, async (client) => {
    const closed = new Promise<void>((resolve) => client.once("close", resolve));
    for (let round = 0; round < 30 && !client.closed; round++) {
      for (let index = 0; index < 100; index++) {
        const stream = client.request({ ":path": "/", ":authority": "a" });
        stream.on("error", () => undefined);
        stream.close(http2.constants.NGHTTP2_CANCEL);
      }
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await closed;
  });
});

test("HTTP/2 and HTTP/1 carry WebSocket in every combination", async () => {
  const websocket = { ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", ":authority": "a" };
  await using old = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.on("data", (chunk: Buffer) => socket.write(`<${chunk.toString()}>`));
      socket.on("end", () => socket.end("bye"));
    });
  });
  await using modern = await startHTTP2((stream, headers) => {
    assert.equal(headers[":protocol"], "websocket");
    stream.respond({ ":status": 200 });
    stream.on("data", (chunk: Buffer) => stream.write(`<${chunk.toString()}>`));
    stream.on("end", () => stream.end("bye"));
  });
  const options = { ...httpOptionsDefault, http2: { ...http2OptionsDefault, allowsConnect: true } };
  const defaultChain = plainChain("http", { ...httpDefault, options, routeName: "routes", inline: undefined });
  for (const cluster of [staticCluster("up", [old.port]), http2Cluster("up", modern.port)]) {
    await using rig = await startRig({ listener: { defaultChain }, routes: routesTo("up"), clusters: [cluster] });
    const client = new RawClient(rig.port);
    client.send(
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    const head = await client.until("\r\n\r\n");
    assert.match(head, /^HTTP\/1\.1 101 /);
    // RFC 6455 §1.3 has this pair.
    if ("typed_extension_protocol_options" in cluster) assert.match(head, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
    client.send("one");
    await client.until("<one>");
    client.socket.end();
    assert.match(await client.over(), /bye$/);
    await withClient(rig, async (session) => {
      await once(session, "remoteSettings");
      const stream = session.request(websocket);
      const answer = answerOf(stream);
      stream.write("two");
      await once(stream, "response");
      stream.end();
      assert.equal((await answer).body, "<two>bye");
    });
    await eventually(() => rig.records.length === 2, `records of ${"typed_extension_protocol_options" in cluster}`);
    assert.deepEqual(
      rig.records.map(({ flag }) => flag),
      ["-", "-"],
    );
  }
  assert.match(old.received[1]!, /Sec-WebSocket-Key: .{24}\r\n/);
});

test("HTTP/2 downstream is told by a reset that a body is cut, whatever length it was said to have", async () => {
  for (const framing of ["Content-Length: 1000", "Transfer-Encoding: chunked"]) {
    await using upstream = await startUpstream((socket) => {
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n5\r\nhello\r\n`);
        setImmediate(() => socket.destroy());
      });
    });
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const frames = await framesOf(rig.port);
    const last = frames.filter(({ stream }) => stream === 1).at(-1);
    assert.deepEqual(
      [last?.type, frames.some(({ type, flags }) => type === 0 && (flags & 1) !== 0)],
      [3, false],
      framing,
    );
  }
});

test("HTTP/2 upstream is told by a reset that a request is cut", async () => {
  const ends: string[] = [];
  await using upstream = await startHTTP2((stream) => {
    stream.on("aborted", () => ends.push("aborted"));
    stream.on("end", () => ends.push(stream.rstCode === 0 ? "whole" : "end"));
    stream.resume();
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [http2Cluster("up", upstream.port)] });
  const client = new RawClient(rig.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  await eventually(() => upstream.streams.length > 0, "request");
  client.socket.resetAndDestroy();
  await eventually(() => upstream.resets.length > 0, "reset");
  assert.ok(!ends.includes("whole"), ends.join());
});

test("HTTP/2 request goes out before its body, on a connection that is used again, too", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      if (text.startsWith("POST")) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      else socket.write(ok("x"));
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  await withClient(rig, async (client) => {
    await answerOf(client.request({ ":path": "/", ":authority": "a" }));
    const post = client.request({ ":method": "POST", ":path": "/", ":authority": "a", expect: "100-continue" });
    await once(post, "continue");
    const answer = answerOf(post);
    post.end("body");
    assert.equal((await answer).body, "x");
  });
  assert.equal(upstream.received.length, 1);
});

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

/** What a server sends on a GET of stream 1, until it resets or ends that. */
async function framesOf(port: number): Promise<Frame[]> {
  const client = new RawClient(port);
  const frame = (type: number, flags: number, stream: number, payload: Buffer): string => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]).toString("latin1");
  };
  // RFC 7541 §6.1: GET, http and / of the static table; §6.2.2: a literal authority.
  const list = Buffer.from([0x82, 0x86, 0x84, 0x01, 0x01, "a".charCodeAt(0)]);
  client.send(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frame(4, 0, 0, Buffer.alloc(0))}${frame(1, 5, 1, list)}`);
  const read = (): Frame[] => {
    const bytes = Buffer.from(client.text, "latin1");
    const frames: Frame[] = [];
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
      frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, stream: bytes.readUInt32BE(at + 5) & 0x7fffffff });
    return frames;
  };
  const isOver = ({ type, flags, stream }: Frame): boolean => stream === 1 && (type === 3 || (flags & 1) !== 0);
  await eventually(() => read().some(isOver), "the end of the stream");
  client.close();
  return read();
}
