/** When tables are looked at and replaced. */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { TableGuard, type TableNews } from "./guard.ts";

interface Bed {
  readonly clock: ManualClock;
  /** What was done to the one table since the last time. */
  readonly done: () => string[];
  /** What the next look finds. */
  readonly hear: (news: TableNews) => void;
}

function bed(t: TestContext, isWatched = true): Bed {
  const clock = new ManualClock();
  let next: TableNews = "none";
  const done: string[] = [];
  const watch = {
    setPaused: () => undefined,
    poll: () => {
      const news = next;
      next = "none";
      return news;
    },
    close: () => undefined,
  };
  const table = {
    verify: async () => void done.push("verify"),
    renew: () => void done.push("renew"),
    invalidate: () => void done.push("invalidate"),
  };
  const options = { clock, log: silentLogger, tables: [table], syncPeriodMs: 30_000 };
  const guard = new TableGuard({ ...options, watch: isWatched ? watch : undefined });
  guard.start();
  t.after(() => guard.close());
  return { clock, done: () => done.splice(0), hear: (news) => void (next = news) };
}

test("what was changed is replaced within a second, each time", async (t) => {
  const { clock, done, hear } = bed(t);
  for (let n = 0; n < 20; n++) {
    hear("changed");
    await clock.advance(1000);
    assert.deepEqual(done(), ["invalidate"]);
  }
});

test("what was missed is replaced within a second ten times, and once a minute from then on", async (t) => {
  const { clock, done, hear } = bed(t);
  for (let n = 0; n < 10; n++) {
    hear("missed");
    await clock.advance(1000);
    assert.deepEqual(done(), ["renew", "verify"]);
  }
  hear("missed");
  await clock.advance(1000);
  assert.deepEqual(done(), []);
  await clock.advance(59_000);
  assert.equal(done().filter((each) => each === "renew").length, 1, "it is not forgotten");
  for (let n = 0; n < 600; n++) {
    hear("missed");
    await clock.advance(1000);
  }
  assert.equal(done().filter((each) => each === "renew").length, 10);
});

test("what is known to be changed needs no second replacement for what was missed before", async (t) => {
  const { clock, done, hear } = bed(t);
  for (let n = 0; n < 11; n++) {
    hear("missed");
    await clock.advance(500);
  }
  done();
  hear("changed");
  await clock.advance(20_000);
  assert.deepEqual(done(), ["invalidate"]);
  await clock.advance(100_000);
  assert.deepEqual(new Set(done()), new Set(["verify"]));
});

test("base chains are looked at each sync period, tables replaced once an hour, watched or not", async (t) => {
  for (const isWatched of [true, false]) {
    const { clock, done } = bed(t, isWatched);
    await clock.advance(3_600_000);
    const all = done();
    assert.equal(all.filter((each) => each === "verify").length, 120);
    assert.equal(all.filter((each) => each === "renew").length, 1);
    assert.equal(all.length, 121);
  }
});
