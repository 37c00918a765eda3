/** Counters that are kept elsewhere, as they count from a reset on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CounterBaselines, type KeptStats } from "./counter-baselines.ts";
import type { Stat } from "./stats.ts";

const total = (value: number): Stat => ({ name: "total", kind: "counter", value });
const open = (value: number): Stat => ({ name: "open", kind: "gauge", value });

test("CounterBaselines takes off what counters had at the last reset, and nothing of gauges", () => {
  const baselines = new CounterBaselines();
  const keeper = {};
  const kept = (...stats: Stat[]): KeptStats[] => [{ keeper, stats }];
  assert.deepEqual(baselines.since(kept(total(3), open(2))), [total(3), open(2)]);
  baselines.reset(kept(total(3), open(2)));
  assert.deepEqual(baselines.since(kept(total(3), open(2))), [total(0), open(2)]);
  assert.deepEqual(baselines.since(kept(total(5), open(1))), [total(2), open(1)]);
  baselines.reset(kept(total(7)));
  assert.deepEqual(baselines.since(kept(total(8))), [total(1)]);
});

test("CounterBaselines counts what was made anew since the reset from zero, however much it has counted", () => {
  const baselines = new CounterBaselines();
  baselines.reset([{ keeper: {}, stats: [total(10)] }]);
  for (const value of [4, 12])
    assert.deepEqual(baselines.since([{ keeper: {}, stats: [total(value)] }]), [total(value)]);
});
