/** How many pods to create, and which to remove. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Pod } from "#api/core/pod.ts";
import { replicaSets } from "#api/apps/replicaset.ts";
import { podFromTemplate } from "../workload/template.ts";
import { type ReplicaPlan, planReplicas, withFailure } from "./plan.ts";

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
      metadata: { name: `${letter}${at}`, namespace: "shop", labels: { app: "web" }, creationTimestamp, ...deletion },
      spec: { containers: [], ...(letter === "u" ? {} : { nodeName: "node1" }) },
      status: { phase, conditions: [ready] },
    };
  });
}

const planReplicaSet = (set: ReplicaSet, owned: readonly Pod[], nowMs = 0): ReplicaPlan =>
  planReplicas(set, { owned, related: () => owned, nowMs });

describe("planReplicas()", () => {
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

describe("planReplicas() with minReadySeconds", () => {
  it("counts a pod as available once it has been ready for so long, and says when", () => {
    const set = setOf(1);
    const patient = { ...set, spec: { ...set.spec, minReadySeconds: 10 } };
    const [pod] = podsOf("r");
    assert.ok(pod !== undefined);
    const conditions = [{ type: "Ready", status: "True", lastTransitionTime: "1970-01-01T00:00:05Z" }] as const;
    const ready = { ...pod, status: { ...pod.status, conditions } };
    const early = planReplicaSet(patient, [ready], 9000);
    assert.deepEqual([early.status.availableReplicas, early.recheckInMs], [undefined, 6000]);
    const late = planReplicaSet(patient, [ready], 15_000);
    assert.deepEqual([late.status.availableReplicas, late.recheckInMs], [1, undefined]);
  });
});

describe("withFailure()", () => {
  it("adds and removes the condition ReplicaFailure", () => {
    const failed = withFailure({ replicas: 0 }, { error: new Error("quota"), isCreate: true }, 0);
    const [condition] = failed.conditions ?? [];
    assert.deepEqual(
      [condition?.type, condition?.reason, condition?.message],
      ["ReplicaFailure", "FailedCreate", "quota"],
    );
    assert.deepEqual(withFailure(failed, undefined, 0), { replicas: 0 });
  });
});

describe("podFromTemplate()", () => {
  it("is a pod of the template, named by the server, controlled by the ReplicaSet", () => {
    const { metadata, spec } = podFromTemplate(
      replicaSets,
      setOf(1),
      setOf(1).spec.template ?? { spec: { containers: [] } },
    );
    assert.equal(metadata.generateName, "web-1a-");
    assert.deepEqual([metadata.labels, spec.containers], [{ app: "web" }, [{ name: "web" }]]);
    assert.deepEqual(
      metadata.ownerReferences?.map(({ uid, controller }) => [uid, controller]),
      [["rs", true]],
    );
  });
});
