/** Debounce: quiet time, longest time, and one run for many touches. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { Debounce, defaultDebounce } from "./debounce.ts";

function start(): { clock: ManualClock; debounce: Debounce; runs: { atMs: number; firstMs: number }[] } {
  const clock = new ManualClock(0);
  const runs: { atMs: number; firstMs: number }[] = [];
  const debounce = new Debounce(clock, defaultDebounce, (firstMs) => runs.push({ atMs: clock.nowMs(), firstMs }));
  return { clock, debounce, runs };
}

test("touch() runs once, 10 ms after the last of several changes", async () => {
  const { clock, debounce, runs } = start();
  debounce.touch();
  await clock.advance(6);
  debounce.touch();
  await clock.advance(6);
  assert.deepEqual(runs, []);
  await clock.advance(50);
  assert.deepEqual(runs, [{ atMs: 16, firstMs: 0 }]);
});

test("touch() runs 100 ms after the first change when changes never cease", async () => {
  const { clock, debounce, runs } = start();
  for (let ms = 0; ms < 150; ms += 5) {
    debounce.touch();
    await clock.advance(5);
  }
  assert.deepEqual(runs[0], { atMs: 100, firstMs: 0 });
});

test("touch() starts anew after a run", async () => {
  const { clock, debounce, runs } = start();
  debounce.touch();
  await clock.advance(20);
  debounce.touch();
  await clock.advance(20);
  assert.deepEqual(
    runs.map(({ firstMs }) => firstMs),
    [0, 20],
  );
});

test("close() stops what is due", async () => {
  const { clock, debounce, runs } = start();
  debounce.touch();
  debounce.close();
  await clock.advance(200);
  assert.deepEqual(runs, []);
});
