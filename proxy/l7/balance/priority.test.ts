/** Envoy's own tables of priority levels (its documentation, "Priority levels" and "Panic threshold"). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { levelFor, priorityLoads } from "./priority.ts";

const options = { overprovisioning: 140, panicThreshold: 50 };
const levels = (...percents: number[]): { total: number; healthy: number }[] =>
  percents.map((healthy) => ({ total: 100, healthy }));

describe("priorityLoads()", () => {
  for (const [percents, wanted] of [
    [[100, 100], "100 0"],
    [[72, 72], "100 0"],
    [[71, 71], "99 1"],
    [[50, 50], "70 30"],
    [[25, 100], "35 65"],
    [[25, 25], "50! 50!"],
    [[0, 100], "0 100"],
    [[5, 0], "100! 0!"],
    [[100], "100"],
    [[60], "100"],
    [[40], "100!"],
    [[0], "100!"],
    [[0, 0], "50! 50!"],
  ] as const)
    it(`gives priorities that are ${percents.join(" % and ")} % healthy ${wanted}`, () => {
      const loads = priorityLoads(levels(...percents), options);
      assert.equal(loads.map(({ load, isPanic }) => `${load}${isPanic ? "!" : ""}`).join(" "), wanted);
    });

  // Healthy and degraded in percent of each priority → the loads of the healthy ones | those of the degraded ones.
  for (const [percents, wanted] of [
    [[[100, 0]], "100"],
    [[[50, 50]], "70 | 30"],
    [[[80, 20]], "100 | 0"],
    [[[0, 100]], "0 | 100"],
    [[[0, 50]], "0 | 100"],
    [[[0, 40]], "0! | 100!"],
    [[[20, 20]], "50! | 50!"],
    [
      [
        [0, 100],
        [100, 0],
      ],
      "0 100 | 0 0",
    ],
    [
      [
        [25, 25],
        [25, 25],
      ],
      "35 35 | 30 0",
    ],
  ] as const)
    it(`gives what is healthy and degraded by ${percents.map((one) => one.join(" + ")).join(" and ")} % ${wanted}`, () => {
      const given = percents.map(([healthy, degraded]) => ({ total: 100, healthy, degraded }));
      const loads = priorityLoads(given, options).map(({ load, isPanic }) => `${load}${isPanic ? "!" : ""}`);
      const [healthy, degraded] = [loads.slice(0, given.length), loads.slice(given.length)];
      assert.equal([healthy, degraded].flatMap((of) => (of.length > 0 ? [of.join(" ")] : [])).join(" | "), wanted);
    });

  it("panics never at a threshold of 0", () => {
    assert.deepEqual(priorityLoads(levels(1), { ...options, panicThreshold: 0 }), [{ load: 100, isPanic: false }]);
    assert.deepEqual(priorityLoads(levels(0), { ...options, panicThreshold: 0 }), [{ load: 0, isPanic: false }]);
  });

  it("gives 100 in all, or nothing where there is no endpoint", () => {
    const level = fc.record({
      total: fc.integer({ min: 0, max: 50 }),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(level, { minLength: 1, maxLength: 5 }), (drawn) => {
        const given = drawn.map(({ total, part }) => ({ total, healthy: Math.floor(total * part) }));
        const sum = priorityLoads(given, options).reduce((all, { load }) => all + load, 0);
        assert.equal(sum, given.every(({ total }) => total === 0) ? 0 : 100);
      }),
    );
  });
});

describe("levelFor()", () => {
  it("draws by load", () => {
    const loads = priorityLoads(levels(50, 50), options);
    assert.deepEqual(
      [0, 0.69, 0.7, 0.999].map((draw) => levelFor(loads, draw)),
      [0, 0, 1, 1],
    );
    assert.equal(levelFor([{ load: 0, isPanic: false }], 0.5), undefined);
  });
});
