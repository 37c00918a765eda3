/** Responses that are given out again, against a chain that sees every query: same bytes, same counts. */
import assert from "node:assert/strict";
import test from "node:test";
import dnsPacket, { type Answer } from "dns-packet";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { PushedCluster } from "../cluster-source.ts";
import { endpoint, fixture, named, service } from "../fixture.ts";
import { answersOf, type Block, serveCorefile } from "../plugin-fixture.ts";
import { Prebuilt } from "./prebuilt.ts";

const sv = "testns.svc.cluster.local";
const corefile = `. {
  errors
  any
  nsid server
  loadbalance
  autopath @kubernetes
  cache 30 {
    prefetch 2 10s 50%
  }
  template IN A tpl.test {
    match "^t[0-9]\\.tpl\\.test\\.$"
    answer "{{ .Name }} 20 IN A 192.0.2.7"
    fallthrough
  }
  hosts names {
    fallthrough
    ttl 60
  }
  kubernetes cluster.local in-addr.arpa {
    pods insecure
    fallthrough in-addr.arpa
  }
  file zone file.test {
    reload 5s
  }
}
`;
const names = [
  ...["svc1", "SVC1", "svc6", "svcds", "no", "hdls", "dup-name.hdls", "ext2svc", "_http._tcp.svc1", "big", "a.b"].map(
    (name) => `${name}.${sv}`,
  ),
  "cluster.local",
  "CLUSTER.local",
  sv,
  "none.svc.cluster.local",
  "10-1-2-3.testns.pod.cluster.local",
  "1.0.0.10.in-addr.arpa",
  "9.9.9.9.in-addr.arpa",
  "t1.tpl.test",
  "T1.tpl.test",
  "t1.tpl.test",
  "other.tpl.test",
  "h1.hosts.test",
  "h2.hosts.test",
  "h1.hosts.test",
  "nobody.test",
  "www.file.test",
  "WWW.file.test",
  "no.file.test",
];
const types = ["A", "A", "A", "A", "A", "A", "AAAA", "SRV", "PTR", "SOA", "HTTPS", "ANY"];
const clients = ["10.9.9.9", "10.244.0.1", "fd00::1"];

type Chance = (limit: number) => number;

function messageOf(below: Chance): Buffer {
  const payload = [0, 0, 512, 900, 1232, 4096][below(6)] ?? 0;
  const options: readonly never[] = [];
  const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: payload, flags: below(2) * 0x8000, options };
  return dnsPacket.encode({
    type: "query",
    id: below(65_536),
    flags: [0x100, 0x100, 0x100, 0, 0x110][below(5)] ?? 0,
    questions: [{ name: names[below(names.length)] ?? "", type: types[below(types.length)] ?? "A" }],
    additionals: payload === 0 ? [] : [opt],
  });
}

interface World {
  readonly block: Block;
  readonly cluster: PushedCluster;
  readonly clock: ManualClock;
  readonly files: Record<string, string>;
}

async function world(t: test.TestContext, isPlain: boolean, text = corefile): Promise<World> {
  const clock = new ManualClock();
  const cluster = new PushedCluster({
    namespaceOfPod: (address) => (address === "10.244.0.1" ? "testns" : undefined),
  });
  cluster.apply(named(fixture.filter(({ externalName }) => !externalName.startsWith("ext."))), []);
  const files: Record<string, string> = { names: "192.0.2.1 h1.hosts.test\n", zone: zoneOf(1) };
  return { block: await serveCorefile(t, text, { clock, cluster, files, isPlain }), cluster, clock, files };
}

const zoneOf = (value: number): string => `@ 60 IN SOA ns host 1 2 3 4 5\nwww 60 IN A 192.0.2.${value}\n`;

/** Something of the data changes, or time goes by. */
async function change({ cluster, clock, files }: World, kind: number, value: number): Promise<void> {
  const address = `10.0.0.${value}`;
  if (kind === 9) cluster.isSynced = value < 200;
  else if (kind < 3) await clock.advance([100, 1000, 6000][kind] ?? 0);
  else if (kind === 3) cluster.apply(named([service("svc1", { clusterIPs: [address] })]), []);
  else if (kind === 4) cluster.apply([], [value < 128 ? "testns/svc1" : "testns/svc6"]);
  else if (kind === 5) cluster.apply(named([service("no", { headless: true, endpoints: [endpoint(address)] })]), []);
  else if (kind === 6) cluster.apply([], ["testns/no"]);
  else if (kind === 7) files["names"] = `192.0.2.${value} h1.hosts.test svc6.${sv}\n`;
  else if (kind === 10) files["zone"] = zoneOf(value);
  else files["names"] = "192.0.2.1 h2.hosts.test\n";
}

/** Counts without the time that answers took, which nobody can foresee. */
const countsOf = ({ block }: World): readonly string[] =>
  block
    .metrics()
    .split("\n")
    .filter((line) => !line.includes("_duration_seconds"));

for (const [seed, cache] of [
  [1, "with"],
  [2, "with"],
  [3, "without"],
] as const) {
  test(`answer() says and counts what the chain would, whatever changes, ${cache} a cache (seed ${seed})`, async (t) => {
    const random = seededRandom(seed);
    const below: Chance = (limit) => Math.floor(random.next() * limit);
    const text = cache === "with" ? corefile : corefile.replace(/ {2}cache [^}]*}\n/, "");
    const [repeated, plain] = [await world(t, false, text), await world(t, true, text)];
    let pool: readonly Buffer[] = [];
    for (let step = 0; step < 6000; step++) {
      if (step === 200) repeated.cluster.isSynced = plain.cluster.isSynced = true;
      if (below(80) === 0) {
        const [kind, value] = [below(11), 1 + below(250)];
        for (const each of [repeated, plain]) await change(each, kind, value);
      }
      // Few enough messages that most come again before something changes.
      if (step % 500 === 0) pool = Array.from({ length: 12 }, () => messageOf(below));
      const message = Buffer.from(pool[below(pool.length)] ?? "");
      message.writeUInt16BE(below(65_536), 0);
      const client = clients[below(3)] ?? "";
      const [got, wanted] = [
        await repeated.block.send(Buffer.from(message), { client }),
        await plain.block.send(Buffer.from(message), { client }),
      ];
      assert.equal(got?.toString("hex"), wanted?.toString("hex"), `step ${step}`);
    }
    assert.deepEqual(countsOf(repeated), countsOf(plain));
    assert.ok(repeated.block.repeated() > 500, `${repeated.block.repeated()} repeated`);
    assert.equal(plain.block.repeated(), 0);
  });
}

test("answer() gives out what was answered twice, with the query's own id and case, until it changes", async (t) => {
  const { block, cluster } = await world(t, false);
  let calls = 0;

  const ask = async (name: string): Promise<readonly string[]> => {
    const bytes = await block.send(dnsPacket.encode({ type: "query", id: ++calls, questions: [{ name, type: "A" }] }));
    assert.equal(bytes?.readUInt16BE(0), calls);
    return answersOf(bytes === undefined ? undefined : dnsPacket.decode(bytes));
  };
  for (const name of [`svc1.${sv}`, `svc1.${sv}`, `sVc1.${sv}`])
    assert.deepEqual(await ask(name), [`${name} A 5 10.0.0.1`]);
  assert.equal(block.repeated(), 1);
  cluster.apply(named([service("svc1", { clusterIPs: ["10.0.0.77"] })]), []);
  assert.deepEqual(await ask(`svc1.${sv}`), [`svc1.${sv} A 5 10.0.0.77`]);
});

test("answer() leaves alone what is no plain query, and writes nothing into it", () => {
  const prebuilt = new Prebuilt(new ManualClock());
  const random = seededRandom(9);
  for (let round = 0; round < 50_000; round++) {
    const length = Math.floor(random.next() * 60);
    const bytes = Buffer.from(random.bytes(64));
    // Near enough to a query that its name is read.
    if (round % 2 === 0) bytes.set([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, round % 3], 0);
    const before = Buffer.from(bytes);
    assert.equal(prebuilt.answer(bytes, 0, length, false), 0);
    assert.ok(bytes.equals(before));
  }
});

for (const [name, directive] of [
  ["log", "log"],
  ["acl", "acl {\n allow\n }"],
  ["rewrite", "rewrite name other.test svc1.testns.svc.cluster.local"],
] as const) {
  test(`answer() gives out nothing that ${name} must see`, async (t) => {
    const cluster = new PushedCluster();
    cluster.apply(named(fixture), []);
    const block = await serveCorefile(t, `. {\n ${directive}\n kubernetes cluster.local\n}\n`, { cluster });
    for (let times = 0; times < 5; times++) await block.ask(`svc1.${sv} A`);
    assert.equal(block.repeated(), 0);
    if (name === "log") assert.equal(block.logged.length, 5);
    if (name === "acl") assert.match(block.metrics(), /coredns_acl_allowed_requests_total\{.*\} 5/);
    assert.match(block.metrics(), /coredns_dns_request_duration_seconds_count\{.*\} 5/);
  });
}
