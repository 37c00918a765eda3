/** loadbalance: orders, shares of weights, files that are wrong or change. */
import assert from "node:assert/strict";
import test from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { answersOf, type Block, serveCorefile } from "../plugin-fixture.ts";
import { parseWeights } from "./loadbalance.ts";

const corefile = (policy: string): string => `. {
  loadbalance ${policy}
  hosts {
    192.0.2.1 a.test b.test
    192.0.2.2 a.test b.test
    192.0.2.3 a.test b.test
    2001:db8::1 a.test
    2001:db8::2 a.test
  }
}`;

/** How often each address came first in 600 answers. */
async function firsts(block: Block, query: string): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (let round = 0; round < 600; round++) {
    const answers = answersOf(await block.ask(query)).map((line) => line.split(" ").at(-1) ?? "");
    assert.equal(new Set(answers).size, answers.length);
    const [first = ""] = answers;
    counts[first] = (counts[first] ?? 0) + 1;
  }
  return counts;
}

const between = (low: number, value: number | undefined, high: number): void =>
  assert.ok(value !== undefined && value > low && value < high, `${value} not between ${low} and ${high}`);

test("weighted puts an address first as often as it weighs, and leaves names without weights", async (t) => {
  const files = { weights: "# shares\na.test\n192.0.2.1 4 # most\n192.0.2.3 1\n2001:db8:0::2 2\n" };
  const block = await serveCorefile(t, corefile("weighted weights"), { files });
  const found = await firsts(block, "a.test A");
  // 4, 1 (not listed) and 1 of 6.
  between(350, found["192.0.2.1"], 450);
  between(60, found["192.0.2.2"], 140);
  between(60, found["192.0.2.3"], 140);
  between(340, (await firsts(block, "A.test AAAA"))["2001:db8::2"], 460);
  assert.deepEqual(await firsts(block, "b.test A"), { "192.0.2.1": 600 });
});

test("weighted takes changed weights after its time, and keeps the old ones when they are wrong", async (t) => {
  const clock = new ManualClock();
  const files = { weights: "a.test\n192.0.2.1 255\n" };
  const block = await serveCorefile(t, corefile("weighted weights {\n    reload 10s\n  }"), { files, clock });
  between(560, (await firsts(block, "a.test A"))["192.0.2.1"], 601);
  files.weights = "a.test\n192.0.2.2 255\n";
  between(560, (await firsts(block, "a.test A"))["192.0.2.1"], 601);
  await clock.advance(10_000);
  between(560, (await firsts(block, "a.test A"))["192.0.2.2"], 601);
  files.weights = "a.test\n192.0.2.3 many\n";
  await clock.advance(10_000);
  between(560, (await firsts(block, "a.test A"))["192.0.2.2"], 601);
  assert.match(block.logged.join("\n"), /Cannot take the changed weights/);
});

test("round_robin draws all alike, and prefer overrules both policies", async (t) => {
  const found = await firsts(await serveCorefile(t, corefile("round_robin")), "a.test A");
  for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) between(140, found[address], 260);
  const files = { weights: "a.test\n192.0.2.1 255\n" };
  const prefer = "{\n    prefer 192.0.2.3/32\n  }";
  for (const policy of ["round_robin", "weighted weights"]) {
    const block = await serveCorefile(t, corefile(`${policy} ${prefer}`), { files });
    assert.deepEqual(await firsts(block, "a.test A"), { "192.0.2.3": 600 });
  }
});

test("parseWeights() and setup refuse what is wrong, with its place", async (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["192.0.2.1 1", /^Cannot read w:1: "192\.0\.2\.1 1", wanted a name before its addresses$/],
    ["a.test\n\n192.0.2.1 0", /^Cannot read w:3: .*wanted an address and a weight from 1 to 255$/],
    ["a.test\n192.0.2.1 256", /weight from 1 to 255/],
    ["a.test\n192.0.2.1 1 2", /weight from 1 to 255/],
    ["a.test\nb.test 3", /weight from 1 to 255/],
    ["a.test\n192.0.2.1", /wanted an address with its weight/],
    ["a..test", /wanted a name/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseWeights(text, "w"), { message });
  await assert.rejects(serveCorefile(t, corefile("weighted none")), /cannot read none, wanted a file of weights/);
  await assert.rejects(serveCorefile(t, corefile("weighted")), /no argument, wanted weighted FILE/);
  await assert.rejects(serveCorefile(t, corefile("heaviest")), /wanted round_robin or weighted FILE/);
});
