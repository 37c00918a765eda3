/** Tests of the compactor over a real store in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { Compactor } from "./compactor.ts";
import { openSqliteStore } from "./sqlite.ts";

test("Compactor forgets what is older than the history, and nothing younger", async () => {
  const clock = new ManualClock();
  const store = openSqliteStore({ path: ":memory:" });
  const compactor = new Compactor(store, clock, silentLogger, { historyMs: 100, intervalMs: 10 });
  try {
    compactor.start();
    await store.put("/a", "1", 0);
    await clock.advance(50);
    await store.put("/b", "1", 0);
    assert.equal(await store.oldestRevision(), 0);
    await clock.advance(70);
    assert.equal(await store.oldestRevision(), 1);
    await clock.advance(100);
    assert.equal(await store.oldestRevision(), 2);
  } finally {
    compactor.close();
    await store.close();
  }
});
