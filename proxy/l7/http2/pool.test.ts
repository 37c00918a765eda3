/** Streams that wait for HTTP/2 connections, through the whole engine: in line, and never lost or left behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { type Rig, eventually, refusedPort, startRig, staticCluster } from "../fixture.ts";

/** An upstream that holds each stream until it is told to answer. */
class HoldingHTTP2 implements AsyncDisposable {
  readonly sessions: Set<ServerHttp2Session> = new Set();
  readonly held: ServerHttp2Stream[] = [];
  /** Most streams at once of one connection. */
  most = 0;
  total = 0;
  readonly #server: Http2Server;

  constructor(settings: http2.Settings) {
    this.#server = http2.createServer({ settings });
    this.#server.on("session", (session) => {
      this.sessions.add(session);
      session.once("close", () => this.sessions.delete(session));
    });
    this.#server.on("stream", (stream: ServerHttp2Stream) => {
      this.total++;
      this.held.push(stream);
      const all = this.held.filter(({ session, destroyed }) => session === stream.session && !destroyed);
      this.most = Math.max(this.most, all.length);
      // Resets are part of the tests.
      stream.on("error", () => undefined);
    });
  }

  static async start(settings: http2.Settings = {}): Promise<HoldingHTTP2> {
    const upstream = new HoldingHTTP2(settings);
    upstream.#server.listen(0, "127.0.0.1");
    await once(upstream.#server, "listening");
    return upstream;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Answers those that are held. */
  answer(): void {
    for (const stream of this.held.splice(0))
      if (!stream.destroyed) stream.respond({ ":status": 200 }, { endStream: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

async function rigTo(ports: readonly number[], thresholds: object, http2_protocol_options = {}): Promise<Rig> {
  const explicit_http_config = { http2_protocol_options };
  const cluster = {
    ...staticCluster("up", ports),
    circuit_breakers: { thresholds: [thresholds] },
    typed_extension_protocol_options: {
      [optionsName]: { "@type": `type.googleapis.com/${optionsName}`, explicit_http_config },
    },
  };
  const routes = [{ match: { prefix: "/" }, route: { cluster: "up" } }];
  return startRig({
    routes: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    clusters: [cluster],
  });
}

const get = async ({ port }: Rig, signal?: AbortSignal): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}/`, signal === undefined ? {} : { signal })).status;

const many = (count: number, rig: Rig): Promise<number>[] => Array.from({ length: count }, async () => get(rig));

describe("HTTP/2 streams in line", () => {
  it("are opened as others end, never more than the peer allows", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 3 });
    await using rig = await rigTo([upstream.port], { max_connections: 1 });
    const answers = [get(rig)];
    await eventually(() => upstream.held.length === 1, "first stream");
    answers.push(...many(20, rig));
    let isDone = false;
    void Promise.all(answers).then(() => (isDone = true));
    await eventually(() => {
      if (upstream.held.length > 0) upstream.answer();
      return isDone;
    }, "all answers");
    assert.deepEqual(new Set(await Promise.all(answers)), new Set([200]));
    assert.deepEqual([upstream.total, upstream.sessions.size], [21, 1]);
    assert.ok(upstream.most <= 3, `${upstream.most} at once`);
  });

  it("get more connections, as many as the streams that the peer allows make necessary", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 2 });
    await using rig = await rigTo([upstream.port], {});
    const first = get(rig);
    await eventually(() => upstream.held.length === 1, "first stream");
    const rest = many(5, rig);
    await eventually(() => upstream.held.length === 6, "all streams");
    assert.equal(upstream.sessions.size, 3);
    upstream.answer();
    assert.deepEqual(new Set(await Promise.all([first, ...rest])), new Set([200]));
  });

  it("go on with another connection when theirs says GOAWAY or breaks", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 1 });
    await using rig = await rigTo([upstream.port], { max_connections: 1 });
    const first = get(rig);
    await eventually(() => upstream.held.length === 1, "first stream");
    const rest = many(2, rig);
    await eventually(() => usedBy(rig).pending === 2, "two in line");
    for (const session of upstream.sessions) session.goaway();
    upstream.answer();
    assert.equal(await first, 200);
    await eventually(() => upstream.held.length === 1, "a stream of the next connection");
    const [broken] = upstream.held.splice(0);
    broken!.session!.destroy();
    await eventually(() => upstream.held.length === 1, "a stream of the one behind it");
    upstream.answer();
    assert.deepEqual(new Set(await Promise.all(rest)), new Set([200, 503]));
    assert.deepEqual(usedBy(rig), { connections: 0, pending: 0, requests: 0, retries: 0 });
  });

  it("leave it when their downstream is gone", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 1 });
    await using rig = await rigTo([upstream.port], { max_connections: 1 });
    const first = get(rig);
    await eventually(() => upstream.held.length === 1, "first stream");
    const given = new AbortController();
    const gone = assert.rejects(get(rig, given.signal));
    await eventually(() => usedBy(rig).pending === 1, "one in line");
    given.abort();
    await gone;
    await eventually(() => usedBy(rig).pending === 0, "nobody in line");
    upstream.answer();
    assert.equal(await first, 200);
    const next = get(rig);
    await eventually(() => upstream.held.length === 1, "the next stream");
    upstream.answer();
    assert.equal(await next, 200);
    assert.equal(upstream.total, 2);
  });

  it("are all told when the connection does not come about", async () => {
    await using rig = await rigTo([await refusedPort()], {});
    assert.deepEqual(await Promise.all(many(5, rig)), [503, 503, 503, 503, 503]);
    assert.deepEqual(new Set(rig.records.map(({ flag }) => flag)), new Set(["UF"]));
    assert.equal(rig.counters.upstreamOpen, 0);
  });

  it("wait for a peer that takes none, on one connection", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 0 });
    await using rig = await rigTo([upstream.port], { max_pending_requests: 2 });
    // The first may be on its way before the peer has said so; it is refused then.
    const first = get(rig);
    await eventually(() => upstream.sessions.size === 1, "connection");
    const [session] = upstream.sessions;
    const rest = many(2, rig);
    await eventually(() => usedBy(rig).pending >= 2 || rig.records.length > 0, "those in line");
    assert.equal(upstream.sessions.size, 1);
    session!.settings({ maxConcurrentStreams: 10 });
    let isDone = false;
    void Promise.all([first, ...rest]).then(() => (isDone = true));
    await eventually(() => {
      upstream.answer();
      return isDone;
    }, "all answers");
    assert.equal(upstream.sessions.size, 1);
  });

  it("that a cluster lost are still served", async () => {
    await using upstream = await HoldingHTTP2.start({ maxConcurrentStreams: 1 });
    await using rig = await rigTo([upstream.port], { max_connections: 1 });
    const answers = [get(rig)];
    await eventually(() => upstream.held.length === 1, "first stream");
    answers.push(...many(2, rig));
    await eventually(() => usedBy(rig).pending === 2, "two in line");
    rig.setEndpoints("up", []);
    let isDone = false;
    void Promise.all(answers).then(() => (isDone = true));
    await eventually(() => {
      upstream.answer();
      return isDone;
    }, "all answers");
    assert.deepEqual(await Promise.all(answers), [200, 200, 200]);
    await eventually(() => upstream.sessions.size === 0, "end of the connection");
  });
});

function usedBy(rig: Rig): object & { pending: number } {
  return rig.cluster("up").limits.default.used;
}
