/** The node proxy over a fake nft: merging, retries, restarts, conntrack. */
import assert from "node:assert/strict";
import test from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { createLogger, silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { deleteCommand } from "./l4/conntrack.ts";
import { ProxyError } from "./errors.ts";
import { HealthMetrics } from "./health-metrics.ts";
import type { Exec } from "./l4/exec.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { endpoint, named, port, service } from "./l4/fixture.ts";
import { FakeNft } from "./l4/nft/fake.ts";
import { createProxyPages } from "./pages.ts";
import { createNodeProxy, type NodeProxy } from "./state.ts";

const web = service("web", "10.96.1.1", { endpoints: [endpoint("10.244.1.2:80"), endpoint("10.244.1.3:80")] });
const other = service("other", "10.96.1.2", { endpoints: [endpoint("10.244.1.4:80")] });
const toWeb = { protocol: "tcp", source: "10.244.1.9", destination: "10.96.1.1", port: 80 } as const;

interface Bed {
  readonly nft: FakeNft;
  readonly clock: ManualClock;
  readonly proxy: NodeProxy;
  readonly conntrack: (readonly string[])[];
}

function bed(t: test.TestContext, exec?: (nft: FakeNft) => Exec, facts: Partial<NodeFacts> = {}): Bed {
  const nft = new FakeNft();
  const clock = new ManualClock();
  const conntrack: (readonly string[])[] = [];
  const recording: Exec = (command, input, onLine) => {
    if (command[0] === "conntrack") conntrack.push(command);
    return (exec?.(nft) ?? nft.exec)(command, input, onLine);
  };
  const proxy = createNodeProxy({ exec: recording, clock, random: seededRandom(1), log: silentLogger, facts });
  t.after(() => proxy.close());
  return { nft, clock, proxy, conntrack };
}

test("createNodeProxy() programs nothing before markSynced()", async (t) => {
  const { nft, proxy } = bed(t);
  proxy.apply(named(web), []);
  await proxy.programmed();
  assert.equal(nft.transactions.length, 0);
  proxy.markSynced();
  await proxy.programmed();
  assert.equal(proxy.synced, true);
  assert.equal(nft.transactions.length, 1);
  assert.equal(nft.walk(toWeb).kind, "dnat");
});

test("apply() merges changes that come together, and those that come meanwhile", async (t) => {
  const { nft, proxy } = bed(t);
  proxy.markSynced();
  await proxy.programmed();
  for (let n = 0; n < 50; n++)
    proxy.apply(named(service(`s${n}`, `10.96.2.${n + 1}`, { endpoints: web.endpoints })), []);
  await proxy.programmed();
  // The first table; chains with their rules; what leads to them.
  assert.equal(nft.transactions.length, 3);
  assert.equal(proxy.metrics.changesPending, 0);
});

test("apply() leaves the rotation of other Services alone", async (t) => {
  const { nft, proxy } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  assert.deepEqual(nft.walk(toWeb), { kind: "dnat", to: "10.244.1.2:80", isMasqueraded: false });
  proxy.apply(named(other), []);
  await proxy.programmed();
  assert.deepEqual(nft.walk(toWeb), { kind: "dnat", to: "10.244.1.3:80", isMasqueraded: false });
});

test("apply() rejects at once when the last endpoint goes, and deletes the chain later", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  proxy.apply(named({ ...web, endpoints: [] }), []);
  await proxy.programmed();
  assert.equal(nft.walk(toWeb).kind, "reject");
  assert.equal(nft.chainNames.includes("service/default/web/tcp/80"), true);
  await clock.advance(2000);
  assert.equal(nft.chainNames.includes("service/default/web/tcp/80"), false);
  proxy.apply(named(web), []);
  await proxy.programmed();
  assert.equal(nft.walk(toWeb).kind, "dnat");
});

test("apply() revives a chain that was about to be deleted", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  proxy.apply([], ["default/web"]);
  await proxy.programmed();
  proxy.apply(named(web), []);
  await proxy.programmed();
  await clock.advance(2000);
  assert.equal(nft.walk(toWeb).kind, "dnat");
});

test("setZone() sends callers to endpoints of the zone that the node is said to stand in", async (t) => {
  const { nft, proxy } = bed(t);
  const endpoints = ["a", "b"].map((zone, at) => endpoint(`10.244.1.${at + 2}:80`, { zone, hintZones: [zone] }));
  proxy.apply(named({ ...web, endpoints }, other), []);
  proxy.markSynced();
  await proxy.programmed();
  const seen = async (): Promise<readonly string[]> => {
    await proxy.programmed();
    const walks = [1, 2, 3, 4].map(() => nft.walk(toWeb));
    return [...new Set(walks.map((walk) => (walk.kind === "dnat" ? walk.to : walk.kind)))].sort();
  };
  assert.deepEqual(await seen(), ["10.244.1.2:80", "10.244.1.3:80"], "no zone is known");
  proxy.setZone("b");
  assert.deepEqual(await seen(), ["10.244.1.3:80"]);
  const { length } = nft.transactions;
  proxy.setZone("b");
  assert.deepEqual([await seen(), nft.transactions.length], [["10.244.1.3:80"], length]);
  proxy.setZone("a");
  assert.deepEqual(await seen(), ["10.244.1.2:80"]);
  proxy.setZone("c");
  assert.deepEqual(await seen(), ["10.244.1.2:80", "10.244.1.3:80"], "none is for this zone");
});

test("a failed transaction keeps the last good rules, and a retry replaces the table", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  nft.failNext = true;
  proxy.apply(named(other), ["default/web"]);
  await clock.advance(0);
  await clock.advance(0);
  assert.equal(proxy.metrics.syncFailures, 1);
  assert.equal(nft.walk(toWeb).kind, "dnat");
  await clock.advance(200);
  await proxy.programmed();
  assert.equal(nft.walk(toWeb).kind, "reject");
  assert.equal(nft.transactions.at(-1)?.startsWith("add table ip wherry-proxy\ndelete table"), true);
});

test("a large table of which a part fails is shown to no packet, and begun again", async (t) => {
  let texts = 0;
  const { nft, proxy, clock } = bed(t, (fake) => (command, input = "") => {
    if (input.includes("slots-tcp {") && ++texts === 5) fake.failNext = true;
    return fake.exec(command, input);
  });
  const many = Array.from({ length: 6000 }, (_, n) =>
    service(`s${n}`, `10.96.${(n >> 8) + 2}.${n & 255}`, { endpoints: web.endpoints }),
  );
  proxy.apply(named(web, ...many), []);
  proxy.markSynced();
  const programmed = proxy.programmed();
  while (proxy.metrics.syncFailures === 0) await new Promise(setImmediate);
  assert.equal(texts, 5);
  assert.equal(nft.walk(toWeb).kind, "accept");
  await clock.advance(1000);
  await programmed;
  assert.ok(texts > 10, `${texts} texts`);
  assert.deepEqual(nft.walk(toWeb), { kind: "dnat", to: "10.244.1.2:80", isMasqueraded: false });
  assert.deepEqual(nft.tableNames.filter((name) => name.startsWith("ip wherry-proxy")).length, 1);
});

test("a table that somebody flushed comes back within the sync period", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  nft.flush();
  await clock.advance(31_000);
  assert.equal(nft.walk(toWeb).kind, "dnat");
});

const listing = [
  "udp      17 29 src=10.244.1.9 dst=10.96.1.5 sport=999 dport=53 src=10.244.1.2 dst=10.244.1.9 sport=5353 dport=999 mark=0 use=1",
  "udp      17 29 src=10.244.1.9 dst=10.96.1.5 sport=998 dport=53 [UNREPLIED] src=10.244.1.3 dst=10.244.1.9 sport=5353 dport=998 use=1",
  "udp      17 29 src=10.244.1.9 dst=8.8.8.8 sport=998 dport=53 src=8.8.8.8 dst=10.244.1.9 sport=53 dport=998 use=1",
  "garbage",
].join("\n");

test("rules of any base chain that somebody flushed unheard come back within the sync period", async (t) => {
  // One Service whose elements name the chain that rejects.
  const dead = service("dead", "10.96.1.7", { type: "NodePort", ports: [{ ...port(80), nodePort: 30_080 }] });
  const { nft, proxy, clock } = bed(t, undefined, { nodeIPs: ["192.168.0.2"] });
  proxy.apply(named(web, dead), []);
  proxy.markSynced();
  await proxy.programmed();
  const whole = nft.dump();
  const bases = nft.chainNames.filter((name) => name.startsWith("in-force/")).map((name) => name.slice(9));
  assert.equal(bases.length, 10);
  for (const what of ["table ip wherry-proxy", ...bases.map((base) => `chain ip wherry-proxy ${base}`)]) {
    await nft.exec(["nft", "-f", "-"], `flush ${what}\n`);
    assert.notDeepEqual(nft.dump(), whole, what);
    proxy.apply(named({ ...other, endpoints: [] }), ["default/other"]);
    await clock.advance(31_000);
    assert.deepEqual(nft.dump(), whole, what);
    const { length } = nft.transactions;
    await clock.advance(10_000);
    assert.equal(nft.transactions.length, length);
  }
});

test("elements that somebody took away unheard come back within the hour", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named(web), []);
  proxy.markSynced();
  await proxy.programmed();
  await nft.exec(["nft", "-f", "-"], "delete element ip wherry-proxy services { 10.96.1.1 . tcp . 80 }\n");
  await clock.advance(3_500_000);
  assert.equal(nft.walk(toWeb).kind, "reject");
  await clock.advance(100_000);
  assert.equal(nft.walk(toWeb).kind, "dnat");
});

test("what an earlier proxy left goes, in a family without Services, too; policies, once it is known that there is none", async (t) => {
  const {
    nft,
    clock,
    proxy: old,
  } = bed(t, undefined, { nodeName: "n1", serviceCIDRs: ["10.96.0.0/16", "fd96::/112"] });
  const pod = { namespace: "default", labels: {}, addresses: ["10.244.1.2"], nodeName: "n1", ports: [] };
  const deny = {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "default", name: "deny" },
    spec: { podSelector: {}, policyTypes: ["Ingress"] },
  } as const;
  const namespaces = new Map([["default", {}]]);
  const six = service("six", "fd96::5", { endpoints: [endpoint("six:80", { address: "fd00::2" })] });
  old.apply(named(web, six), []);
  old.setPolicies({ policies: [deny], pods: [pod], namespaces });
  old.markSynced();
  await old.programmed();
  assert.equal(nft.elementsOf("services").has("fd96::5 . tcp . 80"), true);
  assert.equal(nft.elementsOf("ingress").has("10.244.1.2"), true);
  old.close();
  await old.programmed();
  const { exec } = nft;
  const next = createNodeProxy({ exec, clock, random: seededRandom(1), log: silentLogger });
  t.after(() => next.close());
  next.apply(named(web), []);
  next.markSynced();
  await next.programmed();
  assert.equal(nft.elementsOf("services").has("fd96::5 . tcp . 80"), false);
  assert.equal(nft.elementsOf("ingress").has("10.244.1.2"), true);
  next.setPolicies({ policies: [], pods: [pod], namespaces });
  await next.programmed();
  assert.equal(nft.elementsOf("ingress").size, 0);
});

test("what waits for nft too long is not healthy, whatever else comes; what is programmed then is", async (t) => {
  let isRefused = false;
  const refused = { exitCode: 1, stdout: "", stderr: "Error: told to fail" };
  const { proxy, clock } = bed(t, (nft) => async (command, input) => {
    return isRefused ? refused : nft.exec(command, input);
  });
  const pages = createProxyPages({
    clock,
    proxy: () => proxy,
    isEligible: () => true,
    mode: () => "nftables",
    health: new HealthMetrics(),
    collectMore: () => "",
  });
  const statuses = async (): Promise<readonly unknown[]> =>
    Promise.all(["/healthz", "/livez"].map(async (path) => (await pages.health[path]?.())?.status));
  assert.equal(proxy.healthy, false);
  proxy.markSynced();
  await proxy.programmed();
  assert.deepEqual([proxy.healthy, ...(await statuses())], [true, 200, 200]);
  isRefused = true;
  for (let n = 1; n < 20; n++) {
    proxy.apply(named(service(`s${n}`, `10.96.3.${n}`)), []);
    await clock.advance(9000);
    assert.equal(proxy.healthy, n * 9000 < 60_000);
  }
  assert.deepEqual(await statuses(), [503, 503]);
  isRefused = false;
  await clock.advance(31_000);
  assert.deepEqual([proxy.healthy, ...(await statuses())], [true, 200, 200]);
});

test("close() lets the next one begin when nft has ended, and closes the watch then", async () => {
  const happened: string[] = [];
  const clock = new ManualClock();
  const nft = new FakeNft();
  const exec: Exec = async (command, input) => {
    happened.push("begins");
    await clock.sleep(100);
    happened.push("ends");
    return nft.exec(command, input);
  };
  const watch = {
    setPaused: (isPaused: boolean) => void happened.push(isPaused ? "paused" : "goes on"),
    poll: () => "none" as const,
    close: () => void happened.push("closed"),
  };
  const facts = { nodeIPs: ["192.168.0.2"] };
  const proxy = createNodeProxy({ exec, clock, random: seededRandom(1), log: silentLogger, watch, facts });
  proxy.markSynced();
  await clock.advance(50);
  proxy.close();
  const ended = proxy.programmed().then(() => happened.push("programmed"));
  await clock.advance(1000);
  await ended;
  const last = happened.slice(happened.lastIndexOf("begins"));
  assert.deepEqual(last.slice(-3), ["goes on", "closed", "programmed"]);
  assert.deepEqual(
    happened.filter((each) => each === "paused").length,
    happened.filter((each) => each === "goes on").length,
  );
});

test("what session affinity has learned is not forgotten for that", async (t) => {
  const { nft, proxy, clock } = bed(t);
  proxy.apply(named({ ...web, affinitySeconds: 10_800 }), []);
  proxy.markSynced();
  await proxy.programmed();
  const first = nft.walk(toWeb);
  await clock.advance(3_700_000);
  for (let n = 0; n < 3; n++) assert.deepEqual(nft.walk(toWeb), first);
});

test("apply() deletes stale UDP flows when endpoints go, and only then", async (t) => {
  const listed: Exec = async (command, _, onLine) => {
    await Promise.resolve();
    if (command[1] === "-L") for (const line of listing.split("\n")) onLine?.(line);
    return { exitCode: 0, stdout: "", stderr: "" };
  };
  const { proxy, conntrack } = bed(
    t,
    (nft) => (command, input, onLine) => (command[0] === "nft" ? nft : { exec: listed }).exec(command, input, onLine),
  );
  const endpoints = [endpoint("10.244.1.2:5353"), endpoint("10.244.1.3:5353")];
  const udp = service("dns", "10.96.1.5", { ports: [port(53, "UDP")], endpoints });
  proxy.apply(named(udp), []);
  proxy.markSynced();
  await proxy.programmed();
  assert.equal(conntrack.length, 1);
  proxy.apply(named(web), []);
  await proxy.programmed();
  assert.equal(conntrack.length, 1);
  proxy.apply(named({ ...udp, endpoints: endpoints.slice(0, 1) }), []);
  await proxy.programmed();
  const flows = { protocol: "udp", address: "10.96.1.5", port: 53, endpointIP: "10.244.1.3", endpointPort: 5353 };
  assert.deepEqual(conntrack.at(-1), deleteCommand(flows));
  assert.equal(proxy.metrics.conntrackDeleted, 1);
});

test("apply() goes on without conntrack", async (t) => {
  const { proxy, conntrack } = bed(t, (nft) => async (command, input) => {
    if (command[0] !== "nft") throw new ProxyError("CommandMissing", "Cannot run conntrack: not installed");
    return nft.exec(command, input);
  });
  const udp = service("dns", "10.96.1.5", { ports: [port(53, "UDP")], endpoints: [endpoint("10.244.1.2:53")] });
  proxy.apply(named(udp), []);
  proxy.markSynced();
  await proxy.programmed();
  proxy.apply([], ["default/dns"]);
  await proxy.programmed();
  assert.equal(conntrack.length, 1);
});

test("a Service that loses its address to another one is named, once, and counted once", async (t) => {
  const lines: string[] = [];
  const log = createLogger("test", "warn", (line: string) => void lines.push(line));
  const exec = new FakeNft().exec;
  const proxy = createNodeProxy({ exec, clock: new ManualClock(), random: seededRandom(1), log });
  t.after(() => proxy.close());
  const at = (name: string, clusterIP: string): ReturnType<typeof service> =>
    service(name, clusterIP, { externalIPs: ["198.51.100.9"], endpoints: [endpoint("10.244.1.2:80")] });
  proxy.markSynced();
  proxy.apply(named(at("ccc", "10.96.1.1")), []);
  await proxy.programmed();
  assert.deepEqual([lines.length, proxy.metrics.problems], [0, 0]);
  proxy.apply(named(at("bbb", "10.96.1.2")), []);
  await proxy.programmed();
  assert.match(lines.join(), /Service default\/ccc on .*198\.51\.100\.9.*: Service default\/bbb has that address/);
  assert.deepEqual([lines.length, proxy.metrics.problems], [1, 1]);
  assert.match(proxy.metrics.collect(), /^wherry_proxy_unsupported 1$/m);
  proxy.apply(named(at("aaa", "10.96.1.3")), []);
  assert.deepEqual([lines.length, proxy.metrics.problems], [3, 2]);
  proxy.apply([], ["default/aaa", "default/bbb"]);
  assert.equal(proxy.metrics.problems, 0);
});

test("collect() uses kube-proxy's names", async (t) => {
  const { proxy } = bed(t);
  proxy.markSynced();
  await proxy.programmed();
  assert.match(proxy.metrics.collect(), /kubeproxy_sync_full_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} 1/);
});
