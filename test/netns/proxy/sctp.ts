/**
 * SCTP with real packets: what differs from TCP and UDP is the protocol alone. Run by proxy.test.ts inside namespaces
 * of its own, never directly.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { realClock as clock } from "#lib/clock.ts";
import type { ServiceResource } from "#api/wire/service.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, port, service } from "../../../proxy/l4/fixture.ts";
import { createNodeProxy } from "../../../proxy/state.ts";
import { callTCP, callUDP, serveTCP, serveUDP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";
import { callSCTP, decodeSCTP, encodeSCTP, IPPROTO_ICMP, IPPROTO_SCTP, RawSocket, serveSCTP } from "./sctp-packets.ts";

const { node, pods, remote, outside } = createNetwork();
const [caller = node, second = node, third = node] = pods;
const facts = { nodeName: "n1", nodeIPs: [node.address], unmasqueradedCIDRs: [], dnsVIP: "" };
const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger, facts });
proxy.markSynced();
const closers = [serveSCTP(second, 8443), serveSCTP(remote, 8443)];
closers.push(await serveTCP(third, 8443), await serveUDP(second, 8443));
after(() => {
  proxy.close();
  for (const close of closers) close();
});
const vip = { address: "10.96.1.1", port: 443 };
const nodePort = { address: node.address, port: 30_443 };
let sourcePort = 40_000;

async function put(places: readonly Place[], given: Partial<ServiceResource> = {}): Promise<void> {
  const ports = [{ ...port(443, "SCTP"), nodePort: nodePort.port }];
  const endpoints = places.map((place) => ({
    ...endpoint(`${place.address}:8443`),
    nodeName: place === remote ? "n2" : "n1",
  }));
  proxy.apply(named(service("web", vip.address, { type: "NodePort", ports, endpoints, ...given })), []);
  await proxy.programmed();
}

/** Who of `places` sees the next call, and as whom; the answer seems to come from where the call went. */
async function seen(from: Place, to: typeof vip, places: readonly Place[]): Promise<readonly [string, string]> {
  const own = sourcePort++;
  const sockets = places.map((place) => ({ place, raw: new RawSocket(place, IPPROTO_SCTP) }));
  try {
    const answer = await callSCTP(from, to, own);
    assert.deepEqual(answer, { source: to.address, sourcePort: to.port, port: own, isAnswer: true });
    for (const { place, raw } of sockets) {
      const packet = await raw.receive((each) => !decodeSCTP(each).isAnswer, 0);
      if (packet !== undefined) return [place.address, decodeSCTP(packet).source];
    }
    return ["nobody", ""];
  } finally {
    for (const { raw } of sockets) raw.close();
  }
}

test("1, 3: a pod reaches local and remote endpoints at their own port, its source is kept", async () => {
  await put([second, remote]);
  const answers = [await seen(caller, vip, [second, remote]), await seen(caller, vip, [second, remote])];
  const wanted = [second, remote].map((place) => [place.address, caller.address] as const);
  assert.deepEqual(new Map(answers), new Map(wanted));
});

test("4: the same port of TCP and UDP goes elsewhere", async () => {
  await put([remote]);
  const other = (protocol: "TCP" | "UDP", place: Place): ServiceResource =>
    service(protocol.toLowerCase(), vip.address, {
      ports: [port(443, protocol)],
      endpoints: [endpoint(`${place.address}:8443`)],
    });
  proxy.apply(named(other("TCP", third), other("UDP", second)), []);
  await proxy.programmed();
  assert.equal((await callTCP(caller, vip)).by, third.address);
  assert.equal((await callUDP(caller, vip)).by, second.address);
  assert.deepEqual(await seen(caller, vip, [remote]), [remote.address, caller.address]);
});

test("11, 18: a node port masquerades, and with policy Local keeps the source", async () => {
  await put([second]);
  const [by, saw] = await seen(outside, nodePort, [second]);
  assert.equal(by, second.address);
  assert.notEqual(saw, outside.address);
  await put([second, remote], { externalTrafficPolicy: "Local" });
  for (let n = 0; n < 3; n++)
    assert.deepEqual(await seen(outside, nodePort, [second]), [second.address, outside.address]);
});

test("8: without endpoints the caller is told at once", async () => {
  await put([]);
  for (const to of [vip, nodePort]) {
    const icmp = new RawSocket(caller, IPPROTO_ICMP);
    const raw = new RawSocket(caller, IPPROTO_SCTP);
    const startMs = clock.monotonicMs();
    raw.send(encodeSCTP(sourcePort++, to.port), to.address);
    // Type 3, code 3: the port is unreachable (RFC 792).
    const told = await icmp.receive((packet) => packet.readUInt16BE(20) === 0x0303, 1000);
    assert.ok(told !== undefined && clock.monotonicMs() - startMs < 500);
    icmp.close();
    raw.close();
  }
});

test("36: a flow ends when its endpoint goes", async () => {
  await put([second]);
  const own = sourcePort++;
  assert.ok((await callSCTP(caller, vip, own)) !== undefined);
  await put([remote]);
  const raw = new RawSocket(remote, IPPROTO_SCTP);
  assert.ok((await callSCTP(caller, vip, own)) !== undefined);
  const packet = await raw.receive((each) => decodeSCTP(each).sourcePort === own, 0);
  assert.ok(packet !== undefined);
  raw.close();
});
