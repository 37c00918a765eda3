/** Plans as literal nft lines; random Services and edits against a model, and against a fresh start. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import * as fc from "fast-check";
import type { ServiceResource } from "#api/wire/service.ts";
import { defaultFacts, parseFacts } from "../config.ts";
import { categorize, localReadyCount } from "./categories.ts";
import { anyService, edgeFacts, endpoint, localAddresses, packets, port, service } from "./fixture.ts";
import type { NodeFacts } from "./facts.ts";
import { expectPacket } from "./model.ts";
import { FakeNft } from "./nft/fake.ts";
import { Table } from "./nft/table.ts";
import { planWhole } from "./nft/transactions.ts";
import { Bed, linesOf } from "./bed.ts";
import { Planner } from "./planner.ts";
import { planService } from "./service-plan.ts";
import { planSkeleton } from "./skeleton.ts";
import { keepOrder } from "./slots.ts";

const web = service("web", "10.96.1.1", { endpoints: [endpoint("10.244.1.2:8080"), endpoint("10.244.1.3:8080")] });

const id = "default/web/tcp/80";
const rotation = (count: number): string =>
  `meta l4proto tcp dnat ip to ip daddr . tcp dport . numgen inc mod ${count} map @own-slots-tcp`;

test("planChange() of one more Service, literally", () => {
  const bed = new Bed();
  bed.whole();
  assert.deepEqual(bed.put(web).change(), [
    `add chain ip t service/${id}`,
    "add element ip t own-slots-tcp { 10.96.1.1 . 80 . 0 : 10.244.1.2 . 8080, 10.96.1.1 . 80 . 1 : 10.244.1.3 . 8080 }",
    "add element ip t hairpin { 10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3 }",
    "add element ip t cluster-ips { 10.96.1.1 }",
    `flush chain ip t service/${id}`,
    `add rule ip t service/${id} ${rotation(2)}`,
    `add element ip t services { 10.96.1.1 . tcp . 80 : goto service/${id} }`,
  ]);
});

test("planChange() of one endpoint replaced touches its slot alone", () => {
  const bed = new Bed();
  const other = service("other", "10.96.1.2", { endpoints: [endpoint("10.244.1.9:80")] });
  bed.put(web, other).whole();
  assert.deepEqual(bed.put(web).change(), []);
  const replaced = { ...web, endpoints: [endpoint("10.244.1.3:8080"), endpoint("10.244.1.4:8080")] };
  assert.deepEqual(bed.put(replaced).change(), [
    "delete element ip t own-slots-tcp { 10.96.1.1 . 80 . 0 }",
    "add element ip t own-slots-tcp { 10.96.1.1 . 80 . 0 : 10.244.1.4 . 8080 }",
    "add element ip t hairpin { 10.244.1.4 . 10.244.1.4 }",
    "delete element ip t hairpin { 10.244.1.2 . 10.244.1.2 }",
  ]);
  const fewer = { ...web, endpoints: [endpoint("10.244.1.3:8080")] };
  assert.deepEqual(bed.put(fewer).change(), [
    "delete element ip t own-slots-tcp { 10.96.1.1 . 80 . 0 }",
    "add element ip t own-slots-tcp { 10.96.1.1 . 80 . 0 : 10.244.1.3 . 8080 }",
    `flush chain ip t service/${id}`,
    `add rule ip t service/${id} ${rotation(1)}`,
    "delete element ip t hairpin { 10.244.1.4 . 10.244.1.4 }",
  ]);
  assert.deepEqual(bed.change(), []);
  // A packet that the rule before gave the second slot finds it until then.
  assert.deepEqual(linesOf(bed.sweep()), ["delete element ip t own-slots-tcp { 10.96.1.1 . 80 . 1 }"]);
  assert.deepEqual(bed.sweep(), []);
});

test("planChange() of a Service that goes", () => {
  const bed = new Bed();
  bed.put(web).whole();
  assert.deepEqual(bed.remove("default/web").change(), [
    "delete element ip t services { 10.96.1.1 . tcp . 80 }",
    "delete element ip t cluster-ips { 10.96.1.1 }",
    "delete element ip t hairpin { 10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3 }",
    `flush chain ip t service/${id}`,
  ]);
  assert.deepEqual(linesOf(bed.sweep()), [
    "delete element ip t own-slots-tcp { 10.96.1.1 . 80 . 0, 10.96.1.1 . 80 . 1 }",
    `flush chain ip t service/${id}`,
    `delete chain ip t service/${id}`,
  ]);
});

test("planChange() replaces the slot that comes again before it was deleted", () => {
  const bed = new Bed();
  bed.put(web).whole();
  bed.put({ ...web, endpoints: [endpoint("10.244.1.2:8080")] }).change();
  const lines = bed.put({ ...web, endpoints: [endpoint("10.244.1.2:8080"), endpoint("10.244.1.5:8080")] }).change();
  assert.deepEqual(lines.slice(0, 2), [
    "delete element ip t own-slots-tcp { 10.96.1.1 . 80 . 1 }",
    "add element ip t own-slots-tcp { 10.96.1.1 . 80 . 1 : 10.244.1.5 . 8080 }",
  ]);
  assert.deepEqual(bed.sweep(), []);
});

test("planChange() splits what is too much for a socket, and what it splits serves at each step", async () => {
  const many = (count: number, from: number): ServiceResource =>
    service("many", "10.96.1.1", {
      endpoints: Array.from({ length: count }, (_, at) =>
        endpoint(`10.200.${(at + from) >> 8}.${(at + from) & 255}:80`),
      ),
    });
  const bed = new Bed();
  const nft = new FakeNft();
  const packet = { protocol: "tcp", source: "10.244.9.9", destination: "10.96.1.1", port: 80 } as const;
  for (const text of bed.put(many(5000, 0)).whole()) assert.equal((await nft.exec(["nft"], text)).stderr, "");
  for (const next of [many(7000, 500), many(100, 7000)]) {
    bed.put(next);
    const texts = bed.changeTexts();
    assert.ok(texts.length > 1);
    for (const text of texts) {
      assert.equal((await nft.exec(["nft"], text)).stderr, "");
      for (let n = 0; n < 200; n++) assert.equal(nft.walk(packet).kind, "dnat");
    }
  }
});

test("planWhole() shows a large table to no packet before it is complete", () => {
  const bed = new Bed();
  for (let n = 0; n < 4000; n++)
    bed.put(service(`s${n}`, `10.96.${(n >> 8) + 2}.${n & 255}`, { endpoints: web.endpoints }));
  const texts = bed.whole();
  assert.ok(texts.length > 2);
  for (const text of texts.slice(0, -1)) assert.doesNotMatch(text, / hook /);
  assert.match(texts.at(-1) ?? "", / hook prerouting /);
});

test("Planner gives chains of their own to the first Services only", () => {
  const bed = new Bed({ ...defaultFacts, exactMax: 1 });
  bed.whole();
  const other = service("other", "10.96.1.2", { endpoints: web.endpoints });
  const lines = bed.put(web, other).change();
  assert.ok(lines.includes("add element ip t services { 10.96.1.1 . tcp . 80 : goto service/default/web/tcp/80 }"));
  assert.ok(lines.includes("add element ip t plain-2 { 10.96.1.2 . tcp . 80 }"));
});

test("planService() names what it cannot program, and programs the rest", () => {
  const problemsOf = (given: ServiceResource): readonly string[] =>
    planService(given, { family: "IPv4", facts: defaultFacts, isExact: true }).problems;
  assert.deepEqual(problemsOf(service("far", "192.0.2.1")), [
    "Cannot program Service default/far on 192.0.2.1: wanted an address in 10.96.0.0/16",
  ]);
  assert.deepEqual(problemsOf(service("x; flush ruleset", "10.96.2.2")), [
    'Cannot program Service "default/x; flush ruleset": wanted names that are DNS labels',
  ]);
  assert.deepEqual(problemsOf(service("bad", "10.96.2.x; flush ruleset")), [
    'Cannot program Service default/bad on "10.96.2.x; flush ruleset": wanted an IP address',
  ]);
  const bed = new Bed().put(web, service("zweb", "10.96.1.1", { endpoints: [endpoint("10.244.1.4:1")] }));
  assert.deepEqual(bed.planner.problemsOf("default/zweb"), [
    "Cannot program Service default/zweb on 10.96.1.1 . tcp . 80: Service default/web has that address and port",
  ]);
  const bad = service("badep", "10.96.2.3", { endpoints: [endpoint("10.244.1.4;:1"), endpoint("10.244.1.4:70000")] });
  assert.equal(planService(bad, { family: "IPv4", facts: defaultFacts, isExact: true }).fragment.chains.size, 0);
});

test("planService() leaves the DNS address's port 53 to the resolver, and serves its other ports", () => {
  const ports = [port(53, "UDP", "dns"), port(53, "TCP", "dns-tcp"), port(9153, "TCP", "metrics")];
  const to = endpoint("10.244.1.4:1", { ports: { dns: 53, "dns-tcp": 53, metrics: 9153 } });
  const dns = service("kube-dns", "10.96.0.10", { ports, endpoints: [to] });
  const { fragment, flows } = planService(dns, { family: "IPv4", facts: defaultFacts, isExact: true });
  assert.deepEqual([...fragment.chains.keys()], ["service/default/kube-dns/tcp/9153"]);
  assert.equal(flows.size, 0);
});

test("planService() reads addresses with leading zeros (TestBadIPs)", () => {
  const zeros = service("zeros", "010.096.001.001", { endpoints: [endpoint("010.244.001.002:8080")] });
  const { fragment } = planService(zeros, { family: "IPv4", facts: defaultFacts, isExact: true });
  assert.deepEqual([...(fragment.elements.get("own-slots-tcp") ?? [])], [["10.96.1.1 . 80 . 0", "10.244.1.2 . 8080"]]);
});

test("categorize() takes ready ones, then those that serve while terminating, then none; hints only when all have them", () => {
  const facts = { ...defaultFacts, nodeName: "n1", zone: "a" };
  const cluster = (...endpoints: readonly ReturnType<typeof endpoint>[]): readonly string[] =>
    categorize(service("x", "10.96.0.5", { endpoints }), port(80), "IPv4", facts).cluster.map(({ address }) => address);
  const ready = endpoint("10.244.1.1:1");
  const leaving = endpoint("10.244.1.2:1", { ready: false, serving: true, terminating: true });
  const dead = endpoint("10.244.1.3:1", { ready: false, serving: false, terminating: true });
  const unready = endpoint("10.244.1.4:1", { ready: false });
  assert.deepEqual(cluster(ready, leaving, dead, unready), ["10.244.1.1"]);
  assert.deepEqual(cluster(leaving, dead, unready), ["10.244.1.2"]);
  assert.deepEqual(cluster(dead, unready), []);
  const near = endpoint("10.244.1.5:1", { hintZones: ["a"] });
  const far = endpoint("10.244.1.6:1", { hintZones: ["b"] });
  assert.deepEqual(cluster(near, far), ["10.244.1.5"]);
  assert.deepEqual(cluster(far), ["10.244.1.6"]);
  assert.deepEqual(cluster(near, far, ready), ["10.244.1.5", "10.244.1.6", "10.244.1.1"]);
  const here = endpoint("10.244.1.7:1", { hintNodes: ["n1"], hintZones: ["b"], nodeName: "n1" });
  const there = endpoint("10.244.1.8:1", { hintNodes: ["n2"], hintZones: ["a"], nodeName: "n2" });
  assert.deepEqual(cluster(here, there), ["10.244.1.7"]);
  assert.equal(localReadyCount(service("x", "10.96.0.5", { endpoints: [here, there] }), facts), 1);
});

test("keepOrder() moves as few endpoints as can be", () => {
  const to = (...ports: readonly number[]): { address: string; port: number }[] =>
    ports.map((number) => ({ address: "10.0.0.1", port: number }));
  assert.deepEqual(keepOrder(to(1, 2, 3, 4), to(1, 3, 4)), to(1, 4, 3));
  assert.deepEqual(keepOrder(to(1, 2, 3), to(1, 3, 5)), to(1, 5, 3));
  assert.deepEqual(keepOrder(to(3, 1), to(1, 2, 3)), to(3, 1, 2));
  assert.deepEqual(keepOrder([], to(1, 2)), to(1, 2));
});

test("parseFacts() names every problem", () => {
  assert.deepEqual(parseFacts({}), defaultFacts);
  assert.throws(() => parseFacts({ serviceCIDRs: ["10.96.0.0"] }), { code: "InvalidConfig" });
  assert.throws(() => parseFacts({ dnsVIP: "8.8.8.8" }), /dnsVIP: observed "8.8.8.8", wanted an address in/);
  assert.throws(() => parseFacts({ masqueradeMark: 3 }), /wanted one bit/);
});

test("changes in steps leave the kernel as a fresh start would, and packets go where the model says", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(anyService, fc.boolean(), fc.boolean()), { maxLength: 8 }),
      fc.boolean(),
      async (steps, isExact) => {
        const facts = { ...edgeFacts, exactMax: isExact ? 1000 : 0 };
        const services = new Map<string, ServiceResource>();
        const bed = new Bed(facts);
        const stepwise = new FakeNft();
        stepwise.localAddresses = localAddresses;
        for (const text of bed.whole()) assert.equal((await stepwise.exec(["nft"], text)).stderr, "");
        for (const [resource, isRemoval, isSweep] of steps) {
          if (isRemoval) services.delete(resource.name);
          else services.set(resource.name, resource);
          if (isRemoval) bed.remove(`default/${resource.name}`);
          else bed.put(resource);
          const texts = [...bed.changeTexts(), ...(isSweep ? bed.sweep() : [])];
          for (const text of texts) assert.equal((await stepwise.exec(["nft"], text)).stderr, "");
        }
        for (const text of bed.sweep()) assert.equal((await stepwise.exec(["nft"], text)).stderr, "");
        const fresh = new FakeNft();
        for (const text of new Bed(facts).put(...services.values()).whole()) await fresh.exec(["nft"], text);
        const withoutSets = (lines: readonly string[]): readonly string[] =>
          lines.filter((line) => !line.startsWith("affinity/"));
        assert.deepEqual(withoutSets(stepwise.dump()), withoutSets(fresh.dump()));
        for (const packet of packets) checkWalk(stepwise, packet, [...services.values()], facts);
      },
    ),
    { numRuns: 200 },
  );
});

function checkWalk(
  nft: FakeNft,
  packet: (typeof packets)[number],
  services: readonly ServiceResource[],
  facts: NodeFacts,
): void {
  const expected = expectPacket(packet, services, facts, localAddresses);
  const about = `${JSON.stringify(packet)} wanted ${expected.kind}`;
  if (expected.kind !== "dnat") return assert.equal(nft.walk(packet).kind, expected.kind, about);
  const seen = new Set<string>();
  for (let round = 0; round < expected.to.size; round++) {
    nft.expire();
    const verdict = nft.walk(packet);
    if (verdict.kind !== "dnat") return assert.fail(`observed ${verdict.kind}: ${about}`);
    seen.add(verdict.to);
    const isHairpin = verdict.to.slice(0, verdict.to.lastIndexOf(":")) === packet.source;
    assert.equal(verdict.isMasqueraded, expected.isMasqueraded || isHairpin, about);
  }
  assert.deepEqual(seen, expected.to, about);
}

test("nft itself accepts what is rendered, in both families", (t) => {
  // Ordinary users lack the folder of administrators' programs on Debian.
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const inNamespace = ["--user", "--map-root-user", "--net", "nft"];
  if (spawnSync("unshare", [...inNamespace, "list", "ruleset"], { env }).status !== 0)
    return t.skip("SKIP nft or user namespaces are not to be had");
  const endpoints = ["10.244.1.2", "fd00::2", "10.244.1.3", "fd00::3"].map((address) =>
    endpoint(address, { address, ports: { http: 8080 }, nodeName: "n1" }),
  );
  const rich = (["TCP", "UDP", "SCTP"] as const).flatMap((protocol, at) =>
    ([0, 60] as const).map((affinitySeconds) =>
      service(`rich${at}${affinitySeconds}`, `10.96.1.${at * 2 + affinitySeconds}`, {
        clusterIPs: [`10.96.1.${at * 2 + affinitySeconds}`, `fd96::${at * 2 + affinitySeconds}`],
        type: "LoadBalancer",
        ports: [{ ...port(80, protocol), nodePort: 30_000 + at * 2 + affinitySeconds }],
        endpoints,
        loadBalancerIPs: [`192.0.2.${at * 2 + affinitySeconds}`, `fd02::${at * 2 + affinitySeconds}`],
        loadBalancerSourceRanges: ["10.0.0.0/8", "fd00::/8"],
        externalTrafficPolicy: affinitySeconds > 0 ? "Local" : "Cluster",
        affinitySeconds,
      }),
    ),
  );
  // More than plain Services have: the chain that they share is made for them.
  const wide = service("wide", "10.96.2.1", {
    clusterIPs: ["10.96.2.1", "fd96::2:1"],
    endpoints: Array.from({ length: 16 }, (_, at) => [`10.244.2.${at}`, `fd00::2:${at}`])
      .flat()
      .map((address) => endpoint(":80", { address })),
  });
  const facts = {
    ...defaultFacts,
    nodeName: "n1",
    nodeIPs: ["192.168.0.2", "fd01::2"],
    nodePortAddresses: ["primary", "172.16.0.0/12", "172.16.1.0/24"],
    clusterCIDRs: ["10.244.0.0/16", "fd00::/16"],
    serviceCIDRs: ["10.96.0.0/16", "fd96::/108"],
    exactMax: 2,
  };
  for (const family of ["IPv4", "IPv6"] as const) {
    const planner = new Planner(facts, family);
    const table = new Table(planSkeleton(facts, family));
    for (const each of [...rich, wide]) table.update(planner.put(each.name, each));
    const name = family === "IPv4" ? "ip t" : "ip6 t";
    const [input = ""] = planWhole(name, [], table.skeleton, table.takeAll());
    assert.match(input, /goto random\/16/);
    const { stderr } = spawnSync("unshare", [...inNamespace, "-c", "-f", "-"], { input, encoding: "utf8", env });
    assert.equal(stderr, "");
  }
});
