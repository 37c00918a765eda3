/** All controllers and the scheduler over a real API server in memory; the test plays the kubelets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { replicaSets } from "#api/apps/replicaset.ts";
import { namespaces } from "#api/core/namespace.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, isPodReady, pods } from "#api/core/pod.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { type Service, services } from "#api/core/service.ts";
import { endpointSlices, lastChangeAnnotation } from "#api/discovery/endpointslice.ts";
import { type ObjectKey, keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, withServer } from "../apiserver/testbed.ts";
import { Objects } from "../snapshot/objects.ts";
import { startControllers } from "./run.ts";

type Client = Testbed["client"];

interface World {
  readonly client: Client;
  readonly nowMs: () => number;
  /** Advances time, playing the kubelets, until `holds` does. */
  readonly until: (what: string, holds: () => Promise<boolean>) => Promise<void>;
  /** The most live pods ever seen, and the fewest ready ones; since the last call. */
  readonly extremes: () => { most: number; fewestReady: number };
}

async function withControllers(nodeCount: number, body: (world: World) => Promise<void>): Promise<void> {
  await withServer(async ({ client, clock }) => {
    const stop = new AbortController();
    try {
      for (let at = 1; at <= nodeCount; at += 1) await addNode(client, `node${at}`);
      const environment = { client, clock, random: seededRandom(1), log: silentLogger };
      const options = {
        ...environment,
        finalize: (name: string, finalizers: readonly string[]) => client.finalize(name, finalizers),
        bind: (pod: ObjectKey, nodeName: string) => client.bind(pod, nodeName),
        objects: new Objects(),
      };
      await startControllers(options, stop.signal);
      let seen = { most: 0, fewestReady: Infinity };
      const turn = async (): Promise<void> => {
        await clock.advance(10);
        const live = (await client.list(pods)).items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
        const ready = live.filter(isPodReady).length;
        seen = { most: Math.max(seen.most, live.length), fewestReady: Math.min(seen.fewestReady, ready) };
        await playKubelets(client);
      };
      await body({
        client,
        nowMs: () => clock.nowMs(),
        until: async (what, holds) => {
          for (let turns = 0; !(await holds()); turns += 1) {
            assert.ok(turns < 400, `${what}: never`);
            await turn();
          }
        },
        extremes: () => {
          const before = seen;
          seen = { most: 0, fewestReady: Infinity };
          return before;
        },
      });
    } finally {
      stop.abort();
    }
  });
}

async function addNode(client: Client, name: string): Promise<void> {
  const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name } };
  await client.create(nodes, node);
  const conditions = [{ type: "Ready", status: "True" }];
  const allocatable = { cpu: "8", memory: "8Gi", pods: "110" };
  await client.patchStatus(nodes, { name }, { status: { conditions, allocatable, capacity: allocatable } });
}

/** What kubelets do: pods that are bound run and become ready, those that are deleted go. */
async function playKubelets(client: Client): Promise<void> {
  for (const pod of (await client.list(pods)).items) {
    if (pod.spec.nodeName === undefined) continue;
    try {
      if (pod.metadata.deletionTimestamp !== undefined) {
        await client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0 });
      } else if (!isPodReady(pod)) {
        const podIP = `10.244.1.${(Number(pod.metadata.resourceVersion) % 250) + 2}`;
        const conditions = [{ type: "Ready", status: "True" }];
        await client.patchStatus(pods, keyOf(pod), { status: { phase: "Running", podIP, conditions } });
      }
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

const key = { namespace: "default", name: "web" };
const deployment: Deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: key,
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:1" }] } },
  },
};
const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: key,
  spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
};

/** Whether the rollout is complete with so many pods of the image. */
async function runs(client: Client, count: number, image: string): Promise<boolean> {
  const { items } = await client.list(pods);
  const right = (pod: Pod): boolean => pod.spec.containers[0]?.image === image && isPodReady(pod);
  const { status } = await client.get(deployments, key);
  return items.length === count && items.every(right) && status?.availableReplicas === count;
}

describe("startControllers()", () => {
  it("takes a Deployment through its life, with never more pods than wanted and surge, nor fewer than the floor", async () => {
    await withControllers(2, async ({ client, nowMs, until, extremes }) => {
      await client.create(services, service);
      await client.create(deployments, deployment);
      await until("3 pods run", () => runs(client, 3, "web:1"));
      assert.equal(extremes().most, 3);

      await client.patch(deployments, key, { spec: { replicas: 5 } });
      await until("5 pods run", () => runs(client, 5, "web:1"));
      await until("the slice has 5", async () => {
        const { items } = await client.list(endpointSlices, { labelSelector: "kubernetes.io/service-name=web" });
        return items.length === 1 && items[0]?.endpoints.length === 5;
      });
      const { items: slices } = await client.list(endpointSlices, { labelSelector: "kubernetes.io/service-name=web" });
      const changedMs = Date.parse(slices[0]?.metadata.annotations?.[lastChangeAnnotation] ?? "");
      assert.ok(nowMs() - changedMs >= 0 && nowMs() - changedMs < 1000, `changed ${nowMs() - changedMs} ms ago`);
      extremes();

      const containers = [{ name: "web", image: "web:2" }];
      await client.patch(deployments, key, { spec: { template: { spec: { containers } } } });
      await until("5 new pods run", () => runs(client, 5, "web:2"));
      // 25% of 5: two more at most, one fewer at least.
      const { most, fewestReady } = extremes();
      assert.ok(most <= 7 && fewestReady >= 4, `most ${most}, fewest ready ${fewestReady}`);

      await client.patch(deployments, key, { spec: { replicas: 1 } });
      await until("1 pod runs", () => runs(client, 1, "web:2"));

      await client.delete(deployments, key);
      await until("all is gone", async () => {
        const left = [await client.list(pods), await client.list(replicaSets)];
        return left.every(({ items }) => items.length === 0);
      });
    });
  });

  it("spreads a burst evenly, and binds what had no room once there is a node for it", async () => {
    await withControllers(3, async ({ client, until }) => {
      await client.create(deployments, { ...deployment, spec: { ...deployment.spec, replicas: 30 } });
      await until("30 pods run", () => runs(client, 30, "web:1"));
      const byNode = Object.groupBy((await client.list(pods)).items, ({ spec }) => spec.nodeName ?? "");
      assert.deepEqual(
        Object.values(byNode).map((some) => some?.length),
        [10, 10, 10],
      );

      const metadata = { name: "picky", namespace: "default" };
      const spec = { containers: [{ name: "c", image: "c" }], nodeSelector: { "kubernetes.io/hostname": "node9" } };
      await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
      const scheduled = async (): Promise<string | undefined> =>
        (await client.get(pods, metadata)).status?.conditions?.find(({ type }) => type === "PodScheduled")?.message;
      await until("the refusal is written", async () => (await scheduled()) !== undefined);
      assert.match((await scheduled()) ?? "", /^0\/3 nodes are available: 3 node\(s\) didn't match/);
      await addNode(client, "node9");
      await client.patch(nodes, { name: "node9" }, { metadata: { labels: { "kubernetes.io/hostname": "node9" } } });
      await until("it is bound", async () => (await client.get(pods, metadata)).spec.nodeName === "node9");
    });
  });

  it("gives each namespace its ServiceAccount, and empties one that is deleted", async () => {
    await withControllers(1, async ({ client, until }) => {
      await client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } });
      const account = async (): Promise<number> =>
        (await client.list(serviceAccounts, { namespace: "shop" })).items.length;
      await until("the account is there", async () => (await account()) === 1);
      const metadata = { ...deployment.metadata, namespace: "shop" };
      await client.create(deployments, { ...deployment, metadata });
      await until("its pods run", async () => {
        const { items } = await client.list(pods, { namespace: "shop" });
        return items.length === 3 && items.every(isPodReady);
      });
      await client.delete(namespaces, { name: "shop" });
      await until(
        "it is gone",
        async () => !(await client.list(namespaces)).items.some(({ metadata: { name } }) => name === "shop"),
      );
      assert.deepEqual((await client.list(pods)).items, []);
      assert.deepEqual((await client.list(deployments)).items, []);
    });
  });

  it("removes what has lost its owner, and nothing else", async () => {
    await withControllers(1, async ({ client, until }) => {
      const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "gone", uid: "u-gone", controller: true };
      const foreign = { ...owner, apiVersion: "example.org/v1", kind: "Thing" };
      const spec = { containers: [{ name: "c", image: "c" }] };
      const podOf = (name: string, ownerReferences: readonly (typeof owner)[]): Pod => {
        return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "default", ownerReferences }, spec };
      };
      await client.create(pods, podOf("orphan", [owner]));
      await client.create(pods, podOf("foreign", [foreign]));
      await client.create(pods, podOf("free", []));
      await until("the orphan is gone", async () => (await client.list(pods)).items.length === 2);
      const names = (await client.list(pods)).items.map(({ metadata }) => metadata.name);
      assert.deepEqual(names.sort(), ["foreign", "free"]);
    });
  });
});
