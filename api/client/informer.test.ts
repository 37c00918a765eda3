/** The cache against a server that forgets, ends watches and replaces objects. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { FakeKubeClient } from "./fake.ts";
import { Informer } from "./informer.ts";

const map = (name: string, value: string): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "shop" },
  data: { value },
});

interface Bench {
  readonly client: FakeKubeClient;
  readonly clock: ManualClock;
  readonly informer: Informer<ConfigMap>;
  /** `added a=1`, `updated a=1→2`, … */
  readonly told: string[];
  /** The value of each object in the cache. */
  readonly cached: () => string;
}

/** Runs `body` beside a synced informer. */
async function withInformer(body: (bench: Bench) => Promise<void>, objects: readonly ConfigMap[] = []): Promise<void> {
  const client = new FakeKubeClient();
  for (const object of objects) await client.create(configMaps, object);
  const clock = new ManualClock();
  const stop = new AbortController();
  const informer = new Informer(configMaps, { client, clock, random: seededRandom(1), log: silentLogger });
  const told: string[] = [];
  const show = ({ metadata, data }: ConfigMap): string => `${metadata.name}=${data?.["value"]}`;
  informer.addHandler({
    added: (object) => void told.push(`added ${show(object)}`),
    updated: (object, before) => void told.push(`updated ${show(before)}→${object.data?.["value"]}`),
    deleted: (object) => void told.push(`deleted ${show(object)}`),
  });
  const run = informer.run(stop.signal);
  try {
    await informer.synced;
    await body({ client, clock, informer, told, cached: () => informer.list().map(show).sort().join(" ") });
  } finally {
    stop.abort();
    await run;
  }
}

const key = { namespace: "shop", name: "a" };

describe("Informer", () => {
  it("tells what is there, then every change in order", async () => {
    await withInformer(
      async ({ client, clock, informer, told }) => {
        await client.patch(configMaps, key, { data: { value: "2" } });
        await client.patch(configMaps, key, { data: { value: "3" } });
        await client.create(configMaps, map("b", "1"));
        await client.delete(configMaps, key);
        await clock.advance(0);
        assert.deepEqual(told, ["added a=1", "updated a=1→2", "updated a=2→3", "added b=1", "deleted a=3"]);
        assert.equal(informer.get(key), undefined);
        assert.equal(informer.revision, 5);
      },
      [map("a", "1")],
    );
  });

  it("tells a handler that joins later of everything that is there", async () => {
    await withInformer(
      async ({ informer }) => {
        const late: string[] = [];
        informer.addHandler({ added: ({ metadata }) => void late.push(metadata.name) });
        assert.deepEqual(late, ["a", "b"]);
      },
      [map("a", "1"), map("b", "1")],
    );
  });

  it("resumes after a clean end of the watch without listing again", async () => {
    await withInformer(async ({ client, clock, told }) => {
      await clock.advance(0);
      client.endWatches();
      await client.create(configMaps, map("a", "1"));
      await clock.advance(0);
      // It ended after no time at all: a moment's pause, so that no server is asked in a busy loop.
      assert.equal(client.trace.filter((line) => line.startsWith("watch")).length, 1);
      await clock.advance(50);
      assert.deepEqual(told, ["added a=1"]);
      assert.equal(client.trace.filter((line) => line.startsWith("list")).length, 1);
      assert.equal(client.trace.filter((line) => line.startsWith("watch")).length, 2);
    });
  });

  it("lists again when its revision has expired, and tells the differences", async () => {
    await withInformer(
      async ({ client, clock, told, cached }) => {
        await clock.advance(0);
        told.length = 0;
        // Nothing of these is watched: the changes are gone before the watch looks.
        await client.delete(configMaps, key);
        await client.create(configMaps, map("c", "1"));
        await client.patch(configMaps, { namespace: "shop", name: "b" }, { data: { value: "2" } });
        client.compact();
        await clock.advance(1000);
        assert.deepEqual(told.sort(), ["added c=1", "deleted a=1", "updated b=1→2"]);
        assert.equal(cached(), "b=2 c=1");
      },
      [map("a", "1"), map("b", "1")],
    );
  });

  it("takes a new uid under an old name for a deletion and an addition", async () => {
    await withInformer(
      async ({ client, clock, told }) => {
        await clock.advance(0);
        told.length = 0;
        await client.delete(configMaps, key);
        await client.create(configMaps, map("a", "2"));
        client.compact();
        await clock.advance(1000);
        assert.deepEqual(told, ["deleted a=1", "added a=2"]);
      },
      [map("a", "1")],
    );
  });

  it("lists again, after a back-off, when the transport fails", async () => {
    await withInformer(
      async ({ client, clock, told, cached }) => {
        await clock.advance(0);
        client.failNext(new Error("reset"), new Error("reset"), new Error("reset"));
        client.endWatches();
        await clock.advance(20);
        const asked = client.trace.length;
        await clock.advance(5);
        assert.equal(client.trace.length, asked, "it waits");
        await clock.advance(2000);
        await client.create(configMaps, map("b", "1"));
        await clock.advance(0);
        assert.equal(cached(), "a=1 b=1");
        assert.deepEqual(told, ["added a=1", "added b=1"]);
      },
      [map("a", "1")],
    );
  });
});
