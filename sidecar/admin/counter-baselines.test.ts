/** Counters that are kept elsewhere, as they count from a reset on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CounterBaselines } from "./counter-baselines.ts";
import type { Stat } from "./stats.ts";

const total = (value: number): Stat => ({ name: "total", kind: "counter", value });
const open = (value: number): Stat => ({ name: "open", kind: "gauge", value });

test("CounterBaselines takes off what counters had at the last reset, and nothing of gauges", () => {
  const baselines = new CounterBaselines();
  assert.deepEqual(baselines.since([total(3), open(2)]), [total(3), open(2)]);
  baselines.reset([total(3), open(2)]);
  assert.deepEqual(baselines.since([total(3), open(2)]), [total(0), open(2)]);
  assert.deepEqual(baselines.since([total(5), open(1)]), [total(2), open(1)]);
  baselines.reset([total(7)]);
  assert.deepEqual(baselines.since([total(8)]), [total(1)]);
});

test("CounterBaselines counts a source that was made anew from zero, for good", () => {
  const baselines = new CounterBaselines();
  baselines.reset([total(10)]);
  assert.deepEqual(baselines.since([total(4)]), [total(4)]);
  assert.deepEqual(baselines.since([total(12)]), [total(12)]);
});
