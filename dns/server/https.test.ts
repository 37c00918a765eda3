/** DNS over HTTPS: answers over both versions, and connections that only cost are ended. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHTTP2, constants } from "node:http2";
import { connect } from "node:net";
import test, { after, before, describe } from "node:test";
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { makeCertificate } from "../certificate-fixture.ts";
import { ServerCounters } from "../metrics.ts";
import { listen, type TLSFiles } from "./listener.ts";
import type { Respond } from "./respond.ts";

const idleMs = 300;
const respond: Respond = (message) => Buffer.from(message);
const body = Buffer.alloc(17, 7);

async function serve(t: test.TestContext, tls?: TLSFiles): Promise<{ port: number; counters: ServerCounters }> {
  const counters = new ServerCounters();
  const listener = await listen(
    { port: 0, address: "127.0.0.1" },
    {
      scheme: "https",
      respond,
      counters,
      clock: realClock,
      log: silentLogger,
      tcp: { connectionsMax: 2, idleMs },
      ...(tls === undefined ? {} : { tls }),
    },
  );
  t.after(() => listener.close());
  return { port: listener.port, counters };
}

describe("createDoHServer()", () => {
  let tls: TLSFiles;

  before(() => {
    tls = makeCertificate();
  });

  const open: { destroy(): void }[] = [];
  after(() => open.forEach((each) => each.destroy()));

  test("ends an HTTP/1.1 connection without requests", async (t) => {
    const { port } = await serve(t);
    const socket = connect(port, "127.0.0.1");
    open.push(socket);
    socket.resume();
    await once(socket, "close", { signal: AbortSignal.timeout(5000) });
  });

  test("closes connections beyond those that it may have, and counts them", async (t) => {
    const { port, counters } = await serve(t);
    const sockets = Array.from({ length: 3 }, () => connect(port, "127.0.0.1"));
    open.push(...sockets);
    for (const socket of sockets) socket.on("error", () => socket.destroy());
    const last = sockets[2];
    assert.ok(last);
    last.resume();
    await once(last, "close", { signal: AbortSignal.timeout(5000) });
    assert.equal(counters.connectionsRefused, 1);
  });

  test("answers over HTTP/2, then ends bodies that do not come and sessions without streams", async (t) => {
    const { port } = await serve(t, tls);
    const session = connectHTTP2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    open.push(session);
    session.on("error", () => session.destroy());
    const ended = once(session, "close", { signal: AbortSignal.timeout(5000) });
    const headers = { ":method": "POST", ":path": "/dns-query", "content-type": "application/dns-message" };
    const whole = session.request(headers);
    whole.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of whole as AsyncIterable<Buffer>) chunks.push(chunk);
    assert.deepEqual(Buffer.concat(chunks), body);
    assert.equal(session.remoteSettings.maxConcurrentStreams, 100);
    const half = session.request(headers);
    half.on("error", () => half.destroy());
    half.write(body);
    half.resume();
    await once(half, "close", { signal: AbortSignal.timeout(5000) });
    assert.notEqual(half.rstCode, constants.NGHTTP2_REFUSED_STREAM);
    await ended;
  });
});
