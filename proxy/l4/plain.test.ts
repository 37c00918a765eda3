/** Plain Services: elements of a set by their number of endpoints, and of no verdict map. */
import assert from "node:assert/strict";
import test from "node:test";
import type { ServiceResource } from "#api/wire/service.ts";
import { defaultFacts } from "../config.ts";
import { Bed, linesOf } from "./bed.ts";
import { endpoint, port, service } from "./fixture.ts";
import { FakeNft } from "./nft/fake.ts";

/** None has a chain of its own, but where its policy or its affinity wants one. */
const facts = { ...defaultFacts, nodeName: "n1", nodeIPs: ["192.168.0.2"], exactMax: 0 };
const vip = "10.96.1.1";
const key = `${vip} . tcp . 80`;
const toWeb = { protocol: "tcp", source: "10.244.9.9", destination: vip, port: 80 } as const;

function web(count: number, given: Partial<ServiceResource> = {}): ServiceResource {
  const endpoints = Array.from({ length: count }, (_, at) => endpoint(`10.244.1.${at + 2}:80`));
  return service("web", vip, { endpoints, ...given });
}

/** Lines that touch what leads a packet to its chain. */
function leading(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => / element ip6? t (?:plain-|services|nodeports)/.test(line));
}

/** A table in a fake kernel, and what brings changes there. */
async function inKernel(): Promise<{ bed: Bed; nft: FakeNft; run: (texts: readonly string[]) => Promise<void> }> {
  const [bed, nft] = [new Bed(facts), new FakeNft()];
  const run = async (texts: readonly string[]): Promise<void> => {
    for (const text of texts) assert.equal((await nft.exec(["nft"], text)).stderr, "");
  };
  await run(bed.whole());
  return { bed, nft, run };
}

test("planChange() of one more plain Service, literally: elements, none with a verdict", () => {
  const bed = new Bed(facts);
  bed.whole();
  assert.deepEqual(bed.put(web(2)).change(), [
    `add element ip t slots-tcp { ${vip} . 80 . 0 : 10.244.1.2 . 80, ${vip} . 80 . 1 : 10.244.1.3 . 80 }`,
    "add element ip t hairpin { 10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3 }",
    `add element ip t cluster-ips { ${vip} }`,
    `add element ip t plain-2 { ${key} }`,
  ]);
  assert.deepEqual(bed.remove("default/web").change(), [
    `delete element ip t plain-2 { ${key} }`,
    `delete element ip t cluster-ips { ${vip} }`,
    "delete element ip t hairpin { 10.244.1.2 . 10.244.1.2, 10.244.1.3 . 10.244.1.3 }",
  ]);
});

test("a plain Service moves from set to set with its number of endpoints, is added before it is deleted, and is served at each number", async () => {
  const { bed, nft, run } = await inKernel();
  const steps: readonly (readonly [number, readonly string[]])[] = [
    [2, [`add element ip t plain-2 { ${key} }`]],
    [3, [`add element ip t plain-3 { ${key} }`, `delete element ip t plain-2 { ${key} }`]],
    [1, [`add element ip t plain-1 { ${key} }`, `delete element ip t plain-3 { ${key} }`]],
    [15, [`add element ip t plain-15 { ${key} }`, `delete element ip t plain-1 { ${key} }`]],
    [16, [`add element ip t services { ${key} : goto random/16 }`, `delete element ip t plain-15 { ${key} }`]],
    [
      17,
      [
        `delete element ip t services { ${key} }`,
        // A map's element is replaced in one transaction.
        `add element ip t services { ${key} : goto random/17 }`,
      ],
    ],
    [4, [`add element ip t plain-4 { ${key} }`, `delete element ip t services { ${key} }`]],
    [0, [`delete element ip t plain-4 { ${key} }`]],
  ];
  for (const [count, wanted] of steps) {
    const texts = bed.put(web(count)).changeTexts();
    assert.deepEqual(leading(linesOf(texts)), wanted, `${count} endpoints`);
    await run(texts);
    const seen = new Set<string>();
    for (let n = 0; n < count; n++) {
      const verdict = nft.walk(toWeb);
      seen.add(verdict.kind === "dnat" ? verdict.to : verdict.kind);
    }
    const { endpoints } = web(count);
    assert.deepEqual(seen, new Set(endpoints.map(({ address }) => `${address}:80`)));
    if (count === 0) assert.equal(nft.walk(toWeb).kind, "reject");
  }
  await run(bed.sweep());
  assert.deepEqual(
    nft.chainNames.filter((name) => /^random\/1[67]$/.test(name)),
    [],
  );
});

test("slots that go are there for a second more, in a set of fewer, too", () => {
  const bed = new Bed(facts);
  bed.put(web(3)).whole();
  const lines = bed.put(web(2)).change();
  assert.deepEqual(
    lines.filter((line) => line.includes("slots-")),
    [],
  );
  assert.deepEqual(linesOf(bed.sweep()), [`delete element ip t slots-tcp { ${vip} . 80 . 2 }`]);
});

test("all transports are plain, in both families", () => {
  const ports = [port(80), port(80, "UDP", "dns"), port(80, "SCTP", "sig")];
  const at = (address: string): ReturnType<typeof endpoint> =>
    endpoint(":80", { address, ports: { http: 80, dns: 81, sig: 82 } });
  const dual = service("web", vip, {
    clusterIPs: [vip, "fd96::1"],
    ports,
    endpoints: [at("10.244.1.2"), at("fd00::2"), at("fd00::3")],
  });
  const both = { ...facts, serviceCIDRs: [...facts.serviceCIDRs, "fd96::/112"] };
  for (const [family, name, address, set] of [
    ["IPv4", "ip t", vip, "plain-1"],
    ["IPv6", "ip6 t", "fd96::1", "plain-2"],
  ] as const) {
    const bed = new Bed(both, family);
    bed.whole();
    const keys = ["tcp", "udp", "sctp"].map((transport) => `${address} . ${transport} . 80`);
    assert.deepEqual(leading(bed.put(dual).change()), [`add element ${name} ${set} { ${keys.join(", ")} }`]);
  }
});

test("what is not plain leads by a verdict: exact, affinity, Local, per request, beyond clusterIPs", () => {
  const chainOf = (given: Partial<ServiceResource>, exactMax = 0): readonly string[] => {
    const bed = new Bed({ ...facts, exactMax, requestPort: 15_003 });
    bed.whole();
    return leading(bed.put(web(2, given)).change()).map((line) => line.replace("add element ip t ", ""));
  };
  const own = "default/web/tcp/80";
  assert.deepEqual(chainOf({}, 1), [`services { ${key} : goto service/${own} }`]);
  assert.deepEqual(chainOf({ affinitySeconds: 60 }), [`services { ${key} : goto service/${own} }`]);
  assert.deepEqual(chainOf({ l7: "true" }), [`services { ${key} : goto requests/random/2 }`]);
  const here = web(2).endpoints.map((each) => ({ ...each, nodeName: "n1" }));
  assert.deepEqual(chainOf({ internalTrafficPolicy: "Local", endpoints: here }), [
    `services { ${key} : goto local/${own} }`,
  ]);
  const given = {
    type: "NodePort",
    ports: [{ ...port(80), nodePort: 30_080 }],
    externalIPs: ["198.51.100.1"],
  } as const;
  assert.deepEqual(chainOf(given), [
    `plain-2 { ${key} }`,
    "services { 198.51.100.1 . tcp . 80 : goto external-random/2 }",
    "nodeports { tcp . 30080 : goto external-nodeport-random/2 }",
  ]);
});

test("two Services have an address: the first by name has it, whatever their numbers of endpoints", async () => {
  const first = web(2);
  const second = service("zweb", vip, { endpoints: [endpoint("10.244.2.1:1")] });
  for (const order of [
    [first, second],
    [second, first],
  ]) {
    const { bed, nft, run } = await inKernel();
    for (const each of order) await run(bed.put(each).changeTexts());
    assert.deepEqual([...nft.elementsOf("plain-2").keys()], [key]);
    assert.deepEqual([...nft.elementsOf("plain-1").keys()], []);
    assert.deepEqual(bed.planner.problemsOf("default/zweb"), [
      `Cannot program Service default/zweb on ${key}: Service default/web has that address and port`,
    ]);
    await run(bed.remove("default/web").changeTexts());
    assert.deepEqual([...nft.elementsOf("plain-1").keys()], [key]);
    assert.deepEqual([...nft.elementsOf("plain-2").keys()], []);
  }
});

/** A collection that changes at the moment that it is asked: behind what was asked before. */
class Moving extends Map<string, string> {
  readonly #move: () => void;

  constructor(elements: ReadonlyMap<string, string>, move: () => void) {
    super(elements);
    this.#move = move;
  }

  override has(key: string): boolean {
    this.#move();
    return super.has(key);
  }
}

test("a packet is led to a Service that moves to a set that was asked already while it is asked for", async () => {
  const { bed, nft, run } = await inKernel();
  await run(bed.put(web(3)).changeTexts());
  const [{ collections } = { collections: new Map<string, Map<string, string>>() }] = nft.tables;
  const moving = new Moving(nft.elementsOf("plain-3"), () => {
    moving.delete(key);
    collections.get("plain-2")?.set(key, "");
  });
  collections.set("plain-3", moving);
  assert.equal(moving.size, 1);
  assert.equal(nft.walk(toWeb).kind, "dnat");
  assert.equal(moving.size, 0);
});

test("planChange() leaves a Service that moves to the verdict map in its set for one transaction", async () => {
  const { bed, nft, run } = await inKernel();
  await run(bed.put(web(15)).changeTexts());
  // The map is asked first: who found nothing there yet finds it in the set.
  const [rules = "", first = "", second, ...rest] = bed.put(web(16)).changeTexts();
  // A packet that entered before the chain had its rules must not be led there.
  assert.match(rules, /add rule ip t random\/16 /);
  assert.doesNotMatch(rules, /element ip t services/);
  await run([rules, first]);
  assert.equal(nft.elementsOf("services").has(key), true);
  assert.equal(nft.elementsOf("plain-15").has(key), true);
  assert.equal(nft.walk(toWeb).kind, "dnat");
  assert.equal(second, `delete element ip t plain-15 { ${key} }\n`);
  assert.deepEqual(rest, []);
  // Back again, what was asked is asked again.
  assert.equal(bed.put(web(15)).changeTexts().length, 1);
});
