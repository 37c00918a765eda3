/** How many pods to create, and which to remove. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Pod } from "#api/core/pod.ts";
import { planReplicaSet, podOf } from "./replicaset.ts";

const setOf = (replicas: number, deletionTimestamp?: string): ReplicaSet => ({
  apiVersion: "apps/v1",
  kind: "ReplicaSet",
  metadata: {
    name: "web-1a",
    namespace: "shop",
    uid: "rs",
    generation: 3,
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web" }] } },
  },
});

/** Pods by letters: u unassigned, n not ready, r ready, t terminating, s succeeded, f failed; later ones are newer. */
function podsOf(letters: string): Pod[] {
  return letters.split("").map((letter, at): Pod => {
    const ready = { type: "Ready", status: "r" === letter ? "True" : "False" } as const;
    const phase = letter === "s" ? "Succeeded" : letter === "f" ? "Failed" : "Running";
    const creationTimestamp = `2026-01-01T00:00:0${at}Z`;
    const deletion = letter === "t" ? { deletionTimestamp: creationTimestamp } : {};
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `${letter}${at}`, namespace: "shop", creationTimestamp, ...deletion },
      spec: { containers: [], ...(letter === "u" ? {} : { nodeName: "node1" }) },
      status: { phase, conditions: [ready] },
    };
  });
}

describe("planReplicaSet()", () => {
  const rows: readonly [replicas: number, pods: string, create: number, remove: string][] = [
    [3, "", 3, ""],
    [3, "rrr", 0, ""],
    [3, "rn", 1, ""],
    [2, "rt", 1, ""],
    [2, "rsf", 1, ""],
    [0, "rr", 0, "r1 r0"],
    [1, "rnu", 0, "u2 n1"],
    [1, "unr", 0, "u0 n1"],
    [2, "rrrr", 0, "r3 r2"],
    [1, "nrn", 0, "n2 n0"],
    [0, "t", 0, ""],
  ];
  for (const [replicas, pods, create, remove] of rows) {
    it(`for ${replicas} of "${pods}" creates ${create} and removes "${remove}"`, () => {
      const plan = planReplicaSet(setOf(replicas), podsOf(pods));
      assert.equal(plan.create, create);
      assert.equal(plan.remove.map(({ metadata }) => metadata.name).join(" "), remove);
    });
  }

  it("neither creates nor removes once it is being deleted", () => {
    const plan = planReplicaSet(setOf(3, "2026-01-01T00:00:00Z"), podsOf("r"));
    assert.deepEqual([plan.create, plan.remove], [0, []]);
  });

  it("counts live, ready and terminating pods", () => {
    assert.deepEqual(planReplicaSet(setOf(3), podsOf("rrnts")).status, {
      replicas: 3,
      fullyLabeledReplicas: 3,
      readyReplicas: 2,
      availableReplicas: 2,
      terminatingReplicas: 1,
      observedGeneration: 3,
    });
  });
});

describe("podOf()", () => {
  it("is a pod of the template, named by the server, controlled by the ReplicaSet", () => {
    const { metadata, spec } = podOf(setOf(1));
    assert.equal(metadata.generateName, "web-1a-");
    assert.deepEqual([metadata.labels, spec.containers], [{ app: "web" }, [{ name: "web" }]]);
    assert.deepEqual(
      metadata.ownerReferences?.map(({ uid, controller }) => [uid, controller]),
      [["rs", true]],
    );
  });
});
