/** Deadlines on a manual clock. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { type Clock, ManualClock } from "#lib/clock.ts";
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

test("TimerWheel wakes nobody while its deadlines are far", async () => {
  const clock = new ManualClock();
  let wakes = 0;
  const counting: Clock = {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
    after: (delayMs, callback) =>
      clock.after(delayMs, () => {
        wakes++;
        callback();
      }),
  };
  const wheel = new TimerWheel(counting);
  const nowMs = clock.monotonicMs();
  const fired: number[] = [];
  wheel.arm(new Deadline((atMs) => fired.push(atMs - nowMs)), nowMs + 3_600_000);
  await clock.advance(60_000);
  // Once a turn of 512 ticks, instead of 600 times.
  assert.ok(wakes <= 2, `${wakes} wakes`);
  // What is nearer than what it sleeps for wakes it in time.
  wheel.arm(new Deadline((atMs) => fired.push(atMs - nowMs)), nowMs + 61_000);
  await clock.advance(2000);
  assert.equal(fired.length, 1);
  assert.ok(fired[0]! >= 61_000 && fired[0]! <= 61_200);
});

test("TimerWheel fires those that are armed, whatever was moved and cancelled before, also by one that fires", async () => {
  const step = fc.record({
    what: fc.constantFrom("arm" as const, "cancel" as const, "advance" as const),
    who: fc.integer({ min: 0, max: 7 }),
    ms: fc.integer({ min: 0, max: 120_000 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = new ManualClock(777);
      const wheel = new TimerWheel(clock);
      /** When each must fire; those that must not are missing. */
      const due = new Map<number, number>();
      const deadlines = Array.from(
        { length: 8 },
        (_, who) =>
          new Deadline((nowMs) => {
            const dueMs = due.get(who) ?? Infinity;
            assert.ok(nowMs >= dueMs && nowMs <= dueMs + 2 * tickMs, `${who}: ${dueMs} at ${nowMs}`);
            due.delete(who);
            // Who fires may end its neighbour.
            const other = (who + 1) % 8;
            wheel.cancel(deadlines[other]!);
            due.delete(other);
          }),
      );
      for (const { what, who, ms } of steps) {
        if (what === "advance") await clock.advance(ms);
        else if (what === "cancel") {
          wheel.cancel(deadlines[who]!);
          due.delete(who);
        } else {
          wheel.arm(deadlines[who]!, clock.monotonicMs() + ms);
          due.set(who, clock.monotonicMs() + ms);
        }
        assert.equal(wheel.size, due.size);
      }
      await clock.advance(120_000 + 3 * tickMs);
      assert.deepEqual([...due.keys()], []);
    }),
    { numRuns: 80, seed: 5 },
  );
});
