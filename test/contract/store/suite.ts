/**
 * The contract of control/store/store.ts as tests: every store passes this suite.
 *
 *   sqlite.test.ts, … ─▶ testStore(name, harness) ─▶ node:test
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { type Entry, type Store, StoreError, type StoreEvent, type WriteResult } from "../../../control/store/store.ts";

export interface StoreHarness {
  /** An empty store. */
  open(): Promise<Store>;
  /** What a new process finds after `store` was closed, or, when `isAbrupt`, killed. */
  reopen(store: Store, isAbrupt: boolean): Promise<Store>;
  /** Removes everything. */
  clean(): Promise<void>;
}

/** Registers the suite for one implementation. */
export function testStore(name: string, makeHarness: () => StoreHarness): void {
  const check = (title: string, body: (store: Store, harness: StoreHarness) => Promise<void>): void => {
    test(`${name}: ${title}`, async () => {
      const harness = makeHarness();
      const store = await harness.open();
      try {
        await body(store, harness);
      } finally {
        await store.close();
        await harness.clean();
      }
    });
  };
  testWrites(check);
  testWatches(check);
  testHistory(check);
  testModel(check);
}

type Check = (title: string, body: (store: Store, harness: StoreHarness) => Promise<void>) => void;

function testWrites(check: Check): void {
  check("each write takes the next revision of the whole store", async (store) => {
    assert.equal(await store.revision(), 0);
    assert.equal(written(await store.put("/a", "1", 0)), 1);
    assert.equal(written(await store.put("/b", "1", 0)), 2);
    assert.equal(written(await store.put("/a", "2", 1)), 3);
    assert.equal(written(await store.remove("/b", 2)), 4);
    assert.equal(await store.revision(), 4);
    assert.deepEqual(await store.get("/a"), { key: "/a", value: "2", createRevision: 1, modRevision: 3 });
    assert.equal(await store.get("/b"), undefined);
  });

  check("a write at a stale revision changes nothing and tells what is there", async (store) => {
    await store.put("/a", "1", 0);
    await store.put("/a", "2", 1);
    const current: Entry = { key: "/a", value: "2", createRevision: 1, modRevision: 2 };
    assert.deepEqual(await store.put("/a", "3", 1), { kind: "conflict", current });
    assert.deepEqual(await store.put("/a", "3", 0), { kind: "conflict", current });
    assert.deepEqual(await store.remove("/a", 1), { kind: "conflict", current });
    assert.deepEqual(await store.remove("/none", 0), { kind: "conflict", current: undefined });
    assert.deepEqual(await store.put("/none", "1", 7), { kind: "conflict", current: undefined });
    assert.equal(await store.revision(), 2);
  });

  check("of writes at the same revision at the same time exactly one wins", async (store) => {
    await store.put("/a", "0", 0);
    const results = await Promise.all(Array.from({ length: 20 }, (_, index) => store.put("/a", `${index}`, 1)));
    assert.equal(results.filter((result) => result.kind === "written").length, 1);
    assert.equal(await store.revision(), 2);
  });

  check("list() gives the keys of a prefix, sorted", async (store) => {
    for (const key of ["/b/2", "/a/1", "/b/1", "/c", "/b", "/b/é", "/b/10"]) await store.put(key, key, 0);
    const { revision, entries } = await store.list("/b/");
    assert.equal(revision, 7);
    assert.deepEqual(
      entries.map((entry) => entry.key),
      ["/b/1", "/b/10", "/b/2", "/b/é"],
    );
    assert.equal((await store.list("")).entries.length, 7);
  });

  check("a closed store refuses everything with Closed", async (store) => {
    await store.close();
    await assert.rejects(store.get("/a"), isCode("Closed"));
    await assert.rejects(store.put("/a", "1", 0), isCode("Closed"));
    await assert.rejects(watchAll(store, 0), isCode("Closed"));
  });
}

function testWatches(check: Check): void {
  check("watch() sends each event once, in order, before its write resolves", async (store) => {
    const { events } = await watchAll(store, 0);
    for (let index = 0; index < 50; index++) {
      await store.put(`/${index % 7}`, `${index}`, (await store.get(`/${index % 7}`))?.modRevision ?? 0);
      assert.equal(events.length, index + 1);
    }
    assert.deepEqual(
      events.map((event) => event.revision),
      Array.from({ length: 50 }, (_, index) => index + 1),
    );
  });

  check("watch() resumes after any revision and misses nothing", async (store) => {
    for (let index = 0; index < 30; index++) await store.put(`/${index}`, "1", 0);
    for (const after of [0, 1, 15, 29, 30]) {
      const { events } = await watchAll(store, after);
      assert.equal(events.length, 30 - after);
      assert.ok(events.every((event, index) => event.revision === after + index + 1));
    }
    await assert.rejects(watchAll(store, 31), isCode("FutureRevision"));
  });

  check("watch() filters by prefix and stops at close()", async (store) => {
    const { events, close } = await watchAll(store, 0, "/pods/");
    await store.put("/services/a", "1", 0);
    await store.put("/pods/a", "1", 0);
    close();
    await store.put("/pods/b", "1", 0);
    assert.deepEqual(
      events.map((event) => event.revision),
      [2],
    );
  });

  check("events carry the previous entry, live and replayed", async (store) => {
    const live = await watchAll(store, 0);
    await store.put("/a", "1", 0);
    await store.put("/a", "2", 1);
    await store.remove("/a", 2);
    await store.put("/a", "3", 0);
    const replayed = await watchAll(store, 0);
    assert.deepEqual(replayed.events, live.events);
    const second: Entry = { key: "/a", value: "2", createRevision: 1, modRevision: 2 };
    assert.deepEqual(live.events[1], {
      type: "put",
      revision: 2,
      entry: second,
      previous: { key: "/a", value: "1", createRevision: 1, modRevision: 1 },
    });
    assert.deepEqual(live.events[2], { type: "remove", revision: 3, key: "/a", previous: second });
    assert.deepEqual(live.events[3], {
      type: "put",
      revision: 4,
      entry: { key: "/a", value: "3", createRevision: 4, modRevision: 4 },
      previous: undefined,
    });
  });
}

function testHistory(check: Check): void {
  check("list() at a revision is the state as it was", async (store) => {
    await store.put("/a", "1", 0);
    await store.put("/b", "1", 0);
    await store.remove("/a", 1);
    await store.put("/b", "2", 2);
    const values = async (revision: number): Promise<string[]> =>
      (await store.list("/", { revision })).entries.map(({ key, value }) => `${key}=${value}`);
    assert.deepEqual(await values(0), []);
    assert.deepEqual(await values(1), ["/a=1"]);
    assert.deepEqual(await values(2), ["/a=1", "/b=1"]);
    assert.deepEqual(await values(3), ["/b=1"]);
    assert.deepEqual(await values(4), ["/b=2"]);
    await assert.rejects(values(5), isCode("FutureRevision"));
  });

  check("compact() keeps the state and what is younger, and refuses what is older", async (store) => {
    const live = await watchAll(store, 0);
    await store.put("/a", "1", 0);
    await store.put("/a", "2", 1);
    await store.put("/b", "1", 0);
    await store.compact(2);
    await store.compact(1);
    assert.equal(await store.oldestRevision(), 2);
    await assert.rejects(watchAll(store, 1), isCode("Compacted"));
    await assert.rejects(store.list("/", { revision: 1 }), isCode("Compacted"));
    assert.equal((await store.list("/", { revision: 2 })).entries[0]?.value, "2");
    assert.equal((await watchAll(store, 2)).events.length, 1);
    await assert.rejects(store.compact(4), isCode("FutureRevision"));
    await store.put("/c", "1", 0);
    assert.equal(live.events.length, 4);
  });

  for (const isAbrupt of [false, true])
    check(`state, history and revision survive ${isAbrupt ? "an abrupt end" : "a close"}`, async (store, harness) => {
      await store.put("/a", "1", 0);
      await store.put("/a", "2", 1);
      await store.put("/b", "1", 0);
      await store.compact(1);
      await store.remove("/b", 3);
      const again = await harness.reopen(store, isAbrupt);
      try {
        assert.equal(await again.revision(), 4);
        assert.equal(await again.oldestRevision(), 1);
        assert.deepEqual((await again.list("/")).entries, [
          { key: "/a", value: "2", createRevision: 1, modRevision: 2 },
        ]);
        assert.equal((await watchAll(again, 1)).events.length, 3);
        assert.equal(written(await again.put("/c", "1", 0)), 5);
      } finally {
        await again.close();
      }
    });

  check("the revision does not fall back when everything is compacted", async (store, harness) => {
    await store.put("/a", "1", 0);
    await store.remove("/a", 1);
    await store.compact(2);
    const again = await harness.reopen(store, false);
    try {
      assert.equal(written(await again.put("/a", "1", 0)), 3);
    } finally {
      await again.close();
    }
  });
}

type Step =
  | { readonly do: "put" | "remove"; readonly key: string; readonly isStale: boolean }
  | { readonly do: "compact" | "reopen" | "kill" | "watch"; readonly share: number };

/** A store as plain values: all states by revision. */
interface Model {
  revision: number;
  oldest: number;
  readonly states: Map<string, number>[];
}

function testModel(check: Check): void {
  const key = fc.constantFrom("/a", "/b", "/c/1", "/c/2");
  const write = fc.record({ do: fc.constantFrom("put", "remove"), key, isStale: fc.boolean() });
  const other = fc.record({
    do: fc.constantFrom("compact", "reopen", "kill", "watch"),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  const steps = fc.array(fc.oneof({ weight: 4, arbitrary: write }, { weight: 1, arbitrary: other }), { maxLength: 40 });
  check("any sequence of writes, compactions, restarts and watches agrees with the model", async (_store, harness) => {
    await fc.assert(
      fc.asyncProperty(steps, async (sequence) => {
        let store = await harness.open();
        const model: Model = { revision: 0, oldest: 0, states: [new Map()] };
        try {
          for (const step of sequence as Step[]) store = await runStep(store, harness, model, step);
          await compareHistory(store, model);
        } finally {
          await store.close();
        }
      }),
      { numRuns: 60 },
    );
  });
}

async function runStep(store: Store, harness: StoreHarness, model: Model, step: Step): Promise<Store> {
  const state = model.states[model.revision] ?? new Map<string, number>();
  if (step.do === "put" || step.do === "remove") {
    const at = state.get(step.key) ?? 0;
    const expected = step.isStale ? at + 1 : at;
    const result =
      step.do === "put"
        ? await store.put(step.key, `v${model.revision + 1}`, expected)
        : await store.remove(step.key, expected);
    const isWritten = !step.isStale && (step.do === "put" || at > 0);
    assert.equal(result.kind, isWritten ? "written" : "conflict");
    if (!isWritten) return store;
    const next = new Map(state);
    model.revision++;
    if (step.do === "put") next.set(step.key, model.revision);
    else next.delete(step.key);
    model.states.push(next);
    return store;
  }
  if (!("share" in step)) return store;
  const revision = Math.floor(step.share * model.revision);
  if (step.do === "compact") {
    await store.compact(revision);
    model.oldest = Math.max(model.oldest, revision);
  } else if (step.do === "watch") {
    if (revision < model.oldest) await assert.rejects(watchAll(store, revision), isCode("Compacted"));
    else assert.equal((await watchAll(store, revision)).events.length, model.revision - revision);
  } else return harness.reopen(store, step.do === "kill");
  return store;
}

/** The state at every revision that is left, and the events between them. */
async function compareHistory(store: Store, model: Model): Promise<void> {
  assert.equal(await store.revision(), model.revision);
  const { events } = await watchAll(store, model.oldest);
  for (let revision = model.oldest; revision <= model.revision; revision++) {
    const { entries } = await store.list("/", { revision });
    const listed = entries.map((entry) => [entry.key, entry.modRevision] as const);
    assert.deepEqual(new Map(listed), model.states[revision]);
    assert.ok(entries.every((entry) => entry.value === `v${entry.modRevision}`));
    if (revision > model.oldest) assert.equal(events[revision - model.oldest - 1]?.revision, revision);
  }
}

async function watchAll(
  store: Store,
  after: number,
  prefix = "/",
): Promise<{ events: StoreEvent[]; close: () => void }> {
  const events: StoreEvent[] = [];
  const watch = await store.watch({
    prefix,
    after,
    onEvents: (batch) => void events.push(...batch),
    onEnd: (error) => {
      throw error;
    },
  });
  return { events, close: () => watch.close() };
}

function written(result: WriteResult): number {
  assert.equal(result.kind, "written");
  return result.kind === "written" ? result.revision : 0;
}

function isCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof StoreError && error.code === code;
}
