/**
 * NetworkPolicy with real packets. Run by proxy.test.ts inside namespaces of its own, never directly.
 *
 *   default: a, b, c on this node; remote: d on another one. Each serves TCP and UDP on 8080, which is named web, and
 *   TCP on 9090.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, beforeEach, test } from "node:test";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import { realClock as clock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, service } from "../../../proxy/l4/fixture.ts";
import type { PolicyPod } from "../../../proxy/policy/view.ts";
import { createNodeProxy } from "../../../proxy/state.ts";
import { type Address, callTCP as callFor, callUDP as callOnce, dial, say, serveTCP, serveUDP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const { node, pods, remote: d } = createNetwork();
const [a = node, b = node, c = node] = pods;
const closers: (() => void)[] = [];
for (const place of [...pods, d, node])
  closers.push(await serveTCP(place, 8080), await serveTCP(place, 9090), await serveUDP(place, 8080));
const proxy = createNodeProxy({
  exec: systemExec(clock),
  clock,
  random,
  log: silentLogger,
  facts: { nodeName: "node1", nodeIPs: [node.address] },
});
after(() => {
  proxy.close();
  for (const close of closers) close();
});
/** What is dropped is not waited for as long as an answer under load would be. */
const droppedMs = 400;
const callTCP = (from: Place, to: Address): Promise<unknown> => callFor(from, to, droppedMs);
const callUDP = (from: Place, to: Address): Promise<unknown> =>
  Promise.race([callOnce(from, to), clock.sleep(droppedMs).then(() => Promise.reject(new Error("no answer")))]);
const vip = { address: "10.96.1.1", port: 80 };
proxy.apply(named(service("a", vip.address, { endpoints: [endpoint(`${a.address}:8080`)] })), []);
proxy.markSynced();

const podOf = (place: Place, app: string, namespace = "default"): PolicyPod => ({
  namespace,
  labels: { app },
  // What it calls from has its node's address as the source.
  addresses: place === d ? [place.address, "100.64.0.3"] : [place.address],
  nodeName: place === d ? "node2" : "node1",
  ports: [{ name: "web", protocol: "TCP", port: 8080 }],
});
const all = [podOf(a, "a"), podOf(b, "b"), podOf(c, "c"), podOf(d, "d", "remote")];
const namespaces = new Map([
  ["default", {}],
  ["remote", { zone: "far" }],
  ["kube-system", { "kubernetes.io/metadata.name": "kube-system" }],
]);
const policy = (name: string, spec: NonNullable<NetworkPolicy["spec"]>): NetworkPolicy => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "default", name },
  spec,
});
async function set(policies: readonly NetworkPolicy[], pods: readonly PolicyPod[] = all): Promise<void> {
  proxy.setPolicies({ policies, pods, namespaces });
  await proxy.programmed();
}
/** Who of `from` reaches `to`. */
async function reaching(to: Address, call = callTCP): Promise<string> {
  const names = [
    ["a", a],
    ["b", b],
    ["c", c],
    ["d", d],
    ["node", node],
  ] as const;
  const seen = await Promise.all(
    names.map(([name, from]) =>
      call(from, to).then(
        () => name,
        () => "",
      ),
    ),
  );
  return seen.filter((name) => name !== "").join(" ");
}
const web = { address: a.address, port: 8080 };
const other = { address: a.address, port: 9090 };
const selectsA = { podSelector: { matchLabels: { app: "a" } } };

beforeEach(() => set([]));

test("without a policy everyone reaches everyone", async () => {
  assert.equal(await reaching(web), "a b c d node");
});

test("a policy without rules isolates its pods, but not from themselves and their node", async () => {
  await set([policy("deny", selectsA)]);
  assert.equal(await reaching(web), "a node");
  assert.equal(await reaching(vip), "a node");
  assert.equal(await reaching({ address: b.address, port: 8080 }), "a b c d node");
});

test("pods are allowed by label, by namespace and by both", async () => {
  const b = { podSelector: { matchLabels: { app: "b" } } };
  await set([policy("label", { ...selectsA, ingress: [{ from: [b] }] })]);
  assert.equal(await reaching(web), "a b node");
  assert.equal(await reaching(vip), "a b node");
  await set([
    policy("space", { ...selectsA, ingress: [{ from: [{ namespaceSelector: { matchLabels: { zone: "far" } } }] }] }),
  ]);
  assert.equal(await reaching(web), "a d node");
  const both = {
    namespaceSelector: {},
    podSelector: { matchExpressions: [{ key: "app", operator: "In", values: ["c", "d"] }] },
  } as const;
  await set([policy("both", { ...selectsA, ingress: [{ from: [both] }] })]);
  assert.equal(await reaching(web), "a c d node");
});

test("several policies allow what one of them allows", async () => {
  const from = (app: string): NetworkPolicy =>
    policy(app, { ...selectsA, ingress: [{ from: [{ podSelector: { matchLabels: { app } } }] }] });
  await set([from("b"), from("c"), policy("deny", selectsA)]);
  assert.equal(await reaching(web), "a b c node");
});

test("blocks of addresses are allowed, less their exceptions", async () => {
  const ipBlock = { cidr: "10.244.0.0/16", except: [`${b.address}/32`, "10.244.2.0/24"] };
  await set([policy("block", { ...selectsA, ingress: [{ from: [{ ipBlock }] }] })]);
  assert.equal(await reaching(web), "a c node");
});

test("ports, ranges, names and protocols are told apart", async () => {
  const rules = (
    ...ports: NonNullable<NonNullable<NonNullable<NetworkPolicy["spec"]>["ingress"]>[0]["ports"]>
  ): NetworkPolicy => policy("ports", { ...selectsA, ingress: [{ ports }] });
  const everyone = "a b c d node";
  await set([rules({ port: 8080 })]);
  assert.deepEqual(
    [await reaching(web), await reaching(other), await reaching(web, callUDP)],
    [everyone, "a node", "a node"],
  );
  await set([rules({ port: 9000, endPort: 9090 }, { port: 9050, endPort: 9100 })]);
  assert.deepEqual([await reaching(web), await reaching(other)], ["a node", everyone]);
  await set([rules({ port: "web" })]);
  assert.deepEqual([await reaching(web), await reaching(other), await reaching(vip)], [everyone, "a node", everyone]);
  await set([rules({ protocol: "UDP" })]);
  assert.deepEqual([await reaching(web), await reaching(web, callUDP)], ["a node", everyone]);
});

test("egress: pods, named ports of those called, and blocks", async () => {
  const reachedBy = async (from: Place): Promise<string> => {
    const seen: string[] = [];
    for (const [name, { address }] of [
      ["a", a],
      ["b", b],
      ["d", d],
      ["node", node],
    ] as const)
      for (const port of [8080, 9090])
        await callTCP(from, { address, port }).then(
          () => seen.push(`${name}:${port}`),
          () => undefined,
        );
    return seen.join(" ");
  };
  const own = "a:8080 a:9090";
  const onNode = "node:8080 node:9090";
  const egress = (...rules: NonNullable<NonNullable<NetworkPolicy["spec"]>["egress"]>): NetworkPolicy =>
    policy("egress", { ...selectsA, policyTypes: ["Egress"], egress: rules });
  await set([egress()]);
  assert.equal(await reachedBy(a), `${own} ${onNode}`);
  assert.equal(await reaching(web), "a b c d node");
  await set([egress({ to: [{ podSelector: { matchLabels: { app: "b" } } }], ports: [{ port: "web" }] })]);
  assert.equal(await reachedBy(a), `${own} b:8080 ${onNode}`);
  await set([egress({ to: [{ ipBlock: { cidr: "10.244.2.0/24" } }] })]);
  assert.equal(await reachedBy(a), `${own} d:8080 d:9090 ${onNode}`);
});

test("egress: the node's resolver is asked only by those who may ask the cluster's DNS, or its address", async () => {
  execFileSync("ip", ["addr", "add", "169.254.20.10/32", "dev", "lo"]);
  const resolvers = ["10.96.0.10", "169.254.20.10"].map((address) => ({ address, port: 53 }));
  closers.push(await serveTCP(node, 53));
  for (const { address } of resolvers) closers.push(await serveUDP({ address }, 53));
  const answering = async (call: typeof callTCP): Promise<readonly string[]> => {
    const asked = resolvers.map((to) =>
      call(a, to).then(
        () => to.address,
        () => "",
      ),
    );
    return (await Promise.all(asked)).filter((address) => address !== "");
  };
  const both = resolvers.map(({ address }) => address);
  const egress = (...rules: NonNullable<NonNullable<NetworkPolicy["spec"]>["egress"]>): Promise<void> =>
    set([policy("egress", { ...selectsA, policyTypes: ["Egress"], egress: rules })]);
  for (const call of [callUDP, callTCP]) {
    await set([policy("ingress", selectsA)]);
    assert.deepEqual(await answering(call), both);
    await egress();
    assert.deepEqual(await answering(call), []);
    const kubeSystem = { matchLabels: { "kubernetes.io/metadata.name": "kube-system" } };
    const dns = { podSelector: { matchLabels: { "k8s-app": "kube-dns" } }, namespaceSelector: kubeSystem };
    await egress({ to: [dns], ports: [{ port: 53, protocol: "UDP" }, { port: 53 }] });
    assert.deepEqual(await answering(call), both);
    await egress({ ports: [{ port: 53, protocol: call === callUDP ? "UDP" : "TCP" }] });
    assert.deepEqual(await answering(call), both);
    await egress({ to: [{ ipBlock: { cidr: "169.254.20.10/32" } }] });
    assert.deepEqual(await answering(call), ["169.254.20.10"]);
  }
});

test("established connections pass, whatever policies come", async () => {
  const socket = await dial(b, web);
  await say(socket);
  await set([policy("deny", selectsA)]);
  assert.equal((await say(socket)).by, a.address);
  socket.destroy();
});

test("a pod that comes is one element; one that goes is allowed no more", async () => {
  const labelled = policy("label", {
    ...selectsA,
    ingress: [{ from: [{ podSelector: { matchLabels: { app: "b" } } }] }],
  });
  await set([labelled], [podOf(a, "a"), podOf(b, "b")]);
  const chains = (): string =>
    execFileSync("nft", ["-a", "list", "chain", "ip", "wherry-policy", "ingress/default/label"], { encoding: "utf8" });
  const before = chains();
  await set([labelled], [podOf(a, "a"), podOf(b, "b"), podOf(c, "b")]);
  assert.equal(await reaching(web), "a b c node");
  assert.equal(chains(), before);
  await set([labelled], [podOf(a, "a"), podOf(c, "b")]);
  assert.equal(await reaching(web), "a c node");
});

test("connections to outside that the node redirects are judged by where they were meant to go", async () => {
  execFileSync("nft", ["-f", "-"], {
    input: `table ip egress-test {
      chain out {
        type nat hook prerouting priority -90; policy accept;
        ip daddr 198.51.100.0/24 meta l4proto tcp redirect to :8080
      }
    }\n`,
  });
  const outside = (last: number, port = 443): Promise<boolean> =>
    callTCP(a, { address: `198.51.100.${last}`, port }).then(
      () => true,
      () => false,
    );
  const to = [{ ipBlock: { cidr: "198.51.100.0/25" } }];
  await set([policy("outside", { ...selectsA, policyTypes: ["Egress"], egress: [{ to, ports: [{ port: 443 }] }] })]);
  assert.deepEqual([await outside(1), await outside(200), await outside(1, 80)], [true, false, false]);
  await set([]);
  assert.equal(await outside(200), true);
});
