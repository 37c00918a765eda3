/**
 * Services balanced per request by the node, with real packets. Run by proxy.test.ts inside namespaces of its own,
 * never directly.
 *
 *   caller ─ one connection to the clusterIP ─▶ node: HTTP engine ─ each request ─▶ second, third, remote
 *
 * Endpoints say whom they see: the node, where requests are balanced; the caller, where connections are.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Server as TCPServer, Socket } from "node:net";
import { after, test } from "node:test";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { ServiceResource } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { descriptorOf, listenTCP, originalDestination } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, port, service } from "../../../proxy/l4/fixture.ts";
import type { PolicyPod, PolicyView } from "../../../proxy/policy/view.ts";
import { RequestProxy } from "../../../proxy/requests/server.ts";
import { createNodeProxy } from "../../../proxy/state.ts";
import { type Address, dial } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const { node, pods, remote, outside } = createNetwork();
const [caller = node, second = node, third = node] = pods;
const facts = { nodeName: "n1", nodeIPs: [node.address], unmasqueradedCIDRs: [], requestPort: 15_003 };
const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger, facts });
let isServing = false;
const requests = new RequestProxy({
  clock,
  random,
  log: silentLogger,
  facts,
  async listen(server: TCPServer) {
    server.listen({ fd: listenTCP({ address: "0.0.0.0", port: facts.requestPort }) });
    await once(server, "listening");
  },
  originalDestination: (socket) => originalDestination(descriptorOf(socket) ?? -1),
  onServing(is) {
    isServing = is;
    proxy.serveRequests(is);
  },
});

const servers = new Map<Place, Server>();
async function serve(place: Place): Promise<void> {
  const server = createServer(({ socket, headers }: IncomingMessage, response) =>
    response.end(`${place.address} ${socket.remoteAddress} ${String(headers["x-forwarded-for"])}`),
  ).on("upgrade", (_, socket) => {
    socket.on("error", () => socket.destroy());
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
  const { address, namespace } = place;
  server.listen({ fd: listenTCP({ address, port: 8080, ...(namespace && { namespace }) }) });
  await once(server, "listening");
  servers.set(place, server);
}
function kill(place: Place): void {
  servers.get(place)?.close();
  servers.get(place)?.closeAllConnections();
}
const endpoints = [second, third, remote];
for (const place of endpoints) await serve(place);
after(() => {
  requests.close();
  proxy.close();
  for (const place of endpoints) kill(place);
});

const vip = { address: "10.96.1.1", port: 80 };
const nodePort = { address: node.address, port: 30_080 };
async function put(places: readonly Place[], given: Partial<ServiceResource> = {}): Promise<void> {
  const ports = [{ ...port(80), nodePort: nodePort.port, appProtocol: "http" }];
  const all = places.map((place) => ({
    ...endpoint(`${place.address}:8080`),
    nodeName: place === remote ? "n2" : "n1",
  }));
  const web = named(service("web", vip.address, { type: "NodePort", ports, endpoints: all, ...given }));
  for (const consumer of [proxy, requests]) consumer.apply(web, []);
  await proxy.programmed();
}

/** One request on an open connection: its status line, and what the body says. */
async function ask(socket: Socket): Promise<{ status: string; by: string; saw: string; forwarded: string }> {
  socket.write("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  let text = "";
  while (!/\r\n\r\n.+/s.test(text)) {
    const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(3000) })) as [Buffer];
    text += data.toString();
  }
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  const [by = "", saw = "", forwarded = ""] =
    body
      .split(/[\r\n]+/)
      .find((line) => line.includes(" "))
      ?.split(" ") ?? [];
  return { status: text.slice(0, text.indexOf("\r\n")), by, saw, forwarded };
}

/** Who answers `count` requests of one connection, and whom they saw. */
async function asks(
  from: Place,
  to: Address,
  count: number,
): Promise<{ by: readonly string[]; saw: readonly string[] }> {
  const socket = await dial(from, to);
  const answers = [];
  for (let n = 0; n < count; n++) answers.push(await ask(socket));
  socket.destroy();
  return { by: answers.map(({ by }) => by), saw: [...new Set(answers.map(({ saw }) => saw))] };
}

/** Until callers are balanced so. */
async function until(from: Place, isPerRequest: boolean): Promise<void> {
  const startMs = clock.monotonicMs();
  while (((await asks(from, vip, 1)).saw[0] !== from.address) !== isPerRequest) {
    assert.ok(clock.monotonicMs() - startMs < 6000, "not within 6 s");
    await clock.sleep(20);
  }
}

test("connections are balanced until the engine is there", async () => {
  proxy.markSynced();
  await put(endpoints);
  assert.deepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
  requests.markReady();
  await until(caller, true);
  assert.equal(isServing, true);
});

for (const [name, from, to] of [
  ["a pod by the clusterIP", caller, vip],
  ["the node by the clusterIP", node, vip],
  ["outside by the node port", outside, nodePort],
] as const)
  test(`20 requests of one connection alternate over the endpoints: ${name}`, async () => {
    await put([second, third]);
    const { by } = await asks(from, to, 20);
    const [first = "", next = ""] = by;
    assert.deepEqual(
      by,
      by.map((_, n) => (n % 2 === 0 ? first : next)),
    );
    assert.deepEqual([first, next].sort(), [second.address, third.address]);
  });

test("the endpoint is told of the caller", async () => {
  const socket = await dial(caller, vip);
  const { forwarded, status } = await ask(socket);
  assert.deepEqual([status, forwarded], ["HTTP/1.1 200 OK", caller.address]);
  socket.destroy();
});

test("an endpoint that is killed fails no request, and endpoints that change fail none", async () => {
  await put(endpoints);
  const socket = await dial(caller, vip);
  const statuses = new Set<string>();
  const over = new AbortController();
  const asking = (async (): Promise<number> => {
    let count = 0;
    for (; !over.signal.aborted; count++) statuses.add((await ask(socket)).status);
    return count;
  })();
  await clock.sleep(100);
  kill(third);
  await clock.sleep(300);
  for (const places of [[second, remote], [remote], [second], [second, remote]]) {
    await put(places);
    await clock.sleep(50);
  }
  await serve(third);
  await put(endpoints);
  await clock.sleep(100);
  over.abort();
  assert.ok((await asking) > 20);
  assert.deepEqual([...statuses], ["HTTP/1.1 200 OK"]);
  socket.destroy();
});

test("an upgraded connection is passed on both ways", async () => {
  const socket = await dial(caller, vip);
  socket.write("GET / HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
  const [head] = (await once(socket, "data")) as [Buffer];
  assert.match(head.toString(), /^HTTP\/1.1 101 /);
  socket.write("both ways");
  const [echo] = (await once(socket, "data")) as [Buffer];
  assert.equal(echo.toString(), "both ways");
  socket.destroy();
});

test("what keeps the source, or the endpoint, is balanced per connection", async () => {
  await put(endpoints, { affinitySeconds: 100 });
  assert.deepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
  await put(endpoints, { externalTrafficPolicy: "Local" });
  assert.deepEqual((await asks(outside, nodePort, 2)).saw, [outside.address]);
  await put(endpoints, { l7: "false" });
  assert.deepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
  await put(endpoints);
  assert.notDeepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
});

test("without an endpoint the connection is refused, as without the engine", async () => {
  await put([]);
  await assert.rejects(dial(caller, vip), { code: "ECONNREFUSED" });
  await put(endpoints);
});

test("what policies judge is balanced per connection, so that they see who calls", async () => {
  const podOf = (place: Place, app: string): PolicyPod => ({
    namespace: "default",
    labels: { app },
    addresses: [place.address],
    nodeName: place === remote ? "n2" : "n1",
    ports: [],
  });
  const policy = (app: string, policyTypes: ("Ingress" | "Egress")[]): NetworkPolicy => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "some" },
    spec: { podSelector: { matchLabels: { app } }, policyTypes, ingress: [{}], egress: [{}] },
  });
  const view = (policies: readonly NetworkPolicy[]): PolicyView => ({
    policies,
    pods: [podOf(caller, "caller"), podOf(third, "web")],
    namespaces: new Map([["default", {}]]),
  });
  await until(caller, true);
  for (const policies of [[policy("caller", ["Egress"])], [policy("web", ["Ingress"])]]) {
    proxy.setPolicies(view(policies));
    await proxy.programmed();
    assert.deepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
    proxy.setPolicies(view([]));
    await proxy.programmed();
    assert.notDeepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
  }
});

test("when the engine says nothing more, connections are balanced within 5 s, and none fails for it", async () => {
  await until(caller, true);
  // As if this process had ended: the rules stay as they are, and no word comes.
  proxy.serveRequests(false);
  await until(caller, false);
  assert.deepEqual((await asks(caller, vip, 2)).saw, [caller.address]);
  proxy.serveRequests(true);
  await until(caller, true);
});
