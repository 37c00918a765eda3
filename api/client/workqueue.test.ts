/** One at a time per key, again when it changed or failed. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StatusError } from "#api/status.ts";
import { ManualClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { Workqueue } from "./workqueue.ts";

interface Bench {
  readonly queue: Workqueue;
  readonly clock: ManualClock;
  readonly stop: AbortController;
  /** Keys that were begun, in order. */
  readonly begun: string[];
  /** Ends the work that was begun first, well or not. */
  readonly finish: (error?: Error) => Promise<void>;
  /** Log lines of at least warn. */
  readonly warnings: string[];
}

function benchOf(concurrency = 1): Bench {
  const clock = new ManualClock();
  const begun: string[] = [];
  const warnings: string[] = [];
  const open: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const reconcile = (key: string): Promise<void> => {
    begun.push(key);
    return new Promise((resolve, reject) => open.push({ resolve, reject }));
  };
  const log = createLogger("test", "warn", (line) => void warnings.push(line));
  const queue = new Workqueue({ name: "test", reconcile, clock, random: seededRandom(1), log, concurrency });
  const finish = async (error?: Error): Promise<void> => {
    const work = open.shift();
    assert.ok(work !== undefined, "work is under way");
    if (error === undefined) work.resolve();
    else work.reject(error);
    await clock.advance(0);
  };
  return { queue, clock, stop: new AbortController(), begun, finish, warnings };
}

describe("Workqueue", () => {
  it("begins nothing before start(), then what was added, each key once", async () => {
    const { queue, stop, begun, finish } = benchOf();
    for (const key of ["a", "b", "a"]) queue.add(key);
    assert.deepEqual([begun, queue.depth], [[], 2]);
    queue.start(stop.signal);
    await finish();
    await finish();
    assert.deepEqual([begun, queue.depth], [["a", "b"], 0]);
  });

  it("works on a key that is added meanwhile once more afterwards, never twice at a time", async () => {
    const { queue, clock, stop, begun, finish } = benchOf(4);
    queue.start(stop.signal);
    queue.add("a");
    await clock.advance(0);
    queue.add("a");
    queue.add("a");
    await clock.advance(0);
    assert.deepEqual(begun, ["a"]);
    await finish();
    assert.deepEqual(begun, ["a", "a"]);
    await finish();
    assert.deepEqual(begun, ["a", "a"]);
  });

  it("works on at most `concurrency` keys at a time", async () => {
    const { queue, clock, stop, begun, finish } = benchOf(2);
    queue.start(stop.signal);
    for (const key of ["a", "b", "c"]) queue.add(key);
    await clock.advance(0);
    assert.deepEqual(begun, ["a", "b"]);
    await finish();
    assert.deepEqual(begun, ["a", "b", "c"]);
  });

  it("tries a failed key again after a back-off that doubles, and starts afresh after a success", async () => {
    const { queue, clock, stop, begun, finish, warnings } = benchOf();
    queue.start(stop.signal);
    queue.add("a");
    await clock.advance(0);
    await finish(new Error("no"));
    await clock.advance(4);
    assert.equal(begun.length, 1);
    await clock.advance(1);
    assert.equal(begun.length, 2);
    await finish(new Error("no"));
    await clock.advance(8);
    assert.equal(begun.length, 2);
    await clock.advance(2);
    assert.equal(begun.length, 3);
    await finish();
    queue.add("a");
    await clock.advance(0);
    await finish(new Error("no"));
    await clock.advance(5);
    assert.equal(begun.length, 5);
    assert.equal(warnings.length, 3);
  });

  it("is quiet about a conflict", async () => {
    const { queue, clock, stop, finish, warnings } = benchOf();
    queue.start(stop.signal);
    queue.add("a");
    await clock.advance(0);
    await finish(new StatusError("Conflict", "stale"));
    assert.deepEqual(warnings, []);
  });

  it("adds a key later, and begins nothing once it was stopped", async () => {
    const { queue, clock, stop, begun, finish } = benchOf();
    queue.start(stop.signal);
    queue.addAfter("a", 100);
    await clock.advance(99);
    assert.deepEqual(begun, []);
    await clock.advance(1);
    assert.deepEqual(begun, ["a"]);
    queue.add("b");
    stop.abort();
    await finish();
    assert.deepEqual(begun, ["a"]);
  });

  it("keeps one timer a key, the earliest that was asked for", async () => {
    const { queue, clock, stop, begun, finish } = benchOf();
    queue.start(stop.signal);
    for (const delayMs of [100, 50, 80, 50]) queue.addAfter("a", delayMs);
    await clock.advance(50);
    assert.deepEqual(begun, ["a"]);
    await finish();
    await clock.advance(1000);
    assert.deepEqual(begun, ["a"]);
  });
});
