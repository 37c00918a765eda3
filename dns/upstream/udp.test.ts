/** Sockets that cannot be had: said once, tried again. Upstreams that are not there. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import { ManualClock, realClock } from "#lib/clock.ts";
import { bindUDP } from "#lib/linux.ts";
import { type Logger, silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { encodeQuestion, startUpstream, usual } from "../plugin-fixture.ts";
import { inheritedTransport, plainTransport, type UpstreamListener, type UpstreamTransport } from "../transport.ts";
import { parseQuery } from "../wire/query.ts";
import { UDPExchange } from "./udp.ts";

test("ask() tries again for sockets after a failure, and logs the failure once", async (t) => {
  const upstream = await startUpstream(t);
  const logged: string[] = [];
  const note = (message: string): void => void logged.push(message);
  const log: Logger = { debug: note, info: note, warn: note, error: note, with: () => log };
  let failuresLeft = 2;
  const exchange = new UDPExchange({
    clock: realClock,
    random: seededRandom(1),
    log,
    transport: {
      ...plainTransport,
      udp: (to) => (failuresLeft-- > 0 ? Promise.reject(new Error("EMFILE")) : plainTransport.udp(to)),
    },
  });
  t.after(() => exchange.close());
  const query = parseQuery(encodeQuestion("www.outside.test A"));
  assert.ok(query.kind === "query");
  const to = { address: "127.0.0.1", port: upstream.port };
  const ask = { query, keepsCase: true, timeoutMs: 5000 };
  assert.equal(await exchange.ask(to, ask), undefined);
  assert.equal(await exchange.ask(to, ask), undefined);
  assert.deepEqual(logged, ["Cannot open sockets to upstreams: the next query tries again"]);
  assert.equal((await exchange.ask(to, ask))?.kind, "message");
});

const noTCP: UpstreamTransport["tcp"] = () => Promise.reject(new Error("no TCP here"));
const bound = (): number => bindUDP({ address: "0.0.0.0", port: 0 });
const transports = [
  ["connected sockets", (): UpstreamTransport => plainTransport],
  ["sockets that all share", (): UpstreamTransport => inheritedTransport([bound(), bound()], noTCP)],
] as const;

for (const [what, open] of transports)
  test(`ask() hears at once that nobody listens, from every upstream by itself, by ${what}`, async (t) => {
    const upstream = await startUpstream(t);
    const gone = createSocket("udp4");
    gone.bind(0, "127.0.0.1");
    await once(gone, "listening");
    const dead = { address: "127.0.0.1", port: gone.address().port };
    gone.close();
    await once(gone, "close");
    const clock = new ManualClock();
    const random = seededRandom(1);
    const exchange = new UDPExchange({ clock, random, log: silentLogger, transport: open() });
    t.after(() => exchange.close());
    const query = parseQuery(encodeQuestion("www.outside.test A"));
    assert.ok(query.kind === "query");
    // The clock stands still: who waits for its deadline waits for good.
    const ask = { query, keepsCase: true, timeoutMs: 5000 };
    const here = { address: "127.0.0.1", port: upstream.port };
    const asked = Array.from({ length: 40 }, (_, index) => exchange.ask(index % 2 === 0 ? dead : here, ask));
    const found = await Promise.all(asked);
    assert.deepEqual(
      found.map((reply) => reply?.kind),
      Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? undefined : "message")),
    );
    assert.equal(exchange.unexpected, 0);
  });

test("ask() takes other sockets when those it has hear nothing for long", async (t) => {
  const upstream = await startUpstream(t, () => []);
  const clock = new ManualClock();
  let opened = 0;
  const transport: UpstreamTransport = { ...plainTransport, udp: (to) => (opened++, plainTransport.udp(to)) };
  const exchange = new UDPExchange({ clock, random: seededRandom(1), log: silentLogger, transport });
  t.after(() => exchange.close());
  const query = parseQuery(encodeQuestion("www.outside.test A"));
  assert.ok(query.kind === "query");
  const to = { address: "127.0.0.1", port: upstream.port };
  const ask = (): Promise<unknown> => exchange.ask(to, { query, keepsCase: false, timeoutMs: 2000 });
  /** Asks and waits for the deadline; how often sockets were opened. */
  const miss = async (): Promise<number> => {
    const before = upstream.asked.length;
    const asked = ask();
    while (upstream.asked.length === before) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(2000);
    assert.equal(await asked, undefined);
    return opened;
  };
  const found: number[] = [];
  for (let times = 0; times < 7; times++) found.push(await miss());
  assert.deepEqual(found, [1, 1, 1, 1, 1, 2, 2]);
  upstream.behave(usual);
  await ask();
  await clock.advance(20_000);
  await ask();
  assert.equal(opened, 2);
});

test("ask() ends by a report of the network only where that has the question's id", async (t) => {
  let sent: Buffer | undefined;
  let listener: UpstreamListener | undefined;
  const transport: UpstreamTransport = {
    ...plainTransport,
    isConnected: false,
    udp: () =>
      Promise.resolve([
        {
          send: (bytes, _to, done) => {
            sent = bytes;
            done(null);
          },
          hear: (given) => void (listener = given),
          close: () => undefined,
        },
      ]),
  };
  const exchange = new UDPExchange({ clock: new ManualClock(), random: seededRandom(1), log: silentLogger, transport });
  t.after(() => exchange.close());
  const query = parseQuery(encodeQuestion("www.outside.test A"));
  assert.ok(query.kind === "query");
  const to = { address: "192.0.2.53", port: 53 };
  let isOver = false;
  const asked = exchange.ask(to, { query, keepsCase: true, timeoutMs: 5000 }).finally(() => (isOver = true));
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(sent !== undefined && listener !== undefined);
  const forged = Buffer.from(sent);
  forged.writeUInt16BE(forged.readUInt16BE(0) ^ 1, 0);
  for (const [bytes, place] of [
    [forged, to],
    [Buffer.alloc(0), to],
    [sent, { ...to, port: 54 }],
    [sent, { ...to, address: "192.0.2.54" }],
  ] as const) {
    listener.undelivered(bytes, place);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isOver, false);
  }
  assert.equal(exchange.unexpected, 4);
  listener.undelivered(sent.subarray(0, 2), to);
  assert.equal(await asked, undefined);
});
