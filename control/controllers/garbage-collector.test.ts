import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EventRecorder } from "#api/client/events.ts";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { namespaces } from "#api/core/namespace.ts";
import type { DeleteOptions } from "#api/client/client.ts";
import type { OwnerReference } from "#api/meta.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, withServer } from "../apiserver/testbed.ts";
import { createInformers } from "./context.ts";
import { createGarbageCollector } from "./garbage-collector.ts";

interface World {
  readonly bed: Testbed;
  readonly told: string[];
  /** Makes a ConfigMap owned by others. */
  readonly make: (name: string, owners?: readonly OwnerReference[], namespace?: string) => Promise<ConfigMap>;
  readonly remove: (name: string, propagationPolicy: DeleteOptions["propagationPolicy"]) => Promise<ConfigMap>;
  /** Lets everything happen; then what there is: `name` or `name<owner,…`. */
  readonly settled: () => Promise<string[]>;
}

async function withCollector(body: (world: World) => Promise<void>): Promise<void> {
  await withServer(async (bed) => {
    const { client, clock } = bed;
    const stop = new AbortController();
    const told: string[] = [];
    const recorder: EventRecorder = {
      record: (_object, type, reason, text) => void told.push(`${type} ${reason} ${text}`),
    };
    try {
      const environment = { client, clock, random: seededRandom(1), log: silentLogger };
      const informers = createInformers(environment);
      const collector = createGarbageCollector({ ...environment, informers, recorder: () => recorder });
      for (const informer of Object.values(informers)) void informer.run(stop.signal);
      collector.start(stop.signal);
      await clock.advance(10);
      await body({
        bed,
        told,
        make: (name, ownerReferences = [], namespace = "default") =>
          client.create(configMaps, {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name, namespace, ownerReferences },
          }),
        remove: (name, propagationPolicy) =>
          client.delete(
            configMaps,
            { namespace: "default", name },
            propagationPolicy === undefined ? {} : { propagationPolicy },
          ),
        settled: async () => {
          for (let turn = 0; turn < 20; turn += 1) await clock.advance(20);
          const { items } = await client.list(configMaps, { namespace: "default" });
          return items.map(({ metadata }) => {
            const owners = (metadata.ownerReferences ?? []).map((owner) => owner.name).join(",");
            return `${metadata.name}${owners === "" ? "" : `<${owners}`}${metadata.deletionTimestamp === undefined ? "" : "!"}`;
          });
        },
      });
    } finally {
      stop.abort();
    }
  });
}

function owner({ metadata }: ConfigMap, blockOwnerDeletion = true): OwnerReference {
  return { apiVersion: "v1", kind: "ConfigMap", name: metadata.name, uid: metadata.uid ?? "", blockOwnerDeletion };
}

describe("createGarbageCollector()", () => {
  it("deletes in the background what has no owner left, and only then", async () => {
    await withCollector(async ({ make, remove, settled }) => {
      const [a, b] = [await make("a"), await make("b")];
      const child = await make("child", [owner(a), owner(b)]);
      await make("grandchild", [owner(child)]);
      await remove("a", "Background");
      assert.deepEqual(await settled(), ["b", "child<b", "grandchild<child"]);
      await remove("b", undefined);
      assert.deepEqual(await settled(), []);
    });
  });

  it("keeps an owner in foreground deletion until the dependents that block it are gone", async () => {
    await withCollector(async ({ bed, make, remove, settled }) => {
      const a = await make("a");
      const held = await make("held", [owner(a)]);
      await make("free", [owner(a, false)]);
      await bed.client.patch(
        configMaps,
        { namespace: "default", name: "held" },
        { metadata: { finalizers: ["example.com/x"] } },
      );
      await make("below", [owner(held)]);
      await remove("a", "Foreground");
      assert.deepEqual(await settled(), ["a!", "held<a!"]);
      await bed.client.patch(configMaps, { namespace: "default", name: "held" }, { metadata: { finalizers: null } });
      assert.deepEqual(await settled(), []);
    });
  });

  it("keeps a dependent that has another owner when one is deleted in the foreground", async () => {
    await withCollector(async ({ make, remove, settled }) => {
      const [a, b] = [await make("a"), await make("b")];
      await make("child", [owner(a), owner(b)]);
      await remove("a", "Foreground");
      assert.deepEqual(await settled(), ["b", "child<b"]);
    });
  });

  it("ends a circle of owners that wait for each other", async () => {
    await withCollector(async ({ bed, make, remove, settled }) => {
      const a = await make("a");
      const b = await make("b", [owner(a)]);
      await bed.client.patch(
        configMaps,
        { namespace: "default", name: "a" },
        { metadata: { ownerReferences: [owner(b)] } },
      );
      await remove("a", "Foreground");
      assert.deepEqual(await settled(), []);
    });
  });

  it("lets dependents forget an owner that is deleted as their orphan", async () => {
    await withCollector(async ({ make, remove, settled }) => {
      const [a, b] = [await make("a"), await make("b")];
      await make("child", [owner(a)]);
      await make("shared", [owner(a), owner(b)]);
      await remove("a", "Orphan");
      assert.deepEqual(await settled(), ["b", "child", "shared<b"]);
    });
  });

  it("treats another uid, an absent owner and an owner in another Namespace as gone, and says the last", async () => {
    await withCollector(async ({ bed, make, told, settled }) => {
      await bed.client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
      const a = await make("a");
      const far = await make("far", [], "shop");
      await make("replaced", [{ ...owner(a), uid: "another" }]);
      await make("lost", [{ ...owner(a), name: "never", uid: "never" }]);
      await settled();
      await make("strayed", [owner(far)]);
      const foreign = { apiVersion: "example.com/v1", kind: "Thing", name: "x", uid: "y" };
      await make("foreign", [foreign]);
      assert.deepEqual(await settled(), ["a", "foreign<x"]);
      assert.deepEqual(told, [
        `Warning OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: default, name: far, uid: ${far.metadata.uid}] does not exist in namespace "default"`,
      ]);
    });
  });
});
