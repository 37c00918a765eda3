/** Shares of each policy, and what an update leaves alone. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { type Balanced, type Balancer, type BalancingPolicy, createBalancer } from "./balancer.ts";
import { Latency } from "./peak-ewma.ts";

interface Host extends Balanced {
  activeRequests: number;
  readonly latency: Latency;
}

function hostOf(name: string, weight = 1, servesSinceMs = -1e9): Host {
  const latency = new Latency(0);
  return { hashKey: name, weight, activeRequests: 0, servesSinceMs, latency, latencyMs: (nowMs) => latency.at(nowMs) };
}

const hostsOf = (...weights: number[]): Host[] => weights.map((weight, at) => hostOf(`10.0.0.${at}:80`, weight));

function balancerOf(
  policy: BalancingPolicy,
  hosts: readonly Host[],
  clock = new ManualClock(),
  seed = 1,
): Balancer<Host> {
  const balancer = createBalancer<Host>(policy, { clock, random: seededRandom(seed) });
  balancer.update(hosts);
  return balancer;
}

/** Picks of each host, in the order of `hosts`. */
function countPicks(balancer: Balancer<Host>, hosts: readonly Host[], picks: number, hashes?: () => bigint): number[] {
  const counts = new Map<Host | undefined, number>();
  for (let pick = 0; pick < picks; pick++) {
    const host = balancer.pick([], hashes?.());
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  return hosts.map((host) => counts.get(host) ?? 0);
}

const roundRobin: BalancingPolicy = { kind: "roundRobin", slowStart: undefined };
const leastRequest: BalancingPolicy = {
  kind: "leastRequest",
  slowStart: undefined,
  choiceCount: 2,
  activeRequestBias: 1,
};
const ringHash: BalancingPolicy = { kind: "ringHash", sizeMin: 1024, sizeMax: 8_388_608 };
const maglev: BalancingPolicy = { kind: "maglev", tableSize: 65_537 };
const all: readonly BalancingPolicy[] = [
  roundRobin,
  leastRequest,
  { kind: "peakEWMA" },
  { kind: "random" },
  ringHash,
  maglev,
];

/** Hashes that are spread evenly, the same for each seed. */
function hashesOf(seed: number): () => bigint {
  const random = seededRandom(seed);
  return () => Buffer.from(random.bytes(8)).readBigUInt64LE();
}

for (const policy of all)
  describe(policy.kind, () => {
    it("picks nothing of nothing, and the one of one", () => {
      const [host] = hostsOf(1);
      assert.equal(balancerOf(policy, []).pick([], 1n), undefined);
      assert.equal(balancerOf(policy, [host!]).pick([], 1n), host);
    });

    it("picks a tried host again only when there is no other", () => {
      fc.assert(
        fc.property(
          fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 }),
          fc.nat(),
          (weights, seed) => {
            const hosts = hostsOf(...weights);
            const balancer = balancerOf(policy, hosts, new ManualClock(), seed);
            const tried: Host[] = [];
            const hash = BigInt(seed);
            for (let number = 0; number < hosts.length; number++) {
              const host = balancer.pick(tried, hash);
              assert.ok(host !== undefined && !tried.includes(host));
              tried.push(host);
            }
            assert.ok(hosts.includes(balancer.pick(tried, hash)!));
          },
        ),
        { numRuns: 20 },
      );
    });

    it("spreads requests evenly over equal hosts", () => {
      const hosts = hostsOf(1, 1, 1, 1, 1);
      const counts = countPicks(balancerOf(policy, hosts), hosts, 20_000, hashesOf(7));
      // A ring of 1,024 places is uneven by nature: Envoy's is, too.
      const tolerance = { roundRobin: 0, maglev: 0.06, ringHash: 0.3 }[policy.kind as string] ?? 0.06;
      for (const count of counts) assert.ok(Math.abs(count - 4000) <= 4000 * tolerance, counts.join(", "));
    });
  });

describe("roundRobin", () => {
  it("gives each host exactly its weight in each stretch", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 6 }), (weights) => {
        const hosts = hostsOf(...weights);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        assert.deepEqual(
          countPicks(balancerOf(roundRobin, hosts), hosts, total * 10),
          weights.map((weight) => weight * 10),
        );
      }),
      { numRuns: 50 },
    );
  });

  it("keeps its place over an update", () => {
    const hosts = hostsOf(1, 1, 1);
    const balancer = balancerOf(roundRobin, hosts);
    balancer.pick([], undefined);
    balancer.update([...hosts]);
    assert.equal(balancer.pick([], undefined), hosts[1]);
  });

  it("gives a new host a growing part of its weight", async () => {
    const clock = new ManualClock();
    const slowStart = { windowMs: 10_000, aggression: 1, weightMin: 0.1 };
    const hosts = [hostOf("old"), hostOf("new", 1, clock.monotonicMs())];
    const balancer = balancerOf({ kind: "roundRobin", slowStart }, hosts, clock);
    const shares: number[] = [];
    for (let part = 0; part < 3; part++) {
      await clock.advance(part === 0 ? 2000 : 4000);
      const [old, fresh] = countPicks(balancer, hosts, 1200) as [number, number];
      shares.push(fresh / old);
    }
    const [first, second, third] = shares as [number, number, number];
    assert.ok(Math.abs(first - 0.2) < 0.02 && Math.abs(second - 0.6) < 0.02, shares.join(", "));
    assert.equal(third, 1);
  });
});

describe("leastRequest", () => {
  it("avoids the busier of two", () => {
    const hosts = hostsOf(1, 1);
    hosts[0]!.activeRequests = 10;
    const [busy, free] = countPicks(balancerOf(leastRequest, hosts), hosts, 1000) as [number, number];
    // The busy one is picked only when chance draws it twice.
    assert.ok(busy < 300 && free > 700, `${busy} and ${free}`);
  });

  it("lessens weights by requests in flight where they differ", () => {
    const hosts = hostsOf(3, 1);
    assert.deepEqual(countPicks(balancerOf(leastRequest, hosts), hosts, 400), [300, 100]);
    hosts[0]!.activeRequests = 2;
    assert.deepEqual(countPicks(balancerOf(leastRequest, hosts), hosts, 400), [200, 200]);
  });
});

describe("peakEWMA", () => {
  it("prefers the faster, and asks the slow one again after a time", async () => {
    const clock = new ManualClock();
    const hosts = [hostOf("slow"), hostOf("fast")];
    const balancer = balancerOf({ kind: "peakEWMA" }, hosts, clock);
    hosts[0]!.latency.observe(500, clock.monotonicMs());
    hosts[1]!.latency.observe(5, clock.monotonicMs());
    assert.deepEqual(countPicks(balancer, hosts, 100), [0, 100]);
    await clock.advance(60_000);
    hosts[1]!.latency.observe(5, clock.monotonicMs());
    assert.deepEqual(countPicks(balancer, hosts, 100), [100, 0]);
  });

  it("rises to a peak at once and falls slowly", () => {
    const latency = new Latency(0);
    latency.observe(1000, 0);
    latency.observe(10, 1000);
    assert.ok(latency.at(1000) > 900);
    latency.observe(10, 31_000);
    assert.ok(latency.at(31_000) < 60);
  });
});

for (const policy of [ringHash, maglev])
  describe(`${policy.kind}: consistency`, () => {
    const names = Array.from({ length: 10 }, (_, at) => hostOf(`10.0.0.${at}:8080`));
    const hashes = Array.from({ length: 2000 }, hashesOf(3));
    const owners = (hosts: readonly Host[]): (Host | undefined)[] => {
      const balancer = balancerOf(policy, hosts);
      return hashes.map((hash) => balancer.pick([], hash));
    };

    it("sends a hash to the same host each time, in whatever seed", () => {
      assert.deepEqual(owners(names), owners([...names]));
    });

    it("moves few requests but those of a host that left", () => {
      const gone = names[4]!;
      const before = owners(names);
      const after = owners(names.filter((host) => host !== gone));
      const moved = before.filter((host, at) => host !== gone && host !== after[at]).length;
      // Nine of ten would move by a plain modulus. The others get a few more places each, so that a few move to them.
      assert.ok(moved <= hashes.length * 0.1, `${moved} moved`);
    });

    it("gives a host of double weight double the share", () => {
      const hosts = hostsOf(2, 1, 1);
      const counts = countPicks(balancerOf(policy, hosts), hosts, 20_000, hashesOf(5));
      assert.ok(Math.abs(counts[0]! - 10_000) < 1200, counts.join(", "));
    });
  });
