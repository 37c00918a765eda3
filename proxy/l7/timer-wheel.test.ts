/** Deadlines on a manual clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { ManualClock } from "#lib/clock.ts";
import { Deadline, TimerWheel, tickMs } from "./timer-wheel.ts";

test("TimerWheel never fires early, and at most two ticks late", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 120_000 }), { minLength: 1, maxLength: 6 }), async (delays) => {
      const clock = new ManualClock(12_345);
      const wheel = new TimerWheel(clock);
      const fired: (readonly [number, number])[] = [];
      for (const delay of delays) {
        const dueMs = clock.monotonicMs() + delay;
        wheel.arm(new Deadline(() => fired.push([dueMs, clock.monotonicMs()])), dueMs);
      }
      await clock.advance(120_000 + 3 * tickMs);
      assert.equal(fired.length, delays.length);
      for (const [dueMs, atMs] of fired) assert.ok(atMs >= dueMs && atMs <= dueMs + 2 * tickMs, `${dueMs} at ${atMs}`);
      assert.equal(wheel.size, 0);
    }),
    { numRuns: 5, seed: 3 },
  );
});

test("TimerWheel moves and cancels deadlines", async () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const nowMs = clock.monotonicMs();
  const fired: string[] = [];
  const later = new Deadline(() => fired.push("later"));
  const sooner = new Deadline(() => fired.push("sooner"));
  const never = new Deadline(() => fired.push("never"));
  wheel.arm(later, nowMs + 500);
  wheel.arm(later, nowMs + 2000);
  wheel.arm(sooner, nowMs + 2000);
  wheel.arm(sooner, nowMs + 500);
  wheel.arm(never, nowMs + 500);
  wheel.cancel(never);
  await clock.advance(1000);
  assert.deepEqual(fired, ["sooner"]);
  await clock.advance(1500);
  assert.deepEqual(fired, ["sooner", "later"]);
});
