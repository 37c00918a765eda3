/** Time by hand, and back-off and chance that repeat. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { backoffMs } from "./backoff.ts";
import { ManualClock, realClock } from "./clock.ts";
import { seededRandom } from "./random.ts";

describe("ManualClock", () => {
  it("runs timers in order of due time, then of creation, at their time", async () => {
    const clock = new ManualClock(0);
    const ran: string[] = [];
    const note = (name: string) => (): void => void ran.push(`${name}@${clock.nowMs()}`);
    clock.after(20, note("b"));
    clock.after(10, note("a"));
    clock.after(20, note("c"));
    clock.after(31, note("late"));
    clock.after(5, () => clock.after(5, note("nested")));
    await clock.advance(30);
    assert.deepEqual(ran, ["a@10", "nested@10", "b@20", "c@20"]);
    assert.equal(clock.nowMs(), 30);
  });

  it("does not run what was cancelled", async () => {
    const clock = new ManualClock(0);
    let ran = false;
    clock.after(1, () => (ran = true)).cancel();
    await clock.advance(10);
    assert.equal(ran, false);
  });

  it("sleep() ends at its time, or rejects with the reason of the abort", async () => {
    const clock = new ManualClock(0);
    const stop = new AbortController();
    const slept = clock.sleep(10).then(() => clock.nowMs());
    const aborted = assert.rejects(clock.sleep(10, stop.signal), /enough/);
    stop.abort(new Error("enough"));
    await clock.advance(20);
    assert.equal(await slept, 10);
    await aborted;
    await assert.rejects(clock.sleep(10, stop.signal), /enough/);
  });
});

describe("realClock", () => {
  it("sleep() rejects when aborted, before or meanwhile", async () => {
    const stop = new AbortController();
    const sleeping = assert.rejects(realClock.sleep(60_000, stop.signal), /enough/);
    stop.abort(new Error("enough"));
    await sleeping;
    await assert.rejects(realClock.sleep(60_000, stop.signal), /enough/);
  });
});

describe("backoffMs()", () => {
  it("doubles up to its maximum", () => {
    const random = seededRandom(1);
    const delays = [0, 1, 2, 3, 4, 1000].map((attempt) => backoffMs(attempt, { baseMs: 10, maxMs: 80 }, random));
    assert.deepEqual(delays, [10, 20, 40, 80, 80, 80]);
  });

  it("takes off at most the jitter's share", () => {
    fc.assert(
      fc.property(
        fc.nat(100),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer(),
        (attempt, jitterRatio, seed) => {
          const fullMs = backoffMs(attempt, { baseMs: 10, maxMs: 5000 }, seededRandom(0));
          const delayMs = backoffMs(attempt, { baseMs: 10, maxMs: 5000, jitterRatio }, seededRandom(seed));
          assert.ok(delayMs <= fullMs && delayMs >= fullMs * (1 - jitterRatio));
        },
      ),
    );
  });
});

describe("seededRandom()", () => {
  it("gives equal sequences for equal seeds, in [0, 1)", () => {
    const take = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 1000 }, () => random.next());
    };
    assert.deepEqual(take(7), take(7));
    assert.notDeepEqual(take(7), take(8));
    assert.ok(take(7).every((number) => number >= 0 && number < 1));
  });
});

describe("realClock", () => {
  it("waits longer than one timer of Node.js can, instead of not at all", async () => {
    let ran = false;
    const stop = new AbortController();
    const timer = realClock.after(2 ** 31 + 1000, () => (ran = true));
    const slept = assert.rejects(realClock.sleep(2 ** 40, stop.signal), /enough/);
    await realClock.sleep(10);
    assert.equal(ran, false);
    timer.cancel();
    stop.abort(new Error("enough"));
    await slept;
  });
});
