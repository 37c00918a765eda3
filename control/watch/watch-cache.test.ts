/** Tests of the watch cache over a real store in memory: filters, resumption, slow watchers, restarts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { WatchEvent } from "#api/client/client.ts";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { isExpired, StatusError } from "#api/status.ts";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { silentLogger } from "#lib/log.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { type CacheEvent, EventRing } from "./event-ring.ts";
import { storeKey } from "./keys.ts";
import { encodeObject, WatchCache, type WatchCacheConfig } from "./watch-cache.ts";
import type { Watcher } from "./watcher.ts";

interface Bed {
  readonly store: Store;
  readonly cache: WatchCache;
  readonly clock: ManualClock;
  /** Writes a ConfigMap with a label, or removes it. */
  readonly write: (name: string, label: string | undefined) => Promise<void>;
}

async function withCache(config: WatchCacheConfig, body: (bed: Bed) => Promise<void>): Promise<void> {
  const store = openSqliteStore({ path: ":memory:" });
  const clock = new ManualClock();
  const cache = new WatchCache({ store, kinds: [configMaps], clock, log: silentLogger, config });
  try {
    await cache.start();
    await body({ store, cache, clock, write: (name, label) => write(store, name, label) });
  } finally {
    cache.close();
    await store.close();
  }
}

async function write(store: Store, name: string, label: string | undefined): Promise<void> {
  const key = storeKey(configMaps, { namespace: "default", name });
  const at = (await store.get(key))?.modRevision ?? 0;
  const labels = { on: label ?? "" };
  const object: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default", labels } };
  if (label === undefined) await store.remove(key, at);
  else await store.put(key, encodeObject(object), at);
}

function show(events: readonly WatchEvent[]): string[] {
  return events.map(({ type, object }) =>
    "name" in object.metadata ? `${type} ${object.metadata.name}@${object.metadata.resourceVersion}` : type,
  );
}

async function take(watcher: Watcher, count: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = [];
  while (events.length < count) {
    const batch = await watcher.next();
    if (batch === undefined) break;
    events.push(...batch);
  }
  return events;
}

const isOn = (object: { readonly metadata: ConfigMap["metadata"] }): boolean =>
  object.metadata.labels?.["on"] === "yes";

test("watch() turns a change of the selector's answer into ADDED and DELETED", async () => {
  await withCache({}, async ({ cache, write }) => {
    const watcher = cache.watch(configMaps, { matches: isOn });
    await write("a", "no");
    await write("a", "yes");
    await write("a", "yes");
    await write("a", "no");
    await write("a", "yes");
    await write("a", undefined);
    await write("b", "no");
    assert.deepEqual(show(await take(watcher, 5)), [
      "ADDED a@2",
      "MODIFIED a@3",
      "DELETED a@4",
      "ADDED a@5",
      "DELETED a@6",
    ]);
  });
});

test("watch() without a revision begins with the state, with a revision after it", async () => {
  await withCache({}, async ({ cache, write }) => {
    await write("b", "yes");
    await write("a", "yes");
    assert.deepEqual(show(await take(cache.watch(configMaps, {}), 2)), ["ADDED a@2", "ADDED b@1"]);
    assert.deepEqual(show(await take(cache.watch(configMaps, { after: 1 }), 1)), ["ADDED a@2"]);
    assert.throws(
      () => cache.watch(configMaps, { after: 3 }),
      (error) => error instanceof StatusError && error.code === "Timeout",
    );
  });
});

test("watch() answers a revision that the ring has lost with Expired", async () => {
  await withCache({ ringCapacity: 3 }, async ({ cache, write }) => {
    for (let index = 0; index < 5; index++) await write("a", "yes");
    assert.throws(() => cache.watch(configMaps, { after: 1 }), isExpired);
    assert.equal((await take(cache.watch(configMaps, { after: 2 }), 3)).length, 3);
  });
});

test("Watcher ends a slow reader's stream, counts it, and leaves the others alone", async () => {
  await withCache({ queueMax: 5 }, async ({ cache, write }) => {
    const slow = cache.watch(configMaps, { after: 0 });
    const quick = cache.watch(configMaps, { after: 0 });
    for (let index = 0; index < 8; index++) {
      await write("a", "yes");
      assert.equal((await quick.next())?.length, 1);
    }
    assert.equal(await slow.next(), undefined);
    assert.equal(slow.end, "slow");
    assert.equal(cache.counts.slowTotal, 1);
    assert.equal(cache.counts.watchers, 1);
  });
});

test("WatchCache sends bookmarks only to idle watchers that want them", async () => {
  await withCache({ bookmarkMs: 1000 }, async ({ cache, clock, write }) => {
    const wanted = cache.watch(configMaps, { matches: isOn, allowBookmarks: true });
    const unwanted = cache.watch(configMaps, { matches: isOn });
    await write("a", "no");
    await clock.advance(1000);
    const [bookmark] = await take(wanted, 1);
    assert.ok(bookmark?.type === "BOOKMARK");
    assert.deepEqual(bookmark.object.metadata, { resourceVersion: "1" });
    unwanted.close();
    assert.equal(await unwanted.next(), undefined);
  });
});

test("WatchCache resumes watches over a restart", async () => {
  await withCache({}, async ({ store, write }) => {
    for (const name of ["a", "b", "c"]) await write(name, "yes");
    const again = new WatchCache({ store, kinds: [configMaps], clock: new ManualClock(), log: silentLogger });
    await again.start();
    assert.deepEqual(show(await take(again.watch(configMaps, { after: 1 }), 2)), ["ADDED b@2", "ADDED c@3"]);
    again.close();
  });
});

test("WatchCache leaves out what it cannot decode and serves the rest", async () => {
  await withCache({}, async ({ store, cache, write }) => {
    await store.put(storeKey(configMaps, { namespace: "default", name: "bad" }), "{", 0);
    await write("good", "yes");
    assert.deepEqual(
      cache.list(configMaps).map((object) => object.metadata.name),
      ["good"],
    );
    assert.equal(cache.counts.undecodableTotal, 1);
  });
});

test("objects of the cache are frozen all the way down", async () => {
  await withCache({}, async ({ cache, write }) => {
    await write("a", "yes");
    const object = cache.get(configMaps, { namespace: "default", name: "a" });
    assert.ok(Object.isFrozen(object) && Object.isFrozen(object?.metadata.labels));
  });
});

test("2,000 events reach quick, slow and resuming watchers without loss, repetition or disorder", async () => {
  await withCache({ ringCapacity: 4096, queueMax: 40 }, async ({ cache, write }) => {
    const random = seededRandom(7);
    const total = 2000;
    // Each reader pauses at random; one that is ended for slowness resumes from the last revision that it saw.
    const read = async (pauseRatio: number): Promise<{ seen: number[]; resumed: number }> => {
      const seen: number[] = [];
      let [last, resumed] = [0, 0];
      let watcher = cache.watch(configMaps, { after: last });
      while (seen.length < total) {
        if (random.next() < pauseRatio)
          for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
        const events = await watcher.next();
        for (const event of events ?? []) {
          last = Number((event.object as ConfigMap).metadata.resourceVersion);
          seen.push(last);
        }
        if (events !== undefined) continue;
        resumed++;
        watcher = cache.watch(configMaps, { after: last });
      }
      watcher.close();
      return { seen, resumed };
    };
    const readers = [0, 0, 0.2, 0.5, 0.9].map(read);
    for (let index = 0; index < total; index++) await write(`c${index % 11}`, `${index}`);
    const results = await Promise.all(readers);
    const expected = Array.from({ length: total }, (_, index) => index + 1);
    for (const { seen } of results) assert.deepEqual(seen, expected);
    assert.ok(results.some(({ resumed }) => resumed > 0));
    assert.equal(cache.counts.watchers, 0);
  });
});

test("EventRing.since() agrees with a list that forgets", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 30 }),
      (capacity, gaps) => {
        const ring = new EventRing(capacity, 0);
        const all: CacheEvent[] = [];
        let revision = 0;
        for (const gap of gaps) {
          revision += gap;
          const event = { revision, object: undefined, previous: undefined };
          ring.push(event);
          all.push(event);
        }
        const lost = all.at(-capacity - 1)?.revision ?? 0;
        for (let after = 0; after <= revision; after++)
          assert.deepEqual(ring.since(after), after < lost ? undefined : all.filter((event) => event.revision > after));
      },
    ),
  );
});
