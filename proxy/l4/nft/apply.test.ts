/** What is written when: over a fake nft that takes its time. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { defaultFacts } from "../../config.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import type { NodeFacts } from "../facts.ts";
import { planSkeleton } from "../skeleton.ts";
import { Applier } from "./apply.ts";
import { FakeNft } from "./fake.ts";
import type { Change } from "./types.ts";

/** How long nft takes, in ms. */
const nftMs = 5;

interface Bed {
  readonly nft: FakeNft;
  readonly clock: ManualClock;
  readonly make: (facts?: Partial<NodeFacts>) => Applier;
}

function bed(t: TestContext): Bed {
  const nft = new FakeNft();
  const clock = new ManualClock();
  return {
    nft,
    clock,
    make(facts = {}) {
      const applier = new Applier({
        exec: async (command, input) => {
          await clock.sleep(nftMs);
          return nft.exec(command, input);
        },
        clock,
        random: seededRandom(1),
        log: silentLogger,
        observer: { applied: () => undefined, failed: () => undefined, cleanupFailed: () => undefined },
        skeleton: planSkeleton({ ...defaultFacts, ...facts }, "IPv4"),
      });
      t.after(async () => {
        // What runs at the end of a test takes its time, too.
        const closed = applier.close();
        await clock.advance(nftMs);
        await closed;
      });
      return applier;
    },
  };
}

function clusterIPs(count: number, from = 0): Change {
  const keys = Array.from({ length: count }, (_, at) => `10.96.${(from + at) >> 8}.${(from + at) & 255}`);
  const elements = new Map([["cluster-ips", new Map(keys.map((key) => [key, ""]))]]);
  return { chains: new Map(), sets: new Map(), elements };
}

/** One element more each 2 ms from now on: more than nft takes. */
function keepChanging(applier: Applier, clock: ManualClock, from = 0): void {
  applier.update(clusterIPs(1, from));
  void applier.flush();
  clock.after(2, () => keepChanging(applier, clock, from + 1));
}

test("tell() has its turn while changes never end", async (t) => {
  const { nft, clock, make } = bed(t);
  const applier = make();
  void applier.flush();
  await clock.advance(100);
  const toldMs: number[] = [];
  keepChanging(applier, clock);
  const say = (): void => {
    const text = (table: string): string => `flush chain ${table} mark-for-masquerade\n`;
    void applier.tell(text).then(() => toldMs.push(clock.nowMs()));
    clock.after(1000, say);
  };
  const startMs = clock.nowMs();
  say();
  await clock.advance(20_000);
  assert.ok(nft.transactions.length > 1000, "changes go on");
  const gapsMs = toldMs.map((ms, at) => ms - (toldMs[at - 1] ?? startMs));
  assert.equal(toldMs.length, 20);
  assert.ok(Math.max(...gapsMs) < 1100, `${Math.max(...gapsMs)} ms without a word`);
});

test("verify() has its turn, too: rules that are gone are found while changes never end", async (t) => {
  const { nft, clock, make } = bed(t);
  const applier = make();
  void applier.flush();
  await clock.advance(100);
  const before = nft.dump().filter((line) => line.startsWith("filter-forward"));
  keepChanging(applier, clock);
  await nft.exec(["nft", "-f", "-"], "flush table ip wherry-proxy\n");
  void applier.verify();
  await clock.advance(500);
  assert.deepEqual(
    nft.dump().filter((line) => line.startsWith("filter-forward")),
    before,
  );
});

test("close() writes nothing more: the table is that of the next one", async (t) => {
  const { nft, clock, make } = bed(t);
  const old = make({ serviceCIDRs: ["10.96.0.0/12"] });
  // So many that it takes several transactions under the other name.
  old.update(clusterIPs(20_000));
  void old.flush();
  await clock.advance(4 * nftMs);
  const { length } = nft.transactions;
  assert.ok(length > 1);
  const closed = old.close();
  const fresh = make({ serviceCIDRs: ["10.112.0.0/12"] });
  const ready = closed.then(() => fresh.flush());
  await clock.advance(200);
  await ready;
  const rules = nft.dump().filter((line) => line.startsWith("filter-input"));
  assert.equal(rules.filter((line) => line.includes("10.112.0.0/12")).length, 1);
  assert.equal(rules.filter((line) => line.includes("10.96.0.0/12")).length, 0);
  assert.deepEqual(nft.tableNames, ["ip wherry-proxy"]);
  // The transactions that ran already, the listing apart, and the one of the next.
  assert.ok(nft.transactions.length <= length + 3, `${nft.transactions.length - length} more`);
});
