import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentRecorder } from "#api/client/events.ts";
import { configMaps } from "#api/core/configmap.ts";
import { namespaces } from "#api/core/namespace.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, withServer } from "../apiserver/testbed.ts";
import { createInformers } from "./context.ts";
import { createRootCAPublisher, createServiceAccountController } from "./service-account.ts";

async function withControllers(body: (bed: Testbed, settle: () => Promise<void>) => Promise<void>): Promise<void> {
  await withServer(async (bed) => {
    const { client, clock } = bed;
    const stop = new AbortController();
    try {
      const environment = { client, clock, random: seededRandom(1), log: silentLogger };
      const informers = createInformers(environment);
      const context = { ...environment, informers, recorder: () => silentRecorder };
      const controllers = [createServiceAccountController(context), createRootCAPublisher(context, { ca: "PEM" })];
      for (const informer of Object.values(informers)) void informer.run(stop.signal);
      for (const controller of controllers) controller.start(stop.signal);
      const settle = async (): Promise<void> => {
        for (let turn = 0; turn < 20; turn += 1) await clock.advance(10);
      };
      await settle();
      await body(bed, settle);
    } finally {
      stop.abort();
    }
  });
}

describe("createServiceAccountController()", () => {
  it("gives each Namespace its account, and a new one for one that is deleted", async () => {
    await withControllers(async ({ client }, settle) => {
      const key = { namespace: "shop", name: "default" };
      await client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
      await settle();
      const first = await client.get(serviceAccounts, key);
      await client.delete(serviceAccounts, key);
      await settle();
      const second = await client.get(serviceAccounts, key);
      assert.notEqual(first.metadata.uid, second.metadata.uid);
    });
  });
});

describe("createRootCAPublisher()", () => {
  it("publishes the authority in each Namespace, and mends what others do to it", async () => {
    await withControllers(async ({ client }, settle) => {
      const key = { namespace: "default", name: "kube-root-ca.crt" };
      assert.deepEqual((await client.get(configMaps, key)).data, { "ca.crt": "PEM" });
      await client.patch(configMaps, key, { data: { "ca.crt": "forged", more: "x" } });
      await settle();
      assert.deepEqual((await client.get(configMaps, key)).data, { "ca.crt": "PEM" });
      await client.delete(configMaps, key);
      await settle();
      assert.deepEqual((await client.get(configMaps, key)).data, { "ca.crt": "PEM" });
    });
  });
});
