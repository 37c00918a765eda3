/** Requests balanced by the node, on loopback: what the kernel would redirect is dialled directly. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent, type IncomingMessage, createServer, request, type Server } from "node:http";
import { type Settings, connect as connectHTTP2 } from "node:http2";
import { type AddressInfo, connect, createServer as createTCPServer } from "node:net";
import test, { type TestContext } from "node:test";
import type { ServiceResource } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { endpoint, named, port, service } from "../l4/fixture.ts";
import { isPerRequest } from "./choice.ts";
import { RequestProxy } from "./server.ts";

const vip = { address: "10.96.1.1", port: 80 };
const ports = [{ ...port(80), appProtocol: "http" }];

interface Bed {
  readonly proxy: RequestProxy;
  /** Whether connections may be sent there, as it was told. */
  readonly told: boolean[];
  readonly listensAt: () => number;
  destination: SocketAddress | undefined;
  put(ports: readonly number[], given?: Partial<ServiceResource>): void;
}

function bed(t: TestContext): Bed {
  let at = 0;
  const told: boolean[] = [];
  const made: Bed = {
    destination: vip,
    told,
    listensAt: () => at,
    proxy: new RequestProxy({
      clock,
      random: seededRandom(1),
      log: silentLogger,
      facts: { nodeName: "n1", nodeIPs: ["100.64.0.2"], requestPort: 15_003 },
      async listen(server) {
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        at = (server.address() as AddressInfo).port;
      },
      originalDestination: () => made.destination,
      onServing: (isServing) => void told.push(isServing),
    }),
    put(targets, given = {}) {
      const endpoints = targets.map((number, n) => ({ ...endpoint(`127.0.0.${n + 1}:${number}`) }));
      made.proxy.apply(named(service("web", vip.address, { ports, endpoints, ...given })), []);
    },
  };
  t.after(() => made.proxy.close());
  return made;
}

/** Endpoints that answer with their index, and switch protocols when asked to. */
async function serve(
  t: TestContext,
  count: number,
): Promise<readonly { readonly port: number; readonly server: Server }[]> {
  const servers = Array.from({ length: count }, (_, index) =>
    createServer((asked, response) => {
      asked.resume();
      response.end(`${index} ${String(asked.headers["x-forwarded-for"])}`);
    }).on("upgrade", (_asked, socket) => {
      socket.on("error", () => socket.destroy());
      socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
      socket.pipe(socket);
    }),
  );
  t.after(() => servers.forEach((server) => (server.closeAllConnections(), server.close())));
  return Promise.all(
    servers.map(async (server, index) => {
      server.listen(0, `127.0.0.${index + 1}`);
      await once(server, "listening");
      return { port: (server.address() as AddressInfo).port, server };
    }),
  );
}

async function until(isSo: () => boolean): Promise<void> {
  for (let n = 0; !isSo(); n++) {
    assert.ok(n < 500, "not within 5 s");
    await clock.sleep(10);
  }
}

async function get(at: number, agent: Agent): Promise<string> {
  const asked = request({ host: "127.0.0.1", port: at, agent, path: "/" }).end();
  const [response] = (await once(asked, "response")) as [AsyncIterable<Buffer> & { readonly statusCode: number }];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return `${response.statusCode} ${text}`;
}

test("isPerRequest() goes by appProtocol, unless the annotation says otherwise", () => {
  const of = (l7: ServiceResource["l7"], appProtocol: string, given: Partial<ServiceResource> = {}): boolean =>
    isPerRequest(service("web", vip.address, { l7, ...given }), { ...port(80), appProtocol });
  assert.deepEqual(
    [of("", "http"), of("", "HTTP"), of("", "kubernetes.io/h2c"), of("", ""), of("", "https")],
    [true, true, true, false, false],
  );
  assert.deepEqual([of("true", ""), of("false", "http"), of("", "http", { affinitySeconds: 5 })], [true, false, false]);
  assert.equal(isPerRequest(service("web", vip.address, { l7: "true" }), port(80, "UDP")), false);
});

test("nothing is loaded or listens without a Service that asks for it, or before everything is known", async (t) => {
  const { proxy, told, listensAt } = bed(t);
  proxy.apply(named(service("plain", "10.96.1.2", { endpoints: [endpoint("127.0.0.1:1")] })), []);
  proxy.markReady();
  await clock.sleep(20);
  assert.deepEqual([listensAt(), told, proxy.collect()], [0, [], ""]);
  const late = bed(t);
  late.put([1]);
  await clock.sleep(20);
  assert.deepEqual([late.listensAt(), late.told], [0, []]);
  late.proxy.markReady();
  await until(() => late.told.length > 0);
  assert.deepEqual(late.told, [true]);
});

test("requests of one connection go round; an endpoint that dies costs none of them", async (t) => {
  const made = bed(t);
  const endpoints = await serve(t, 3);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  made.put(endpoints.map((each) => each.port));
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const seen: string[] = [];
  for (let n = 0; n < 21; n++) seen.push(await get(made.listensAt(), agent));
  const each = [0, 1, 2].map((index) => seen.filter((answer) => answer === `200 ${index} 127.0.0.1`).length);
  assert.deepEqual(each, [7, 7, 7]);
  endpoints[1]?.server.closeAllConnections();
  endpoints[1]?.server.close();
  for (let n = 0; n < 20; n++) assert.match(await get(made.listensAt(), agent), /^200 [02] /);
  made.put([0, 2].flatMap((index) => endpoints[index]?.port ?? []).slice(0, 1));
  for (let n = 0; n < 5; n++) assert.match(await get(made.listensAt(), agent), /^200 0 /);
  assert.match(made.proxy.collect(), /wherry_node_requests_total\{.*service_name="web",response_code="200".*\} 46/);
});

test("what a pod says of its request and its caller goes on to the next pod", async (t) => {
  const made = bed(t);
  const [endpoint] = await serve(t, 1);
  const seen: unknown[] = [];
  endpoint!.server.on("request", ({ headers }: IncomingMessage) =>
    seen.push(headers["x-request-id"], headers["x-forwarded-client-cert"]),
  );
  made.put([endpoint!.port]);
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const headers = { "x-request-id": "mine", "x-forwarded-client-cert": "By=pod" };
  const asked = request({ host: "127.0.0.1", port: made.listensAt(), agent: false, headers }).end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.resume();
  assert.deepEqual(seen, ["mine", "By=pod"]);
});

test("HTTP/1.0 is served as without a proxy", async (t) => {
  const made = bed(t);
  made.put((await serve(t, 1)).map((each) => each.port));
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const socket = connect({ host: "127.0.0.1", port: made.listensAt() });
  socket.write("GET / HTTP/1.0\r\nhost: web\r\n\r\n");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, "close");
  assert.match(text, /^HTTP\/1.1 200 /);
});

test("an upgraded connection is passed on both ways", async (t) => {
  const made = bed(t);
  made.put((await serve(t, 1)).map((each) => each.port));
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const socket = connect({ host: "127.0.0.1", port: made.listensAt() });
  socket.write("GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await until(() => text.includes("\r\n\r\n"));
  assert.match(text, /^HTTP\/1.1 101 /);
  socket.write("both ways");
  await until(() => text.endsWith("both ways"));
  socket.destroy();
});

test("a client of HTTP/2 is told that it may upgrade by extended CONNECT", async (t) => {
  const made = bed(t);
  made.put((await serve(t, 1)).map((each) => each.port));
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const client = connectHTTP2(`http://127.0.0.1:${made.listensAt()}`);
  t.after(() => client.destroy());
  const [{ enableConnectProtocol }] = (await once(client, "remoteSettings")) as [Settings];
  assert.equal(enableConnectProtocol, true);
});

test("what is no HTTP is passed on; what was not redirected is reset", async (t) => {
  const made = bed(t);
  const server = createTCPServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  made.put([(server.address() as AddressInfo).port]);
  made.proxy.markReady();
  await until(() => made.told.length > 0);
  const socket = connect({ host: "127.0.0.1", port: made.listensAt() });
  socket.write("\x00\x01 no HTTP");
  const [data] = (await once(socket, "data")) as [Buffer];
  assert.equal(data.toString(), "\x00\x01 no HTTP");
  socket.destroy();
  made.destination = undefined;
  const direct = connect({ host: "127.0.0.1", port: made.listensAt() });
  await assert.rejects(once(direct, "close"), { code: "ECONNRESET" });
});

test("many Services that come together block the event loop for no longer than their number", async (t) => {
  const elapsed = async (count: number): Promise<number> => {
    const { proxy } = bed(t);
    const many = Array.from({ length: count }, (_, n) =>
      service(`s${n}`, `10.96.${n >> 8}.${n & 255}`, { ports, endpoints: [endpoint("127.0.0.1:80")] }),
    );
    // The engine is loaded, and has been used.
    proxy.apply(named(service("x", "10.96.99.1", { ports })), []);
    await clock.sleep(20);
    const startMs = clock.monotonicMs();
    proxy.apply(named(...many), []);
    await clock.sleep(0);
    return clock.monotonicMs() - startMs;
  };
  await elapsed(1000);
  const [few, many] = [await elapsed(500), await elapsed(4000)];
  assert.ok(many < 16 * few, `${few} ms for 500, ${many} ms for 4,000`);
});
