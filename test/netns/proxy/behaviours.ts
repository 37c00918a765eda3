/**
 * kube-proxy's behaviours with real packets, each named with its number in the reference list. Run by proxy.test.ts
 * inside namespaces of its own, never directly.
 *
 *   outside 100.64.0.3 ─ node 100.64.0.2 (n1) ─ pods 10.244.1.2-4; pod 10.244.2.2 on n2, behind outside
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { after, describe, test } from "node:test";
import type { ServiceResource, ServiceResourceEndpoint } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { connectTCP } from "#lib/linux.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import type { NodeFacts } from "../../../proxy/l4/facts.ts";
import { endpoint, named, port, service } from "../../../proxy/l4/fixture.ts";
import { createNodeProxy, type NodeProxy } from "../../../proxy/state.ts";
import { type Address, callUDP, openUDP, say, serveTCP, serveUDP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const { node, pods, remote } = createNetwork();
const [caller = node, second = node, third = node] = pods;
/** The other node's own address is one from outside: no pod's. */
const outside: Place = { ...remote, address: "100.64.0.3" };
execFileSync("ip", ["addr", "add", "100.64.0.20/32", "dev", "lo"]);
// What is nobody's here goes on to the next router, as on a real node.
execFileSync("ip", ["route", "add", "default", "via", outside.address, "dev", "node2", "onlink"]);
const closers: (() => void)[] = [];
for (const place of [...pods, remote]) closers.push(await serveTCP(place, 8080), await serveUDP(place, 8080));

const facts: Partial<NodeFacts> = {
  nodeName: "n1",
  zone: "a",
  nodeIPs: ["100.64.0.2"],
  unallocated: "drop",
  unmasqueradedCIDRs: [],
  dnsVIP: "",
};
let proxy = await start(facts);
after(() => {
  proxy.close();
  for (const close of closers) close();
});

async function start(given: Partial<NodeFacts>): Promise<NodeProxy> {
  const made = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger, facts: given });
  made.markSynced();
  await made.programmed();
  return made;
}

/** A proxy with other facts, in place of the one before; the last one's table is taken over. */
async function restart(given: Partial<NodeFacts>): Promise<void> {
  proxy.close();
  proxy = await start({ ...facts, ...given });
}

const on = (place: Place, given: Partial<ServiceResourceEndpoint> = {}): ServiceResourceEndpoint =>
  endpoint(`${place.address}:8080`, { nodeName: place === remote ? "n2" : "n1", ...given });
const leaving = { ready: false, serving: true, terminating: true };
const dead = { ready: false, serving: false, terminating: true };

const vip = { address: "10.96.1.1", port: 80 };
const loadBalancer = { address: "192.0.2.1", port: 80 };
const external = { address: "198.51.100.1", port: 80 };
const nodePort = { address: "100.64.0.2", port: 30_080 };
const fromOutside = [loadBalancer, external, nodePort];

async function put(
  endpoints: readonly ServiceResourceEndpoint[],
  given: Partial<ServiceResource> = {},
  protocol: "TCP" | "UDP" = "TCP",
): Promise<void> {
  const ports = [{ ...port(80, protocol), nodePort: nodePort.port }];
  const addresses = { externalIPs: [external.address], loadBalancerIPs: [loadBalancer.address] };
  proxy.apply(
    named(service("web", vip.address, { type: "LoadBalancer", ports, endpoints, ...addresses, ...given })),
    [],
  );
  await proxy.programmed();
}

/** Who answers, and whom it saw; or that the caller is told no, or nothing. */
async function call(from: Place, to: Address): Promise<{ readonly by: string; readonly saw: string }> {
  const { namespace } = from;
  const socket = connectTCP({ ...to, ...(namespace === undefined ? {} : { namespace }) });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(400) });
    return await say(socket);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { by: code === "ECONNREFUSED" ? "refused" : "dropped", saw: "" };
  } finally {
    socket.destroy();
  }
}

/** Six calls: who answered any, and whom they saw. */
async function calls(
  from: Place,
  to: Address,
): Promise<{ readonly by: readonly string[]; readonly saw: readonly string[] }> {
  const answers = [];
  for (let n = 0; n < 6; n++) answers.push(await call(from, to));
  const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].sort();
  return { by: unique(answers.map(({ by }) => by)), saw: unique(answers.map(({ saw }) => saw)) };
}

const L = second.address;
const R = remote.address;
const both = [on(second), on(remote)];
const kept = (from: Place): readonly string[] => [from.address];

async function refused(from: Place, to: Address): Promise<void> {
  assert.equal((await call(from, to)).by, "refused");
}

async function dropped(from: Place, to: Address): Promise<void> {
  assert.equal((await call(from, to)).by, "dropped");
}

describe("ClusterIP", () => {
  test("1: a pod reaches local and remote endpoints, its source is kept", async () => {
    await put(both);
    assert.deepEqual(await calls(caller, vip), { by: [L, R], saw: kept(caller) });
  });
  test("2: an endpoint reaches itself, masqueraded", async () => {
    await put([on(caller)]);
    const { by, saw } = await call(caller, vip);
    assert.equal(by, caller.address);
    assert.notEqual(saw, caller.address);
  });
  test("4, 5: the same port of TCP and UDP goes to different endpoints; where only one has it, the other is refused", async () => {
    const udp = service("udp", vip.address, { ports: [port(80, "UDP")], endpoints: [on(third)] });
    await put([on(second)], { externalIPs: [], type: "ClusterIP" });
    proxy.apply(named(udp), []);
    await proxy.programmed();
    assert.equal((await call(caller, vip)).by, second.address);
    assert.equal((await callUDP(caller, vip)).by, third.address);
    proxy.apply([], ["default/udp"]);
    await proxy.programmed();
    await assert.rejects(callUDP(caller, vip));
  });
  test("6, 7: a wrong port is refused, an address of nobody is dropped", async () => {
    await put(both);
    await refused(caller, { ...vip, port: 81 });
    await dropped(caller, { address: "10.96.200.200", port: 80 });
  });
  test("24: without known cluster sources nothing is masqueraded; with masqueradeAll everything is", async () => {
    await restart({ clusterCIDRs: [] });
    await put([on(second)]);
    assert.deepEqual((await calls(outside, vip)).saw, kept(outside));
    await restart({ masqueradeAll: true });
    await put([on(second)]);
    assert.notDeepEqual((await calls(caller, vip)).saw, kept(caller));
    await restart({});
    await put([on(second)]);
    assert.notDeepEqual((await calls(outside, vip)).saw, kept(outside));
  });
});

describe("no endpoints", () => {
  test("8, 10, 28: every address is refused at once", async () => {
    for (const endpoints of [[], [on(second, dead)]]) {
      await put(both);
      await put(endpoints);
      for (const to of [vip, ...fromOutside]) await refused(caller, to);
      for (const to of fromOutside) await refused(outside, to);
    }
  });
});

describe("from outside", () => {
  test("11, 14: node port, load balancer and external address lead to all endpoints, masqueraded", async () => {
    await put(both);
    for (const to of fromOutside) {
      const { by, saw } = await calls(outside, to);
      assert.deepEqual(by, [L, R]);
      assert.equal(saw.includes(outside.address), false);
    }
  });
  test("12: the node reaches its own node port", async () => {
    await put(both);
    assert.deepEqual((await calls(node, nodePort)).by, [L, R]);
  });
  test("13: a secondary address answers node ports only when it is among the addresses", async () => {
    await put(both);
    const secondary = { ...nodePort, address: "100.64.0.20" };
    await refused(outside, secondary);
    await restart({ nodePortAddresses: ["100.64.0.0/24"] });
    await put(both);
    assert.deepEqual((await calls(outside, secondary)).by, [L, R]);
    await restart({});
  });
  test("15, 16: two load balancer addresses both work; one that is not ours to answer is not captured", async () => {
    await put(both, { loadBalancerIPs: ["192.0.2.1", "192.0.2.2"] });
    assert.deepEqual((await calls(outside, { address: "192.0.2.2", port: 80 })).by, [L, R]);
    await put(both, { loadBalancerIPs: [] });
    assert.equal((await calls(outside, loadBalancer)).by.includes(L), false);
  });
  test("17: source ranges hold for load balancer addresses, pods too; node ports pass by", async () => {
    await put(both, { loadBalancerSourceRanges: ["203.0.113.0/24"] });
    await dropped(outside, loadBalancer);
    await dropped(caller, loadBalancer);
    assert.deepEqual((await calls(outside, nodePort)).by, [L, R]);
    await put(both, { loadBalancerSourceRanges: [" 100.64.0.3/32"] });
    assert.deepEqual((await calls(outside, loadBalancer)).by, [L, R]);
  });
});

describe("traffic policies", () => {
  test("18: external Local leads to this node's endpoints, the source is kept", async () => {
    await put(both, { externalTrafficPolicy: "Local" });
    for (const to of fromOutside) assert.deepEqual(await calls(outside, to), { by: [L], saw: kept(outside) });
  });
  test("19: external Local without an endpoint here drops", async () => {
    await put([on(remote)], { externalTrafficPolicy: "Local" });
    for (const to of fromOutside) await dropped(outside, to);
  });
  test("20, 21: pods and the node may use all endpoints all the same, and clusterIPs know nothing of it", async () => {
    await put(both, { externalTrafficPolicy: "Local" });
    for (const to of fromOutside) {
      assert.deepEqual(await calls(caller, to), { by: [L, R], saw: kept(caller) });
      assert.deepEqual((await calls(node, to)).by, [L, R]);
    }
    assert.deepEqual((await calls(caller, vip)).by, [L, R]);
  });
  test("22, 23: internal Local leads to this node's endpoints, drops without one, refuses when there is none at all", async () => {
    await put(both, { internalTrafficPolicy: "Local" });
    assert.deepEqual((await calls(caller, vip)).by, [L]);
    assert.deepEqual((await calls(outside, nodePort)).by, [L, R]);
    await put([on(remote)], { internalTrafficPolicy: "Local" });
    await dropped(caller, vip);
    await put([], { internalTrafficPolicy: "Local" });
    await refused(caller, vip);
  });
  test("29: a health check node port tells of ready endpoints here, and closes with the Service's policy", async () => {
    const given = { externalTrafficPolicy: "Local", healthCheckNodePort: 32_000 } as const;
    const ask = async (): Promise<unknown> => {
      const response = await fetch("http://100.64.0.2:32000/healthz").catch(() => undefined);
      const { localEndpoints } = ((await response?.json()) ?? {}) as { localEndpoints?: number };
      return [response?.status, response?.headers.get("x-load-balancing-endpoint-weight"), localEndpoints];
    };
    await put([on(second), on(third), on(remote)], given);
    assert.deepEqual(await ask(), [200, "2", 2]);
    await put([on(second, leaving), on(remote)], given);
    assert.deepEqual(await ask(), [503, "0", 0]);
    await put(both);
    assert.deepEqual(await ask(), [undefined, undefined, undefined]);
  });
  test("45: what has no endpoint here is counted by policy", async () => {
    await put([on(remote)], { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" });
    const count = (policy: string): RegExp =>
      new RegExp(`no_local_endpoints_total\\{ip_family="IPv4",traffic_policy="${policy}"\\} 1`);
    assert.match(proxy.metrics.collect(), count("internal"));
    assert.match(proxy.metrics.collect(), count("external"));
    await put([], { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" });
    assert.doesNotMatch(proxy.metrics.collect(), count("internal"));
  });
});

describe("terminating endpoints", () => {
  test("25, 26: get nothing new while others are ready, and everything when none is", async () => {
    await put([on(second), on(third, leaving), on(remote, leaving)]);
    assert.deepEqual((await calls(caller, vip)).by, [L]);
    await put([on(second, leaving), on(remote, leaving)], { externalTrafficPolicy: "Local" });
    assert.deepEqual((await calls(caller, vip)).by, [L, R]);
    assert.deepEqual((await calls(outside, nodePort)).by, [L]);
  });
  test("27: only a remote one, external Local: the clusterIP leads there, the load balancer drops", async () => {
    await put([on(remote, leaving)], { externalTrafficPolicy: "Local" });
    assert.deepEqual((await calls(caller, vip)).by, [R]);
    await dropped(outside, loadBalancer);
  });
  test("30: addresses that are not ready are used when the Service publishes them", async () => {
    await put([on(second, { ready: false, serving: false })], { publishNotReadyAddresses: true });
    assert.deepEqual((await calls(caller, vip)).by, [L]);
    await put([on(second, { ready: false, serving: false })]);
    await refused(caller, vip);
  });
});

describe("session affinity", () => {
  test("31: a client stays with its endpoint, by whatever address; off at runtime, it does not", async () => {
    await put(both, { affinitySeconds: 100 });
    const { by } = await calls(caller, vip);
    assert.equal(by.length, 1);
    assert.deepEqual((await calls(caller, nodePort)).by, by);
    await put(both);
    assert.deepEqual((await calls(caller, vip)).by, [L, R]);
    await put(both, { affinitySeconds: 100, externalTrafficPolicy: "Local" });
    assert.deepEqual(await calls(outside, nodePort), { by: [L], saw: kept(outside) });
  });
  test("31: it ends after its timeout", async () => {
    await put([on(second), on(third), on(remote)], { affinitySeconds: 1 });
    const seen = new Set<string>();
    const untilMs = clock.monotonicMs() + 9000;
    while (seen.size < 2 && clock.monotonicMs() < untilMs) {
      seen.add((await call(caller, vip)).by);
      await clock.sleep(1200);
    }
    assert.equal(seen.size, 2);
  });
  test("32: when its endpoint is not ready any more, the client moves", async () => {
    await put(both, { affinitySeconds: 100 });
    const [first] = (await calls(caller, vip)).by;
    await put([on(second, { ready: first !== L }), on(remote, { ready: first !== R })], { affinitySeconds: 100 });
    assert.deepEqual((await calls(caller, vip)).by, [first === L ? R : L]);
  });
});

describe("UDP flows", () => {
  test("34, 36: move when their endpoint goes, by clusterIP and node port; end with the last one", async () => {
    for (const to of [vip, nodePort]) {
      const socket = await openUDP(caller);
      await put([on(second)], {}, "UDP");
      assert.equal((await callUDP(caller, to, socket)).by, second.address);
      await put([on(third)], {}, "UDP");
      assert.equal((await callUDP(caller, to, socket)).by, third.address);
      await put([], {}, "UDP");
      await assert.rejects(callUDP(caller, to, socket));
      socket.close();
    }
  });
  test("35: one that began before there was an endpoint goes on when there is", async () => {
    await put([], {}, "UDP");
    const socket = await openUDP(caller);
    socket.on("error", () => {});
    socket.send("?", vip.port, vip.address);
    await put([on(second)], {}, "UDP");
    assert.equal((await callUDP(caller, vip, socket)).by, second.address);
    socket.close();
  });
  test("37: a restart of the proxy leaves healthy ones alone", async () => {
    await put([on(second), on(third)], {}, "UDP");
    const socket = await openUDP(caller);
    const { by } = await callUDP(caller, vip, socket);
    await restart({});
    await put([on(second), on(third)], {}, "UDP");
    for (let n = 0; n < 4; n++) assert.equal((await callUDP(caller, vip, socket)).by, by);
    socket.close();
  });
});

describe("Services that change", () => {
  test("39: types come and go at runtime", async () => {
    await put(both, { type: "ClusterIP", externalIPs: [] });
    await refused(outside, nodePort);
    await put(both, { type: "NodePort", externalIPs: [] });
    assert.deepEqual((await calls(outside, nodePort)).by, [L, R]);
    await put(both, { type: "ExternalName", externalName: "example.com", clusterIPs: [], externalIPs: [] });
    await refused(outside, nodePort);
    await dropped(caller, vip);
    await put(both, { type: "ClusterIP", externalIPs: [] });
    assert.deepEqual((await calls(caller, vip)).by, [L, R]);
  });
  test("40: two Services share endpoints", async () => {
    await put(both);
    proxy.apply(named(service("twin", "10.96.1.2", { endpoints: both })), []);
    await proxy.programmed();
    proxy.apply([], ["default/web"]);
    await proxy.programmed();
    assert.deepEqual((await calls(caller, { address: "10.96.1.2", port: 80 })).by, [L, R]);
  });
  test("41: a Service of another proxy is ignored until it is not", async () => {
    await put(both, { proxyName: "another" });
    await dropped(caller, vip);
    await put(both);
    assert.deepEqual((await calls(caller, vip)).by, [L, R]);
  });
  test("topology: endpoints of the node's zone are preferred when all have hints", async () => {
    await put([on(second, { hintZones: ["a"] }), on(remote, { hintZones: ["b"] })]);
    assert.deepEqual((await calls(caller, vip)).by, [L]);
  });
});
