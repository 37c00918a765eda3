/**
 * What a watch promises, over real sockets that are cut at random: no event lost, twice, or out of order.
 *
 *   10,000 writes ─▶ API server ─▶ a watch that resumes, Wherry's informer, @kubernetes/client-node's informer
 *
 * The model is the writes themselves. A watch that resumes from its last revision sees every one of them, in order. An
 * informer whose revision was compacted away lists anew: it may miss states in between, never the last, and for each
 * object resourceVersions only grow.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CoreV1Api, KubeConfig, ListWatch, Watch } from "@kubernetes/client-node";
import type { KubeClient } from "#api/client/client.ts";
import { HttpKubeClient } from "#api/client/http.ts";
import { Informer } from "#api/client/informer.ts";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { type Clock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { type Random, seededRandom } from "#lib/random.ts";
import type { Authenticator } from "../../../control/apiserver/authn.ts";
import { type Testbed, testToken, withServer } from "../../../control/apiserver/testbed.ts";
import { openSqliteStore } from "../../../control/store/sqlite.ts";

const writes = 10_000;
const namesMax = 200;
/** One cut of all connections in so many writes. */
const writesPerCut = 400;
const deadlineMs = 60_000;
const path = "/api/v1/namespaces/default/configmaps";

/** Wherry's own client shows a certificate, which plain HTTP has not. */
const anyone: Authenticator = () => ({ name: "anyone", groups: ["system:masters"] });

/** Back-offs are for real outages; here they only take time. */
const hasty: Clock = { ...realClock, sleep: (delayMs, signal) => realClock.sleep(Math.min(delayMs, 2), signal) };

interface Written {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly name: string;
  readonly revision: number;
}

/** Writes at random among a few names; `between` runs before each. */
async function write(
  { client }: Testbed,
  random: Random,
  between: (index: number, revision: number) => Promise<void>,
): Promise<Written[]> {
  const living = new Set<string>();
  const log: Written[] = [];
  for (let index = 0; index < writes; index += 1) {
    await between(index, log.at(-1)?.revision ?? 0);
    const key = { namespace: "default", name: `c${Math.floor(random.next() * namesMax)}` };
    const type = !living.has(key.name) ? "ADDED" : random.next() < 0.2 ? "DELETED" : "MODIFIED";
    const data = { index: String(index) };
    const object =
      type === "ADDED"
        ? await client.create(configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: key, data })
        : type === "MODIFIED"
          ? await client.patch(configMaps, key, { data })
          : await client.delete(configMaps, key);
    if (type === "DELETED") living.delete(key.name);
    else living.add(key.name);
    log.push({ type, name: key.name, revision: Number(object.metadata.resourceVersion) });
    // Sockets have their turn.
    if (index % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return log;
}

/** Objects and their revisions as a log of events leaves them. */
function replay(log: readonly Written[]): Map<string, number> {
  const state = new Map<string, number>();
  for (const { type, name, revision } of log) {
    if (type === "DELETED") state.delete(name);
    else state.set(name, revision);
  }
  return state;
}

/** Waits until `holds`; then the test says what was wrong. */
async function until(holds: () => boolean): Promise<void> {
  const startMs = realClock.monotonicMs();
  while (!holds() && realClock.monotonicMs() - startMs < deadlineMs) await realClock.sleep(5);
}

function isSame(left: ReadonlyMap<string, number>, right: ReadonlyMap<string, number>): boolean {
  return left.size === right.size && [...left].every(([name, revision]) => right.get(name) === revision);
}

/** For each object, from its creation on, every state is newer than the one before. */
function assertGrowing(log: readonly Written[]): void {
  const seen = new Map<string, number>();
  for (const { type, name, revision } of log) {
    const last = seen.get(name) ?? 0;
    // A deletion that only a new list shows comes with the last state that was known.
    assert.ok(type === "DELETED" ? revision >= last : revision > last, `${type} ${name} at ${revision} after ${last}`);
    seen.set(name, revision);
  }
}

describe("a watch over HTTP", () => {
  it("that resumes from its last revision sees every event once and in order", async () => {
    const body = async (bed: Testbed): Promise<void> => {
      const random = seededRandom(11);
      const client = new HttpKubeClient({ server: `http://127.0.0.1:${bed.port}`, ca: "", cert: "", key: "" });
      const stop = new AbortController();
      const seen: Written[] = [];
      let revision = (await bed.client.list(configMaps)).metadata.resourceVersion;
      const follow = async (): Promise<void> => {
        while (!stop.signal.aborted) {
          try {
            for await (const { type, object } of client.watch(configMaps, { resourceVersion: revision }, stop.signal)) {
              revision = (object as ConfigMap).metadata.resourceVersion ?? revision;
              if (type !== "BOOKMARK" && type !== "ERROR")
                seen.push({ type, name: object.metadata.name, revision: Number(revision) });
            }
          } catch {
            await realClock.sleep(1); // Cut: again from where it was.
          }
        }
      };
      const following = follow();
      try {
        const cut = async (index: number): Promise<void> => {
          if (index % writesPerCut === writesPerCut - 1) bed.server.closeAllConnections();
        };
        const log = await write(bed, random, cut);
        await until(() => seen.length >= log.length);
        assert.deepEqual(seen, log);
      } finally {
        stop.abort();
        await client.close();
        await following;
      }
    };
    await withServer(body, { authenticators: [anyone], cacheConfig: { ringCapacity: 20_000 } });
  });
});

describe("informers over HTTP", () => {
  it("end in the final state, with every object's revisions growing, while connections are cut and history compacts", async () => {
    const store = openSqliteStore({ path: ":memory:" });
    const body = async (bed: Testbed): Promise<void> => {
      const random = seededRandom(12);
      const stop = new AbortController();
      const own: Written[] = [];
      const foreign: Written[] = [];
      const client = new HttpKubeClient({ server: `http://127.0.0.1:${bed.port}`, ca: "", cert: "", key: "" });
      let lists = 0;
      const counting: Pick<KubeClient, "list" | "watch"> = {
        list: (kind, options) => ((lists += 1), client.list(kind, options)),
        watch: (kind, options, signal) => client.watch(kind, options, signal),
      };
      const running = runOwn(counting, own, stop.signal);
      const stopForeign = runForeign(bed.port, foreign);
      try {
        const disturb = async (index: number, revision: number): Promise<void> => {
          if (random.next() < 1 / writesPerCut) bed.server.closeAllConnections();
          if (index % 1000 === 999) await store.compact(revision - 10);
        };
        const wanted = replay(await write(bed, random, disturb));
        await until(() => isSame(replay(own), wanted) && isSame(replay(foreign), wanted));
        assert.ok(lists > 1, "history was compacted away under a watch at least once");
        for (const log of [own, foreign]) {
          assertGrowing(log);
          assert.deepEqual(replay(log), wanted);
        }
      } finally {
        stop.abort();
        await stopForeign();
        await client.close();
        await running;
      }
    };
    await withServer(body, { store, authenticators: [anyone], cacheConfig: { ringCapacity: 256, queueMax: 300 } });
  });
});

function runOwn(client: Pick<KubeClient, "list" | "watch">, log: Written[], signal: AbortSignal): Promise<void> {
  const informer = new Informer(configMaps, { client, clock: hasty, random: seededRandom(1), log: silentLogger });
  const put =
    (type: Written["type"]) =>
    ({ metadata }: ConfigMap): void =>
      void log.push({ type, name: metadata.name, revision: Number(metadata.resourceVersion) });
  informer.addHandler({ added: put("ADDED"), updated: put("MODIFIED"), deleted: put("DELETED") });
  return informer.run(signal).catch(() => undefined); // Aborted in the middle of a wait.
}

/** Starts the other informer; gives what stops it. */
function runForeign(port: number, log: Written[]): () => Promise<void> {
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
    users: [{ name: "u", token: testToken }],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  const api = config.makeApiClient(CoreV1Api);
  const list = (): ReturnType<typeof api.listNamespacedConfigMap> =>
    api.listNamespacedConfigMap({ namespace: "default" });
  const options = { delayFn: () => Promise.resolve() };
  const informer = new ListWatch(path, new Watch(config), list, false, undefined, undefined, options);
  let isStopped = false;
  const start = (): void => {
    if (!isStopped) informer.start().catch(() => void realClock.after(2, start));
  };
  for (const [verb, type] of [
    ["add", "ADDED"],
    ["update", "MODIFIED"],
    ["delete", "DELETED"],
  ] as const)
    informer.on(verb, ({ metadata }) => {
      const revision = Number(metadata?.resourceVersion);
      // It also tells of objects that a new list shows unchanged.
      const known = log.findLast((event) => event.name === metadata?.name);
      if (type === "MODIFIED" && known?.revision === revision) return;
      log.push({ type, name: metadata?.name ?? "", revision });
    });
  // It leaves starting again after an error to its user.
  informer.on("error", () => void realClock.after(2, start));
  start();
  return async () => {
    isStopped = true;
    await informer.stop();
  };
}
