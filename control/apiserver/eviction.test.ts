import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { type PodDisruptionBudget, podDisruptionBudgets } from "#api/policy/poddisruptionbudget.ts";
import { type Reply, type Testbed, textOf, withServer } from "./testbed.ts";

const namespace = "default";

async function withBudget(status: PodDisruptionBudget["status"], body: (bed: Testbed) => Promise<void>): Promise<void> {
  await withServer(async (bed) => {
    const { client } = bed;
    await client.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name: "n" } });
    for (const name of ["a", "b"]) {
      const metadata = { name, namespace, labels: { app: "web" } };
      const spec = { containers: [{ name: "main", image: "x" }], nodeName: "n" };
      await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
      const ready = [{ type: "Ready", status: "True" }];
      await client.patchStatus(pods, { namespace, name }, { status: { phase: "Running", conditions: ready } });
    }
    const key = { namespace, name: "web" };
    const spec = { minAvailable: 1, selector: { matchLabels: { app: "web" } } };
    await client.create(podDisruptionBudgets, {
      apiVersion: "policy/v1",
      kind: "PodDisruptionBudget",
      metadata: key,
      spec,
    });
    await client.patchStatus(podDisruptionBudgets, key, { status });
    await body(bed);
  });
}

function evict(bed: Testbed, name: string, deleteOptions: object = {}): Promise<Reply> {
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace }, deleteOptions };
  return bed.call("POST", `/api/v1/namespaces/default/pods/${name}/eviction`, eviction);
}

const healthy = { observedGeneration: 1, disruptionsAllowed: 1, currentHealthy: 2, desiredHealthy: 1, expectedPods: 2 };

describe("evict()", () => {
  it("takes what the budget allows, then refuses", async () => {
    await withBudget(healthy, async (bed) => {
      assert.equal((await evict(bed, "a", { dryRun: ["All"] })).code, 201);
      const first = await evict(bed, "a", { gracePeriodSeconds: 5 });
      assert.equal(first.code, 201, first.text);
      const gone = await bed.client.get(pods, { namespace, name: "a" });
      assert.equal(gone.metadata.deletionGracePeriodSeconds, 5);
      const target = gone.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
      assert.equal(target?.reason, "EvictionByEvictionAPI");
      const { status } = await bed.client.get(podDisruptionBudgets, { namespace, name: "web" });
      assert.deepEqual([status?.disruptionsAllowed, Object.keys(status?.disruptedPods ?? {})], [0, ["a"]]);
      const second = await evict(bed, "b");
      assert.equal(second.code, 429);
      assert.equal(textOf(second.body["message"]), "Cannot evict pod as it would violate the pod's disruption budget.");
      assert.equal(
        textOf(second.body["details"]?.["causes"]?.[0]?.["message"]),
        "The disruption budget web needs 1 healthy pods and has 2 currently",
      );
      // It goes already: evicting it again costs nothing.
      assert.equal((await evict(bed, "a")).code, 201);
    });
  });

  it("refuses while the budget's newest form is not counted yet", async () => {
    await withBudget({ observedGeneration: 0 }, async (bed) => {
      const reply = await evict(bed, "a");
      assert.equal(reply.code, 429);
      assert.match(reply.text, /is still being processed by the server/);
    });
  });

  it("lets a pod go that is not ready when enough others are", async () => {
    await withBudget({ ...healthy, disruptionsAllowed: 0, currentHealthy: 1 }, async (bed) => {
      const conditions = [{ type: "Ready", status: "False" }];
      await bed.client.patchStatus(pods, { namespace, name: "a" }, { status: { conditions } });
      assert.equal((await evict(bed, "a")).code, 201);
      assert.equal((await evict(bed, "b")).code, 429);
    });
  });

  it("refuses what is no Eviction of that pod", async () => {
    await withBudget(healthy, async (bed) => {
      const path = "/api/v1/namespaces/default/pods/a/eviction";
      const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "b" } };
      assert.equal((await bed.call("POST", path, eviction)).code, 400);
      assert.equal((await bed.call("POST", path, { ...eviction, kind: "Pod" })).code, 400);
      assert.equal((await bed.call("GET", path)).code, 405);
      assert.equal((await evict(bed, "none")).code, 404);
    });
  });
});
