/** Plans, renders and diffs as literal nft lines; changes in steps against a fresh start. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import * as fc from "fast-check";
import type { ServiceResource } from "#api/wire/service.ts";
import { defaultFacts, parseFacts } from "../config.ts";
import { endpoint, port, service } from "./fixture.ts";
import { diffRulesets } from "./nft/diff.ts";
import { FakeNft } from "./nft/fake.ts";
import { renderRuleset } from "./nft/render.ts";
import type { Ruleset } from "./nft/types.ts";
import { planServices, usableEndpoints } from "./plan.ts";

const web = service("web", "10.96.1.1", { endpoints: [endpoint("10.244.1.2:8080"), endpoint("10.244.1.3:8080")] });
const plan = (...services: readonly ServiceResource[]): Ruleset => planServices(services, defaultFacts).ruleset;

test("renderRuleset() of one Service, literally", () => {
  assert.deepEqual(renderRuleset(plan(web)).split("\n"), [
    "add table ip wherry-proxy",
    "delete table ip wherry-proxy",
    "add table ip wherry-proxy",
    "add chain ip wherry-proxy raw-prerouting { type filter hook prerouting priority -300 ; policy accept ; }",
    "add chain ip wherry-proxy raw-output { type filter hook output priority -300 ; policy accept ; }",
    "add chain ip wherry-proxy nat-prerouting { type nat hook prerouting priority -100 ; policy accept ; }",
    "add chain ip wherry-proxy nat-output { type nat hook output priority -100 ; policy accept ; }",
    "add chain ip wherry-proxy filter-forward { type filter hook forward priority 0 ; policy accept ; }",
    "add chain ip wherry-proxy filter-output { type filter hook output priority 0 ; policy accept ; }",
    "add chain ip wherry-proxy nat-postrouting { type nat hook postrouting priority 100 ; policy accept ; }",
    "add chain ip wherry-proxy service/default/web/tcp/80",
    "add set ip wherry-proxy hairpin { type ipv4_addr . ipv4_addr ; }",
    "add map ip wherry-proxy services { type ipv4_addr . inet_proto . inet_service : verdict ; }",
    ...["raw-prerouting", "raw-output"].flatMap((chain) => [
      `add rule ip wherry-proxy ${chain} ip daddr 10.96.0.10 udp dport 53 notrack`,
      `add rule ip wherry-proxy ${chain} ip saddr 10.96.0.10 udp sport 53 notrack`,
      `add rule ip wherry-proxy ${chain} ip daddr 10.96.0.10 tcp dport 53 notrack`,
      `add rule ip wherry-proxy ${chain} ip saddr 10.96.0.10 tcp sport 53 notrack`,
    ]),
    "add rule ip wherry-proxy nat-prerouting ip daddr . meta l4proto . th dport vmap @services",
    "add rule ip wherry-proxy nat-output ip daddr . meta l4proto . th dport vmap @services",
    ...["filter-forward", "filter-output"].flatMap((chain) => [
      `add rule ip wherry-proxy ${chain} ip daddr 10.96.0.10 return`,
      `add rule ip wherry-proxy ${chain} ip daddr 10.96.0.0/16 meta l4proto tcp reject with tcp reset`,
      `add rule ip wherry-proxy ${chain} ip daddr 10.96.0.0/16 reject`,
    ]),
    "add rule ip wherry-proxy nat-postrouting ct status dnat ip saddr . ip daddr @hairpin masquerade",
    "add rule ip wherry-proxy nat-postrouting ct status dnat ip saddr 10.96.0.0/16 masquerade",
    "add rule ip wherry-proxy service/default/web/tcp/80 meta l4proto tcp dnat ip to numgen inc mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.1.3 . 8080 }",
    "add element ip wherry-proxy hairpin { 10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3 }",
    "add element ip wherry-proxy services { 10.96.1.1 . tcp . 80 : goto service/default/web/tcp/80 }",
    "",
  ]);
});

test("diffRulesets() mentions what changed and nothing else", () => {
  const other = service("other", "10.96.1.2", { endpoints: [endpoint("10.244.1.9:80")] });
  assert.deepEqual(diffRulesets(plan(web), plan(web)), { text: "", retired: [] });
  assert.deepEqual(diffRulesets(plan(web), plan(web, other)).text.split("\n"), [
    "add chain ip wherry-proxy service/default/other/tcp/80",
    "add rule ip wherry-proxy service/default/other/tcp/80 meta l4proto tcp dnat to 10.244.1.9:80",
    "add element ip wherry-proxy hairpin { 10.244.1.9 . 10.244.1.9 }",
    "add element ip wherry-proxy services { 10.96.1.2 . tcp . 80 : goto service/default/other/tcp/80 }",
    "",
  ]);
  const fewer = { ...web, endpoints: web.endpoints.slice(1) };
  assert.deepEqual(diffRulesets(plan(web, other), plan(fewer, other)).text.split("\n"), [
    "add chain ip wherry-proxy service/default/web/tcp/80",
    "flush chain ip wherry-proxy service/default/web/tcp/80",
    "add rule ip wherry-proxy service/default/web/tcp/80 meta l4proto tcp dnat to 10.244.1.3:8080",
    "delete element ip wherry-proxy hairpin { 10.244.1.2 . 10.244.1.2 }",
    "",
  ]);
  assert.deepEqual(diffRulesets(plan(web, other), plan(web)), {
    text: [
      "delete element ip wherry-proxy hairpin { 10.244.1.9 . 10.244.1.9 }",
      "delete element ip wherry-proxy services { 10.96.1.2 . tcp . 80 }",
      "flush chain ip wherry-proxy service/default/other/tcp/80",
      "",
    ].join("\n"),
    retired: ["service/default/other/tcp/80"],
  });
});

test("planServices() names what it cannot program, and programs the rest", () => {
  const { problems, ruleset } = planServices(
    [
      web,
      service("sctp", "10.96.2.1", { ports: [port(80, "SCTP")], endpoints: [endpoint("10.244.1.4:1")] }),
      service("six", "fd00::1"),
      service("far", "192.0.2.1"),
      service("x; flush ruleset", "10.96.2.2"),
      service("zweb", "10.96.1.1", { endpoints: [endpoint("10.244.1.4:1")] }),
      service("badep", "10.96.2.3", { endpoints: [endpoint("10.244.1.4;:1"), endpoint("10.244.1.4:70000")] }),
    ],
    defaultFacts,
  );
  assert.deepEqual([...ruleset.chains.keys()], ["service/default/web/tcp/80"]);
  assert.deepEqual(problems, [
    'Cannot program Service default/far on "192.0.2.1": wanted an address in 10.96.0.0/16',
    "Cannot program Service default/sctp port 80/SCTP: wanted TCP or UDP and a port from 1 to 65535",
    "Cannot program Service default/six on fd00::1: IPv6 is not supported yet",
    'Cannot program Service "default/x; flush ruleset": wanted names that are DNS labels',
    "Cannot program Service default/zweb on 10.96.1.1 . tcp . 80: another Service has that address and port",
  ]);
});

test("planServices() leaves the DNS address's port 53 to the resolver, and serves its other ports", () => {
  const ports = [port(53, "UDP", "dns"), port(53, "TCP", "dns-tcp"), port(9153, "TCP", "metrics")];
  const to = endpoint("10.244.1.4:1", { ports: { dns: 53, "dns-tcp": 53, metrics: 9153 } });
  const { ruleset, udpBackends } = planServices(
    [service("kube-dns", "10.96.0.10", { ports, endpoints: [to] })],
    defaultFacts,
  );
  assert.deepEqual([...ruleset.chains.keys()], ["service/default/kube-dns/tcp/9153"]);
  assert.equal(udpBackends.size, 0);
});

test("usableEndpoints() takes ready ones, then those that serve while terminating, then none", () => {
  const ready = endpoint("10.244.1.1:1");
  const leaving = endpoint("10.244.1.2:1", { ready: false, serving: true, terminating: true });
  const dead = endpoint("10.244.1.3:1", { ready: false, serving: false, terminating: true });
  const unready = endpoint("10.244.1.4:1", { ready: false });
  const usable = (...endpoints: readonly ReturnType<typeof endpoint>[]): readonly string[] =>
    usableEndpoints(service("x", "10.96.0.5", { endpoints })).map(({ address }) => address);
  assert.deepEqual(usable(ready, leaving, dead, unready), ["10.244.1.1"]);
  assert.deepEqual(usable(leaving, dead, unready), ["10.244.1.2"]);
  assert.deepEqual(usable(dead, unready), []);
});

test("parseFacts() names every problem", () => {
  assert.deepEqual(parseFacts({}), defaultFacts);
  assert.throws(() => parseFacts({ serviceCIDR: "10.96.0.0" }), { code: "InvalidConfig" });
  assert.throws(() => parseFacts({ dnsVIP: "8.8.8.8" }), /dnsVIP: observed "8.8.8.8", wanted an address in/);
});

const anyService = fc
  .record({
    name: fc.constantFrom("a", "b", "c"),
    ip: fc.integer({ min: 1, max: 4 }),
    protocol: fc.constantFrom("TCP", "UDP"),
    targets: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
    ready: fc.boolean(),
  })
  .map(({ name, ip, protocol, targets, ready }) =>
    service(name, `10.96.1.${ip}`, {
      ports: [port(80, protocol === "TCP" ? "TCP" : "UDP")],
      endpoints: targets.map((n) => endpoint(`10.244.1.${n}:80`, { ready })),
    }),
  );

test("diffRulesets() in steps leaves the kernel as a fresh render would, and packets go where the Services say", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(anyService, fc.boolean()), { maxLength: 10 }), async (steps) => {
      const stepwise = new FakeNft();
      const services = new Map<string, ServiceResource>();
      let current = plan();
      assert.equal((await stepwise.exec(["nft"], renderRuleset(current))).exitCode, 0);
      for (const [resource, isRemoval] of steps) {
        if (isRemoval) services.delete(resource.name);
        else services.set(resource.name, resource);
        const next = plan(...services.values());
        const { text } = diffRulesets(current, next);
        assert.equal((await stepwise.exec(["nft"], text)).stderr, "");
        current = next;
      }
      const fresh = new FakeNft();
      await fresh.exec(["nft"], renderRuleset(current));
      assert.deepEqual(stepwise.dump(), fresh.dump());
      for (const ip of [1, 2, 3, 4])
        for (const protocol of ["tcp", "udp"] as const) checkWalk(stepwise, services, ip, protocol);
    }),
    { numRuns: 200 },
  );
});

/** The model: of the Services with that address and protocol that have endpoints, the first by name serves. */
function checkWalk(
  nft: FakeNft,
  services: ReadonlyMap<string, ServiceResource>,
  ip: number,
  protocol: "tcp" | "udp",
): void {
  const owner = [...services.values()]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .find(
      (each) =>
        each.clusterIPs[0] === `10.96.1.${ip}` &&
        each.ports[0]?.protocol.toLowerCase() === protocol &&
        each.endpoints.some(({ ready }) => ready),
    );
  const packet = { protocol, source: "10.244.1.1", destination: `10.96.1.${ip}`, port: 80 };
  if (owner === undefined) return assert.deepEqual(nft.walk(packet), { kind: "reject" });
  const seen = new Map<string, number>();
  for (let round = 0; round < owner.endpoints.length * 2; round++) {
    const verdict = nft.walk(packet);
    if (verdict.kind !== "dnat") return assert.fail(`observed ${verdict.kind}, wanted dnat`);
    assert.equal(verdict.isMasqueraded, verdict.to === "10.244.1.1:80");
    seen.set(verdict.to, (seen.get(verdict.to) ?? 0) + 1);
  }
  assert.deepEqual(
    Object.fromEntries(seen),
    Object.fromEntries(owner.endpoints.map(({ address }) => [`${address}:80`, 2])),
  );
}

test("nft itself accepts what is rendered", (t) => {
  // Ordinary users lack the folder of administrators' programs on Debian.
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
  const probe = spawnSync("unshare", ["--user", "--map-root-user", "--net", "nft", "list", "ruleset"], { env });
  if (probe.status !== 0) return t.skip("SKIP nft or user namespaces are not to be had");
  const udp = service("dns", "10.96.1.9", {
    ports: [port(53, "UDP")],
    endpoints: [endpoint("10.244.1.2:53"), endpoint("10.244.1.3:53")],
  });
  const { status, stderr } = spawnSync("unshare", ["--user", "--map-root-user", "--net", "nft", "-c", "-f", "-"], {
    input: renderRuleset(plan(web, udp)),
    encoding: "utf8",
    env,
  });
  assert.equal(stderr, "");
  assert.equal(status, 0);
});
