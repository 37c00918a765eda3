/** A socket of all addresses: an answer leaves from the address that was asked, as connected sockets want it. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import dnsPacket from "dns-packet";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { fixture, named } from "../fixture.ts";
import { createDNS } from "../state.ts";
import { ServerCounters } from "../metrics.ts";
import type { Respond } from "./respond.ts";
import { listenUDP } from "./udp.ts";

/** Bound to, asked from, and asked. */
const places = [
  ["IPv4", "0.0.0.0", "127.0.0.1", ["127.0.0.1", "127.0.0.2", "127.0.0.3"]],
  ["IPv4 on a socket of both", "::", "127.0.0.1", ["127.0.0.1", "127.0.0.2", "127.0.0.3"]],
  ["IPv6 on a socket of both", "::", "::1", ["::1"]],
] as const;

async function serve(t: test.TestContext, address: string, respond: Respond): Promise<[number, ServerCounters]> {
  const counters = new ServerCounters();
  const listener = await listenUDP({ address, port: 0 }, { respond, counters, log: silentLogger });
  t.after(() => listener.close());
  return [listener.port, counters];
}

/** A socket that takes what comes from `to` only, as resolvers have them. */
async function asker(t: test.TestContext, from: string, to: string, port: number): Promise<Socket> {
  const socket = createSocket(from.includes(":") ? "udp6" : "udp4");
  t.after(() => socket.close());
  socket.bind(0, from);
  await once(socket, "listening");
  socket.connect(port, to);
  await once(socket, "connect");
  return socket;
}

async function answerTo(socket: Socket, message: Buffer | string): Promise<Buffer> {
  const arrived = once(socket, "message", { signal: AbortSignal.timeout(5000) });
  socket.send(message);
  const [bytes] = (await arrived) as [Buffer];
  return bytes;
}

for (const [family, address, from, targets] of places) {
  test(`listenUDP() answers each from the address that it asked, over ${family}`, async (t) => {
    const [port, counters] = await serve(t, address, (message) => Buffer.from(message));
    for (const target of targets) {
      const socket = await asker(t, from, target, port);
      for (const text of ["one", "two"]) assert.equal(String(await answerTo(socket, text)), text);
    }
    assert.equal(counters.sendFailures, 0);
  });

  test(`listenUDP() tells askers and addresses of one batch apart, at once and late, over ${family}`, async (t) => {
    const respond: Respond = (message) => {
      const answer = Buffer.from(message);
      return String(message).endsWith("late") ? new Promise((resolve) => setImmediate(resolve, answer)) : answer;
    };
    const [port, counters] = await serve(t, address, respond);
    const sockets = await Promise.all([...targets, ...targets].map((target) => asker(t, from, target, port)));
    const found = sockets.map((socket) => {
      const texts = new Set<string>();
      socket.on("message", (bytes) => texts.add(String(bytes)));
      return texts;
    });
    const wanted = sockets.map((_, at) =>
      Array.from({ length: 100 }, (__, n) => `${at} ${n} ${n % 3 === 0 ? "late" : ""}`),
    );
    // Turn by turn of all of them, so that a batch holds every pair.
    for (let n = 0; n < 100; n++) sockets.forEach((socket, at) => socket.send(wanted[at]?.[n] ?? ""));
    const signal = AbortSignal.timeout(10_000);
    await Promise.all(
      sockets.map(async (socket, at) => {
        while ((found[at]?.size ?? 0) < 100) await once(socket, "message", { signal });
      }),
    );
    assert.deepEqual(
      found,
      wanted.map((texts) => new Set(texts)),
    );
    assert.equal(counters.sendFailures, 0);
  });
}

test("listenUDP() answers cut, truncated and large messages from the address that was asked", async (t) => {
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger, random: seededRandom(1) });
  const [service] = fixture.filter(({ headless, name }) => headless && name !== "");
  assert.ok(service);
  const [endpoint] = service.endpoints;
  assert.ok(endpoint);
  const endpoints = Array.from({ length: 200 }, (_, at) => ({ ...endpoint, address: `10.244.0.${at + 1}` }));
  dns.apply(named([{ ...service, endpoints }]), []);
  dns.markSynced();
  const [port] = await serve(t, "::", dns.respond);
  const socket = await asker(t, "127.0.0.1", "127.0.0.2", port);
  const questions = [{ type: "A", name: `${service.name}.${service.namespace}.svc.cluster.local` }] as const;
  const query = dnsPacket.encode({ type: "query", id: 1, questions: [...questions] });
  const options = { type: "OPT", name: ".", udpPayloadSize: 4096, extendedRcode: 0, ednsVersion: 0, flags: 0 } as const;
  const extended = dnsPacket.encode({
    type: "query",
    id: 2,
    questions: [...questions],
    additionals: [{ ...options, flag_do: false, options: [] }],
  });
  const lengths: number[] = [];
  for (const message of [query, extended, query, extended]) {
    const answer = await answerTo(socket, message);
    assert.equal(dnsPacket.decode(answer).flag_tc, true);
    lengths.push(answer.length);
  }
  assert.ok(
    lengths.every((length, at) => length > (at % 2 === 0 ? 400 : 1000)),
    `${lengths.join(", ")} bytes`,
  );
  const cut = await answerTo(socket, Buffer.concat([query, Buffer.alloc(5000)]));
  assert.equal(dnsPacket.decode(cut).rcode, "FORMERR");
});

test("listenUDP() answers what was sent to a group from an address of its own", async (t) => {
  for (const address of ["0.0.0.0", "::"]) {
    const [port, counters] = await serve(t, address, (message) => Buffer.from(message));
    const socket = createSocket("udp4");
    t.after(() => socket.close());
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    socket.setBroadcast(true);
    const arrived = once(socket, "message", { signal: AbortSignal.timeout(5000) });
    // The broadcast address of lo.
    socket.send("all", port, "127.255.255.255");
    const [bytes, { address: from }] = (await arrived) as [Buffer, { address: string }];
    assert.deepEqual([String(bytes), from], ["all", "127.0.0.1"]);
    assert.equal(counters.sendFailures, 0);
  }
});

test("listenUDP() says that one by one, answers leave as routing has it, where that can matter", async (t) => {
  const respond: Respond = (message) => Buffer.from(message);
  for (const [address, wanted] of [
    ["0.0.0.0", 1],
    ["::", 1],
    ["127.0.0.1", 0],
  ] as const) {
    const said: string[] = [];
    const log = { ...silentLogger, warn: (message: string): void => void said.push(message) };
    const options = { respond, counters: new ServerCounters(), log, isPlain: true };
    const listener = await listenUDP({ address, port: 0 }, options);
    t.after(() => listener.close());
    assert.equal(said.filter((text) => text.endsWith("bind each address")).length, wanted, address);
  }
});
