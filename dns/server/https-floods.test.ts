/** DNS over HTTPS against who sends slowly, endlessly or too often: that ends, and the others are served. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHTTP2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import test, { before, describe } from "node:test";
import { connect as connectTLS, type TLSSocket } from "node:tls";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { makeCertificate } from "../certificate-fixture.ts";
import { ServerCounters } from "../metrics.ts";
import { listen, type TLSFiles } from "./listener.ts";

const idleMs = 10_000;
const post = { ":method": "POST", ":path": "/dns-query", "content-type": "application/dns-message" };
const message = Buffer.alloc(17, 7);
const path = `/dns-query?dns=${message.toString("base64url")}`;

interface Served {
  readonly port: number;
  readonly clock: ManualClock;
  /** Messages that were answered. */
  readonly answered: () => number;
}

async function serve(t: test.TestContext, tls?: TLSFiles): Promise<Served> {
  const clock = new ManualClock();
  let answered = 0;
  const respond = (bytes: Buffer): Buffer => {
    answered++;
    return Buffer.from(bytes);
  };
  const options = { scheme: "https", respond, counters: new ServerCounters(), clock, log: silentLogger } as const;
  const files = tls === undefined ? {} : { tls };
  const tcp = { connectionsMax: 10, idleMs };
  const listener = await listen({ port: 0, address: "127.0.0.1" }, { ...options, tcp, ...files });
  t.after(() => listener.close());
  return { port: listener.port, clock, answered: () => answered };
}

function openSession(t: test.TestContext, port: number): ClientHttp2Session {
  const session = connectHTTP2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  session.on("error", () => session.destroy());
  t.after(() => session.destroy());
  return session;
}

/** Status of a stream, and the code that it was reset with (0: without an error), once it is over. */
async function endOf(stream: ClientHttp2Stream): Promise<readonly [number, number]> {
  let status = 0;
  stream.on("response", (headers) => (status = headers[":status"] ?? 0));
  stream.on("error", () => undefined);
  stream.resume();
  // Not `once`: it takes the error of a reset for its own.
  await new Promise((resolve) => stream.once("close", resolve));
  return [status, stream.rstCode ?? 0];
}

/** The other streams are served: bytes that are sent now come after all that was sent before. */
async function ask(session: ClientHttp2Session): Promise<void> {
  const stream = session.request(post);
  stream.end(message);
  assert.deepEqual(await endOf(stream), [200, 0]);
}

/** HTTP/2 by hand (RFC 9113 §4.1): what Node's own side would not send. */
function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const [typeHeaders, typeReset, typeSettings, typePing, typeGoAway] = [1, 3, 4, 6, 7];
const endHeaders = 4;

/** Headers of a GET, of static table entries and a literal path (RFC 7541). */
function headersOf(stream: number, flags: number): Buffer {
  const literal = (name: number, value: string): Buffer =>
    Buffer.from(`${String.fromCharCode(name, value.length)}${value}`);
  const block = Buffer.concat([Buffer.from([0x82, 0x87]), literal(4, path), literal(1, "dns")]);
  return frame(typeHeaders, flags, stream, block);
}

interface Raw {
  readonly socket: TLSSocket;
  /** Type, stream and payload of what came. */
  readonly frames: (readonly [number, number, Buffer])[];
}

/** A connection by hand, with its preface said and the server's settings seen. */
async function openRaw(t: test.TestContext, port: number): Promise<Raw> {
  const options = { host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["h2"] };
  const socket = connectTLS(options);
  t.after(() => socket.destroy());
  socket.on("error", () => socket.destroy());
  const frames: (readonly [number, number, Buffer])[] = [];
  let unread: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
      const end = 9 + unread.readUIntBE(0, 3);
      frames.push([unread.readUInt8(3), unread.readUInt32BE(5), unread.subarray(9, end)]);
      unread = unread.subarray(end);
    }
  });
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(typeSettings, 0, 0, Buffer.alloc(0)));
  const raw = { socket, frames };
  await until(raw, ([type]) => type === typeSettings);
  socket.write(frame(typeSettings, 1, 0, Buffer.alloc(0)));
  return raw;
}

async function until({ socket, frames }: Raw, wanted: (each: Raw["frames"][number]) => boolean): Promise<void> {
  const signal = AbortSignal.timeout(5000);
  while (!frames.some(wanted)) await once(socket, "data", { signal });
}

describe("createDoHServer() over HTTP/2", () => {
  let tls: TLSFiles;
  before(() => {
    tls = makeCertificate();
  });

  test("ends a body that comes byte by byte in time, with 408, and serves other streams", async (t) => {
    const { port, clock } = await serve(t, tls);
    const session = openSession(t, port);
    const slow = session.request(post);
    const end = endOf(slow);
    slow.write(message.subarray(0, 1));
    await ask(session);
    clock.advance(idleMs - 1);
    slow.write(message.subarray(1, 2));
    await ask(session);
    assert.equal(slow.closed, false);
    clock.advance(1);
    assert.deepEqual(await end, [408, constants.NGHTTP2_NO_ERROR]);
    await ask(session);
  });

  test("ends an endless body when it is too long, with 413, and gives its window back", async (t) => {
    const { port, answered } = await serve(t, tls);
    const session = openSession(t, port);
    // Together far more than the window of the connection.
    for (let times = 0; times < 40; times++) {
      const endless = session.request(post);
      const end = endOf(endless);
      endless.write(Buffer.alloc(16_000));
      assert.deepEqual(await end, [413, constants.NGHTTP2_NO_ERROR]);
    }
    await ask(session);
    assert.equal(answered(), 1);
  });

  test("answers a GET whose body does not end, and ends its stream", async (t) => {
    const { port } = await serve(t, tls);
    const session = openSession(t, port);
    const endless = session.request({ ":method": "GET", ":path": path }, { endStream: false });
    const end = endOf(endless);
    endless.write(Buffer.alloc(100));
    assert.deepEqual(await end, [200, constants.NGHTTP2_NO_ERROR]);
    await ask(session);
  });

  test("resets a stream whose headers are too long, and serves others", async (t) => {
    const { port } = await serve(t, tls);
    const session = openSession(t, port);
    // By then it has acknowledged the settings: before that, nghttp2's own bound of 64 KiB holds.
    await ask(session);
    const long = session.request({ ...post, "x-long": "a".repeat(20_000) });
    const [status, code] = await endOf(long);
    assert.deepEqual([status, code], [0, constants.NGHTTP2_ENHANCE_YOUR_CALM]);
    await ask(session);
  });

  test("ends a connection that opens more streams than it may, and serves others", async (t) => {
    const { port } = await serve(t, tls);
    const other = openSession(t, port);
    await ask(other);
    const raw = await openRaw(t, port);
    const closed = once(raw.socket, "close", { signal: AbortSignal.timeout(5000) });
    for (let at = 0; at < 400; at++) raw.socket.write(frame(typeHeaders, endHeaders, 2 * at + 1, postBlock()));
    await closed;
    const [goAway] = raw.frames.filter(([type]) => type === typeGoAway);
    // The last stream that was taken is the hundredth.
    assert.equal(goAway?.[2].readUInt32BE(0), 199);
    assert.equal(goAway?.[2].readUInt32BE(4), constants.NGHTTP2_PROTOCOL_ERROR);
    await ask(other);
  });

  test("ends a connection that resets its streams at once, again and again", async (t) => {
    const { port, answered } = await serve(t, tls);
    const other = openSession(t, port);
    await ask(other);
    const raw = await openRaw(t, port);
    const closed = once(raw.socket, "close", { signal: AbortSignal.timeout(5000) });
    const cancel = Buffer.from([0, 0, 0, constants.NGHTTP2_CANCEL]);
    for (let at = 0; at < 5000 && raw.socket.writable; at++) {
      raw.socket.write(headersOf(2 * at + 1, endHeaders));
      raw.socket.write(frame(typeReset, 0, 2 * at + 1, cancel));
      if (at % 100 === 99) await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    assert.ok(answered() < 500, `${answered()} of 5000 were answered`);
    await ask(other);
  });

  test("ends a session that only pings", async (t) => {
    const { port, clock } = await serve(t, tls);
    const session = openSession(t, port);
    await ask(session);
    const closed = once(session, "close", { signal: AbortSignal.timeout(5000) });
    clock.advance(idleMs - 1);
    await new Promise((resolve) => session.ping(resolve));
    assert.equal(session.destroyed, false);
    clock.advance(1);
    await closed;
  });

  test("ends a connection that floods with pings and does not read", async (t) => {
    const { port } = await serve(t, tls);
    const raw = await openRaw(t, port);
    const closed = once(raw.socket, "close", { signal: AbortSignal.timeout(5000) });
    const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(typePing, 0, 0, Buffer.alloc(8))));
    for (let times = 0; times < 50; times++) raw.socket.write(pings);
    await closed;
  });
});

/** Headers of a POST whose body does not come. */
function postBlock(): Buffer {
  const literal = (name: number, value: string): Buffer =>
    Buffer.from(`${String.fromCharCode(name, value.length)}${value}`);
  const type = Buffer.from(`\x0f\x10\x17application/dns-message`);
  return Buffer.concat([Buffer.from([0x83, 0x87]), literal(4, "/dns-query"), literal(1, "dns"), type]);
}

describe("createDoHServer() over HTTP/1.1", () => {
  const head = "POST /dns-query HTTP/1.1\r\nhost: dns\r\ncontent-type: application/dns-message\r\n";

  async function exchange(t: test.TestContext, port: number, text: string): Promise<[Socket, Promise<string>]> {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => socket.destroy());
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    const closed = once(socket, "close", { signal: AbortSignal.timeout(5000) });
    await new Promise((resolve) => socket.write(text, resolve));
    return [socket, closed.then(() => Buffer.concat(chunks).toString("latin1"))];
  }

  for (const [what, framing] of [
    ["counted", "content-length: 100000\r\n\r\n"],
    ["chunked", "transfer-encoding: chunked\r\n\r\n2000\r\n"],
  ] as const) {
    test(`ends a ${what} body that is too long with 413`, async (t) => {
      const { port } = await serve(t);
      const [, said] = await exchange(t, port, `${head}${framing}${"a".repeat(5000)}`);
      assert.match(await said, /^HTTP\/1\.1 413 [\s\S]*connection: close/i);
    });
  }

  test("ends a body that comes byte by byte with 408", async (t) => {
    const { port, clock } = await serve(t);
    const [socket, said] = await exchange(t, port, `${head}content-length: 17\r\nexpect: 100-continue\r\n\r\n`);
    // What says that the headers were read.
    await once(socket, "data", { signal: AbortSignal.timeout(5000) });
    socket.write("a");
    clock.advance(idleMs);
    assert.match(await said, /HTTP\/1\.1 408 [\s\S]*connection: close/i);
  });
});
