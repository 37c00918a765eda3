/** DaemonSets, Jobs and bare ReplicaSets over a real API server in memory; the test plays the kubelets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import { controllerRevisions } from "#api/apps/controller-revision.ts";
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { type Job, jobs } from "#api/batch/job.ts";
import { endpoints } from "#api/core/endpoints.ts";
import { events } from "#api/core/event.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, isPodFinished, isPodReady, pods } from "#api/core/pod.ts";
import { services } from "#api/core/service.ts";
import { type ObjectKey, formatTime, keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, withServer } from "../apiserver/testbed.ts";
import { Objects } from "../snapshot/objects.ts";
import { startControllers } from "./run.ts";

type Client = Testbed["client"];

interface World {
  readonly client: Client;
  /** Advances time, playing the kubelets, until `holds` does. */
  readonly until: (what: string, holds: () => Promise<boolean>) => Promise<void>;
  /** Advances time only. */
  readonly wait: (ms: number) => Promise<void>;
}

async function withControllers(body: (world: World) => Promise<void>): Promise<void> {
  await withServer(async ({ client, clock }) => {
    const stop = new AbortController();
    try {
      for (const name of ["node1", "node2"]) await addNode(client, name);
      const options = {
        client,
        clock,
        random: seededRandom(1),
        log: silentLogger,
        finalize: (name: string, finalizers: readonly string[]) => client.finalize(name, finalizers),
        bind: (pod: ObjectKey, nodeName: string) => client.bind(pod, nodeName),
        objects: new Objects(),
      };
      await startControllers(options, stop.signal);
      const until: World["until"] = async (what, holds) => {
        for (let turns = 0; !(await holds()); turns += 1) {
          assert.ok(turns < 400, `${what}: never`);
          await clock.advance(20);
          await playKubelets(client, formatTime(clock.nowMs()));
        }
      };
      await body({ client, until, wait: (ms) => clock.advance(ms) });
    } finally {
      stop.abort();
    }
  });
}

async function addNode(client: Client, name: string): Promise<void> {
  const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name } };
  await client.create(nodes, node);
  const allocatable = { cpu: "8", memory: "8Gi", pods: "110" };
  const conditions = [{ type: "Ready", status: "True" }];
  await client.patchStatus(nodes, { name }, { status: { conditions, allocatable } });
}

/** What kubelets do: pods run and become ready; those of the images `done` and `fail` end; those that are deleted go. */
async function playKubelets(client: Client, now: string): Promise<void> {
  for (const pod of (await client.list(pods)).items) {
    if (pod.spec.nodeName === undefined || (isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined))
      continue;
    try {
      if (pod.metadata.deletionTimestamp !== undefined)
        await client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0 });
      else await client.patchStatus(pods, keyOf(pod), { status: nextStatus(pod, now) });
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  }
}

function nextStatus(pod: Pod, now: string): object {
  const image = pod.spec.containers[0]?.image ?? "";
  const ready = { type: "Ready", status: isPodReady(pod) ? "False" : "True", lastTransitionTime: now };
  if (isPodReady(pod) && image === "done") return { phase: "Succeeded", conditions: [ready] };
  if (isPodReady(pod) && image === "fail") return { phase: "Failed", conditions: [ready] };
  const podIP = `10.244.1.${(Number(pod.metadata.resourceVersion) % 250) + 2}`;
  return isPodReady(pod) ? {} : { phase: "Running", podIP, conditions: [ready] };
}

const template = (image: string, restartPolicy: "Always" | "Never" = "Always"): DaemonSet["spec"]["template"] => ({
  metadata: { labels: { app: "web" } },
  spec: { restartPolicy, containers: [{ name: "web", image }] },
});
const key = { namespace: "default", name: "web" };
const selector = { matchLabels: { app: "web" } };

describe("the DaemonSet controller", () => {
  it("covers each node, rolls, keeps its history, and comes to new nodes", async () => {
    await withControllers(async ({ client, until }) => {
      const spec = { selector, template: template("web:1") };
      await client.create(daemonSets, { apiVersion: "apps/v1", kind: "DaemonSet", metadata: key, spec });
      const serves = async (count: number, image: string): Promise<boolean> => {
        const { items } = await client.list(pods);
        const right = (pod: Pod): boolean => isPodReady(pod) && pod.spec.containers[0]?.image === image;
        const onNodes = new Set(items.map((pod) => pod.spec.nodeName));
        return items.length === count && onNodes.size === count && items.every(right);
      };
      await until("2 pods run", () => serves(2, "web:1"));
      await client.patch(daemonSets, key, { spec: { template: template("web:2") } });
      await until("2 new pods run", () => serves(2, "web:2"));
      const { items } = await client.list(controllerRevisions);
      assert.deepEqual(
        items.map(({ revision }) => revision).sort((a, b) => a - b),
        [1, 2],
      );
      await addNode(client, "node3");
      await until("3 pods run", () => serves(3, "web:2"));
      await until("its status says so", async () => (await client.get(daemonSets, key)).status?.numberAvailable === 3);
      await client.delete(nodes, { name: "node3" });
      const status = async (): Promise<number | undefined> =>
        (await client.get(daemonSets, key)).status?.desiredNumberScheduled;
      await until("2 nodes are wanted", async () => (await status()) === 2);
      await client.delete(daemonSets, key);
      await until("all is gone", async () => {
        const left = [await client.list(pods), await client.list(controllerRevisions)];
        return left.every(({ items }) => items.length === 0);
      });
    });
  });
});

describe("the Job controller", () => {
  const jobOf = (image: string, spec: Partial<Job["spec"]>): Job => ({
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: key,
    spec: { ...spec, template: template(image, "Never") },
  });
  const has = async (client: Client, type: string): Promise<boolean> =>
    (await client.get(jobs, key)).status?.conditions?.some((condition) => condition.type === type) === true;

  it("completes an Indexed Job, and deletes it when its time is over", async () => {
    await withControllers(async ({ client, until, wait }) => {
      const spec = { completions: 3, parallelism: 2, completionMode: "Indexed", ttlSecondsAfterFinished: 60 } as const;
      await client.create(jobs, jobOf("done", spec));
      await until("it is complete", () => has(client, "Complete"));
      const { status } = await client.get(jobs, key);
      assert.deepEqual([status?.succeeded, status?.completedIndexes], [3, "0-2"]);
      const finalizers = (await client.list(pods)).items.flatMap(({ metadata }) => metadata.finalizers ?? []);
      assert.deepEqual(finalizers, []);
      await wait(61_000);
      await until("all is gone", async () => (await client.list(pods)).items.length === 0);
      await assert.rejects(client.get(jobs, key), isNotFound);
    });
  });

  it("fails beyond its backoff limit, with as many tries", async () => {
    await withControllers(async ({ client, until, wait }) => {
      await client.create(jobs, jobOf("fail", { backoffLimit: 1 }));
      const failed = async (): Promise<number> => (await client.get(jobs, key)).status?.failed ?? 0;
      await until("the first try failed", async () => (await failed()) === 1);
      assert.equal((await client.list(pods)).items.length, 1);
      await wait(11_000);
      await until("it failed", () => has(client, "Failed"));
      assert.equal(await failed(), 2);
      const { items } = await client.list(events, { fieldSelector: "involvedObject.kind=Job,type=Warning" });
      assert.deepEqual(
        items.map(({ reason, message }) => [reason, message]),
        [["BackoffLimitExceeded", "Job has reached the specified backoff limit"]],
      );
    });
  });

  it("lets the pods of a Job go that is deleted while they run", async () => {
    await withControllers(async ({ client, until }) => {
      await client.create(jobs, jobOf("web:1", { parallelism: 2, completions: 2 }));
      await until("2 pods run", async () => {
        const { items } = await client.list(pods);
        return items.length === 2 && items.every(isPodReady);
      });
      await client.delete(jobs, key);
      await until("all is gone", async () => (await client.list(pods)).items.length === 0);
    });
  });
});

describe("the ReplicaSet controller", () => {
  it("adopts pods that match, releases those that no longer do, and says what it cannot create", async () => {
    await withControllers(async ({ client, until }) => {
      const metadata = { namespace: "default", labels: { app: "web" } };
      const spec = template("web:1").spec;
      const orphan = { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name: "orphan" }, spec };
      await client.create(pods, orphan);
      const set: ReplicaSet = {
        apiVersion: "apps/v1",
        kind: "ReplicaSet",
        metadata: key,
        spec: { replicas: 2, selector, template: template("web:1") },
      };
      await client.create(replicaSets, set);
      await until("2 run", async () => (await client.get(replicaSets, key)).status?.readyReplicas === 2);
      assert.equal((await client.list(pods)).items.length, 2);
      const owner = async (): Promise<string | undefined> =>
        (await client.get(pods, { namespace: "default", name: "orphan" })).metadata.ownerReferences?.[0]?.name;
      assert.equal(await owner(), "web");
      await client.patch(pods, { namespace: "default", name: "orphan" }, { metadata: { labels: { app: "other" } } });
      await until("another takes its place", async () => (await client.list(pods)).items.length === 3);
      assert.equal(await owner(), undefined);
    });
  });
});

describe("the Deployment controller", () => {
  it("goes back to an old template by its old ReplicaSet, and keeps Endpoints in step", async () => {
    await withControllers(async ({ client, until }) => {
      const deployment: Deployment = {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: key,
        spec: { replicas: 2, selector, template: template("web:1") },
      };
      await client.create(services, {
        apiVersion: "v1",
        kind: "Service",
        metadata: key,
        spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
      });
      await client.create(deployments, deployment);
      const isDone = async (revision: string): Promise<boolean> => {
        const { metadata, status } = await client.get(deployments, key);
        const isNew = metadata.annotations?.["deployment.kubernetes.io/revision"] === revision;
        return isNew && status?.updatedReplicas === 2 && status.replicas === 2 && status.availableReplicas === 2;
      };
      await until("revision 1 runs", () => isDone("1"));
      const [first] = (await client.list(replicaSets)).items;
      for (const [image, revision] of [
        ["web:2", "2"],
        ["web:1", "3"],
      ] as const) {
        await client.patch(deployments, key, { spec: { template: template(image) } });
        await until(`revision ${revision} runs`, () => isDone(revision));
      }
      const { items } = await client.list(replicaSets);
      assert.equal(items.length, 2);
      const again = items.find(({ metadata }) => metadata.uid === first?.metadata.uid);
      assert.equal(again?.spec.replicas, 2);
      assert.equal(again.metadata.annotations?.["deployment.kubernetes.io/revision-history"], "1");
      const { conditions = [] } = (await client.get(deployments, key)).status ?? {};
      const name = first?.metadata.name;
      assert.ok(conditions.some(({ message }) => message === `ReplicaSet "${name}" has successfully progressed.`));
      await until("the Endpoints have both", async () => {
        const { subsets } = await client.get(endpoints, key);
        return subsets?.[0]?.addresses?.length === 2;
      });
    });
  });
});
