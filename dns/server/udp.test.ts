/** The two ways over UDP, by the dozen and one by one, against one resolver: they answer alike. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import dnsPacket from "dns-packet";
import { ManualClock } from "#lib/clock.ts";
import { bindUDP } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { fixture, named } from "../fixture.ts";
import { corpus, faultOf, mutate } from "../mutations.ts";
import { createDNS, nodeCorefile } from "../state.ts";
import type { Respond } from "./respond.ts";
import { type BindAt, listenUDP, type UDPOptions } from "./udp.ts";

const ways = [
  ["by the dozen", false],
  ["one by one", true],
] as const;
const places = [
  ["IPv4", { address: "127.0.0.1", port: 0 }, "127.0.0.1"],
  ["IPv6", { address: "::1", port: 0 }, "::1"],
  ["IPv4 on a socket of both", { address: "::", port: 0 }, "127.0.0.1"],
  ["IPv6 on a socket of both", { address: "::", port: 0 }, "::1"],
] as const;

function resolver(): ReturnType<typeof createDNS> {
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger, random: seededRandom(1) });
  dns.apply(named(fixture), []);
  dns.markSynced();
  return dns;
}

async function serve(
  t: test.TestContext,
  at: BindAt,
  options: Omit<UDPOptions, "log">,
): Promise<[() => Promise<void>, number]> {
  const listener = await listenUDP(at, { ...options, log: silentLogger });
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (isOpen) await listener.close();
    isOpen = false;
  };
  t.after(close);
  return [close, listener.port];
}

async function client(t: test.TestContext, address: string): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  t.after(() => socket.close());
  socket.bind(0, address);
  await once(socket, "listening");
  socket.setRecvBufferSize(1024 * 1024);
  return socket;
}

function query(id: number, name: string): Buffer {
  return dnsPacket.encode({ type: "query", id, flags: 0x100, questions: [{ name, type: "A" }] });
}

for (const [way, isPlain] of ways) {
  for (const [family, at, target] of places) {
    test(`listenUDP() answers a burst ${way}, each query its own, over ${family}`, async (t) => {
      const clients = new Set<string>();
      const dns = resolver();
      const respond: Respond = (message, proto, address, port) => {
        clients.add(address.replace("::ffff:", ""));
        return dns.respond(message, proto, address, port);
      };
      const [, port] = await serve(t, at, { respond, counters: dns.counters, isPlain });
      const asker = await client(t, target);
      const found = new Map<number, string>();
      asker.on("message", (bytes) => {
        const { id, rcode, questions = [] } = dnsPacket.decode(bytes);
        found.set(id, `${rcode} ${questions[0]?.name}`);
      });
      // More than a batch, in one turn, so that most of them wait in the kernel together.
      const nameOf = (id: number): string => `${id % 3 === 0 ? "svc1" : `no${id}`}.testns.svc.cluster.local`;
      for (let id = 0; id < 300; id++) asker.send(query(id, nameOf(id)), port, target);
      while (found.size < 300) await once(asker, "message", { signal: AbortSignal.timeout(10_000) });
      for (const [id, text] of found) assert.equal(text, `${id % 3 === 0 ? "NOERROR" : "NXDOMAIN"} ${nameOf(id)}`);
      assert.deepEqual([...clients], [target]);
      assert.equal(dns.counters.sendFailures, 0);
    });
  }

  test(`listenUDP() sends late answers to who asked, ${way}, and none once it is closed`, async (t) => {
    const waiting: ((bytes: Buffer) => void)[] = [];
    const { counters } = resolver();
    const respond: Respond = (message) =>
      new Promise((resolve) => {
        waiting.push(() => resolve(Buffer.from(message)));
      });
    const [close, port] = await serve(
      t,
      { fd: bindUDP({ address: "127.0.0.1", port: 0 }) },
      {
        respond,
        counters,
        isPlain,
      },
    );
    const askers = await Promise.all(["a", "b", "c"].map(() => client(t, "127.0.0.1")));
    const found = askers.map(async (asker) => String(((await once(asker, "message")) as [Buffer])[0]));
    askers.forEach((asker, index) => asker.send(`message ${index}`, port, "127.0.0.1"));
    while (waiting.length < 3) await new Promise((resolve) => setImmediate(resolve));
    for (const tell of waiting.reverse()) tell(Buffer.alloc(0));
    assert.deepEqual(await Promise.all(found), ["message 0", "message 1", "message 2"]);
    askers[0]?.send("too late", port, "127.0.0.1");
    while (waiting.length < 4) await new Promise((resolve) => setImmediate(resolve));
    await close();
    waiting[3]?.(Buffer.alloc(0));
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(counters.sendFailures, 0);
  });
}

test("listenUDP() gives a datagram longer than a slot FORMERR", async (t) => {
  const dns = resolver();
  const [, port] = await serve(t, { address: "127.0.0.1", port: 0 }, { respond: dns.respond, counters: dns.counters });
  const asker = await client(t, "127.0.0.1");
  const long = Buffer.concat([query(5, "svc1.testns.svc.cluster.local"), Buffer.alloc(5000)]);
  const answers: string[] = [];
  asker.on("message", (bytes) => answers.push(dnsPacket.decode(bytes).rcode));
  for (let times = 0; times < 20; times++) asker.send(long, port, "127.0.0.1");
  while (answers.length < 20) await once(asker, "message", { signal: AbortSignal.timeout(10_000) });
  assert.deepEqual(new Set(answers), new Set(["FORMERR"]));
});

/** Bytes of responses by message number; messages of one window are under way together. */
async function answersOf(asker: Socket, port: number, messages: readonly Buffer[]): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  asker.on("message", (bytes) => found.set(bytes.readUInt16BE(0), bytes.toString("hex")));
  const end = 65_535;
  for (let from = 0; from < messages.length; from += 100) {
    for (const [index, message] of messages.slice(from, from + 100).entries()) {
      if (message.length >= 2) message.writeUInt16BE(from + index, 0);
      asker.send(message, port, "127.0.0.1");
    }
    // Datagrams of one socket come in order: its answer says that those before it had theirs.
    found.delete(end);
    asker.send(query(end, "svc1.testns.svc.cluster.local"), port, "127.0.0.1");
    while (!found.has(end)) await once(asker, "message", { signal: AbortSignal.timeout(10_000) });
  }
  found.delete(end);
  asker.removeAllListeners("message");
  return found;
}

test("listenUDP() gives 20,000 mutated messages the same bytes by the dozen as one by one", async (t) => {
  const chance = seededRandom(20_261_121);
  const random = (): number => chance.next();
  const { queries } = corpus();
  const scratch = Buffer.alloc(2048);
  const messages = Array.from({ length: 20_000 }, () =>
    Buffer.from(mutate(queries[Math.floor(random() * queries.length)] ?? scratch, scratch, random)),
  );
  const found: Map<number, string>[] = [];
  for (const [, isPlain] of ways) {
    // Without chance in the order of addresses, and without what is answered later.
    const corefile = nodeCorefile({}).replace("  loadbalance\n", "");
    const dns = createDNS({ clock: new ManualClock(), log: silentLogger, corefile });
    dns.apply(named(fixture.filter(({ externalName }) => externalName === "")), []);
    dns.markSynced();
    const options = { respond: dns.respond, counters: dns.counters, isPlain };
    const [, port] = await serve(t, { address: "127.0.0.1", port: 0 }, options);
    found.push(await answersOf(await client(t, "127.0.0.1"), port, messages));
    assert.equal(dns.counters.panics, 0);
  }
  const [batched = new Map<number, string>(), plain] = found;
  assert.ok(batched.size > 10_000, `${batched.size} answered`);
  assert.deepEqual(batched, plain);
  for (const [id, hex] of batched)
    assert.equal(faultOf(messages[id] ?? scratch, Buffer.from(hex, "hex")), undefined, `message ${id}`);
});
