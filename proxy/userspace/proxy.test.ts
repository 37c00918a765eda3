/** The userspace mode over loopback: Services and endpoints are addresses of 127.0.0.0/8. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import test, { type TestContext } from "node:test";
import type { ServiceResource } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { createLogger, silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import type { Exec } from "../l4/exec.ts";
import { endpoint, named, port, service } from "../l4/fixture.ts";
import type { NodeProxy } from "../state.ts";
import { removeAddresses } from "./addresses.ts";
import { createUserspaceProxy } from "./proxy.ts";

const vip = "127.99.0.1";

async function serve(t: TestContext, address: string, answer: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    answer(socket);
  });
  server.listen({ host: address, port: 0 });
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port that nothing has at this moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen({ host: vip, port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function start(t: TestContext): NodeProxy {
  const facts = { serviceCIDRs: [], dnsVIP: "", nodeName: "n1" };
  const exec = (): Promise<never> => Promise.reject(new Error("not here"));
  const proxy = createUserspaceProxy({ exec, clock, random: seededRandom(1), log: silentLogger, facts });
  t.after(() => proxy.close());
  proxy.markSynced();
  return proxy;
}

async function apply(proxy: NodeProxy, ...services: readonly ServiceResource[]): Promise<void> {
  proxy.apply(named(...services), []);
  await proxy.programmed();
}

async function call(number: number, from = "127.0.0.1"): Promise<string> {
  const socket = connect({ host: vip, port: number, localAddress: from });
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

test("TCP connections go to the endpoints in turn, past one that refuses", async (t) => {
  const backends = [];
  for (const name of ["a", "b"])
    backends.push(endpoint(`127.0.0.1:${await serve(t, "127.0.0.1", (socket) => socket.end(name))}`));
  const [proxy, number] = [start(t), await freePort()];
  const web = (endpoints: readonly ReturnType<typeof endpoint>[]): ServiceResource =>
    service("web", vip, { ports: [port(number)], endpoints });
  await apply(proxy, web(backends));
  assert.deepEqual([await call(number), await call(number), await call(number)], ["a", "b", "a"]);
  const dead = endpoint(`127.77.0.1:${await freePort()}`);
  await apply(proxy, web([dead, ...backends.slice(0, 1)]));
  assert.deepEqual([await call(number), await call(number)], ["a", "a"]);
  await apply(proxy, web([]));
  await assert.rejects(call(number), { code: "ECONNREFUSED" });
});

test("half-close, back-pressure and resets pass through", async (t) => {
  let isReading: (() => void) | undefined;
  const reads = new Promise<void>((resolve) => (isReading = resolve));
  const upstreamPort = await serve(t, "127.0.0.1", (socket) => {
    let bytes = 0;
    // Reads nothing before it is told to.
    void reads.then(() => socket.on("data", (chunk) => (bytes += chunk.length)));
    socket.on("end", () => socket.end(`got ${bytes}`));
  });
  const [proxy, number] = [start(t), await freePort()];
  const endpoints = [endpoint(`127.0.0.1:${upstreamPort}`)];
  await apply(proxy, service("web", vip, { ports: [port(number)], endpoints }));
  const socket = connect({ host: vip, port: number });
  const total = 32 * 1024 * 1024;
  socket.end(Buffer.alloc(total));
  // Time in which a relay without back-pressure would have taken it all.
  await clock.sleep(200);
  assert.ok(socket.bytesWritten <= total && socket.writableLength > 0, "the writer is held up");
  isReading?.();
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  assert.equal(text, `got ${total}`);
});

test("a reset of the endpoint is one for the caller", async (t) => {
  const upstreamPort = await serve(t, "127.0.0.1", (socket) => socket.once("data", () => socket.resetAndDestroy()));
  const [proxy, number] = [start(t), await freePort()];
  const endpoints = [endpoint(`127.0.0.1:${upstreamPort}`)];
  await apply(proxy, service("web", vip, { ports: [port(number)], endpoints }));
  const socket = connect({ host: vip, port: number });
  socket.write("x");
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
});

test("session affinity keeps a source at its endpoint while that is there", async (t) => {
  const backends = [];
  for (const name of ["a", "b"])
    backends.push(endpoint(`127.0.0.1:${await serve(t, "127.0.0.1", (socket) => socket.end(name))}`));
  const [proxy, number] = [start(t), await freePort()];
  const web = { ports: [port(number)], affinitySeconds: 100 };
  await apply(proxy, service("web", vip, { ...web, endpoints: backends }));
  const first = await call(number);
  assert.deepEqual([await call(number), await call(number)], [first, first]);
  assert.notEqual(await call(number, "127.0.0.5"), first);
  await apply(
    proxy,
    service("web", vip, { ...web, endpoints: backends.slice(first === "a" ? 1 : 0, first === "a" ? 2 : 1) }),
  );
  assert.notEqual(await call(number), first);
});

test("UDP callers have sessions, which end with their endpoint", async (t) => {
  const backends = [];
  for (const name of ["a", "b"]) {
    const socket = createSocket("udp4");
    socket.on("message", (data, from) => socket.send(`${name} ${String(data)}`, from.port, from.address));
    socket.bind({ address: "127.0.0.1", port: 0 });
    await once(socket, "listening");
    t.after(() => socket.close());
    backends.push(endpoint(`127.0.0.1:${socket.address().port}`));
  }
  const [proxy, number] = [start(t), await freePort()];
  const ports = [port(number, "UDP")];
  await apply(proxy, service("echo", vip, { ports, endpoints: backends }));
  const caller = createSocket("udp4");
  t.after(() => caller.close());
  const ask = async (text: string): Promise<string> => {
    caller.send(text, number, vip);
    const [data] = (await once(caller, "message", { signal: AbortSignal.timeout(5000) })) as [Buffer];
    return String(data);
  };
  assert.deepEqual([await ask("1"), await ask("2"), await ask("3")], ["a 1", "a 2", "a 3"]);
  await apply(proxy, service("echo", vip, { ports, endpoints: backends.slice(1) }));
  assert.equal(await ask("4"), "b 4");
});

test("what cannot be served is said, and costs the others nothing", async (t) => {
  const number = await freePort();
  const upstreamPort = await serve(t, "127.0.0.1", (socket) => socket.end("a"));
  const lines: string[] = [];
  const log = createLogger("test", "warn", (line: string) => void lines.push(line));
  const facts = { serviceCIDRs: [], dnsVIP: "" };
  const exec = (): Promise<never> => Promise.reject(new Error("not here"));
  const proxy = createUserspaceProxy({ exec, clock, random: seededRandom(1), log, facts });
  t.after(() => proxy.close());
  proxy.markSynced();
  const endpoints = [endpoint(`127.0.0.1:${upstreamPort}`)];
  await apply(
    proxy,
    service("far", "192.0.2.7", { ports: [port(number)], endpoints }),
    service("sctp", vip, { ports: [port(number, "SCTP")], endpoints }),
    service("web", vip, { ports: [port(number)], endpoints }),
  );
  assert.equal(await call(number), "a");
  assert.match(lines.join("\n"), /Cannot serve Service default\/far on tcp 192\.0\.2\.7.*EADDRNOTAVAIL/);
  assert.match(lines.join("\n"), /Cannot serve Service default\/sctp port .*SCTP/);
});

/** `ip`, with the addresses of `lo`, and what was asked of it. */
function fakeIP(present: readonly { readonly local: string; readonly metric?: number }[]): {
  readonly exec: Exec;
  readonly shown: () => readonly string[];
} {
  const all = new Map(present.map((each) => [each.local, each]));
  const exec: Exec = async (command) => {
    const [, ...words] = command;
    if (words[0] === "-j")
      return { exitCode: 0, stdout: JSON.stringify([{ addr_info: [...all.values()] }]), stderr: "" };
    const [, verb, text = "", , , , metric] = words;
    const local = text.replace(/\/.*/, "");
    if (verb === "del") all.delete(local);
    else all.set(local, { local, metric: Number(metric) });
    return { exitCode: 0, stdout: "", stderr: "" };
  };
  return { exec, shown: () => [...all.keys()].toSorted() };
}

test("a Service has its address while it is there, with endpoints or without", async (t) => {
  const { exec, shown } = fakeIP([{ local: "192.0.2.1" }]);
  const facts = { serviceCIDRs: [], dnsVIP: "" };
  const proxy = createUserspaceProxy({ exec, clock, random: seededRandom(1), log: silentLogger, facts });
  t.after(() => proxy.close());
  proxy.markSynced();
  const here = service("here", "127.99.0.2", { ports: [port(80)] });
  await apply(proxy, service("empty", "192.0.2.7", { ports: [port(80)] }), here);
  assert.deepEqual(shown(), ["192.0.2.1", "192.0.2.7"]);
  await apply(proxy, service("empty", "192.0.2.8", { ports: [port(80)] }));
  assert.deepEqual(shown(), ["192.0.2.1", "192.0.2.8"]);
  proxy.apply([], ["default/empty"]);
  await proxy.programmed();
  assert.deepEqual(shown(), ["192.0.2.1"]);
});

test("what a killed proxy left on lo is taken over, and removed; what is another's stays", async () => {
  const metric = 0x77_68_72_79;
  const left = [{ local: "192.0.2.1" }, { local: "192.0.2.7", metric }, { local: "2001:db8::7", metric }];
  const { exec, shown } = fakeIP([...left, { local: "192.0.2.2", metric: 100 }]);
  const facts = { serviceCIDRs: [], dnsVIP: "" };
  const proxy = createUserspaceProxy({ exec, clock, random: seededRandom(1), log: silentLogger, facts });
  proxy.markSynced();
  await apply(proxy, service("web", "192.0.2.7", { ports: [port(80)] }));
  assert.deepEqual(shown(), ["192.0.2.1", "192.0.2.2", "192.0.2.7"]);
  proxy.close();
  await proxy.programmed();
  assert.deepEqual(shown(), ["192.0.2.1", "192.0.2.2"]);
  const killed = fakeIP(left);
  await removeAddresses(killed.exec);
  assert.deepEqual(killed.shown(), ["192.0.2.1"]);
});

test("of two Services at one address the first by name has it, and the other one when it is free", async (t) => {
  const number = await freePort();
  const to = async (text: string): Promise<Partial<ServiceResource>> => ({
    ports: [port(number)],
    endpoints: [endpoint(`127.0.0.1:${await serve(t, "127.0.0.1", (socket) => socket.end(text))}`)],
  });
  const proxy = start(t);
  const a = service("a", vip, await to("a"));
  const b = service("b", vip, await to("b"));
  await apply(proxy, b);
  assert.equal(await call(number), "b");
  await apply(proxy, a);
  assert.equal(await call(number), "a");
  proxy.apply([], ["default/a"]);
  await proxy.programmed();
  assert.equal(await call(number), "b");
  await apply(proxy, a);
  proxy.apply(named(b), ["default/a"]);
  await proxy.programmed();
  assert.equal(await call(number), "b");
});
