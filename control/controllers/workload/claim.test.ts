/** Adoption, release, and batches that grow. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { KubeObject } from "#api/meta.ts";
import { planClaim } from "./claim.ts";
import { slowStart } from "./pod-control.ts";

const owner: KubeObject = { apiVersion: "apps/v1", kind: "ReplicaSet", metadata: { name: "web", uid: "u1" } };
const selector = { matchLabels: { app: "web" } };

function podOf(name: string, app: string, deleted = false): Pod {
  const deletion = deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app }, ...deletion },
    spec: { containers: [] },
  };
}

const namesOf = (objects: readonly KubeObject[]): string => objects.map(({ metadata }) => metadata.name).join(" ");

describe("planClaim()", () => {
  const owned = [podOf("a", "web"), podOf("b", "other"), podOf("c", "other", true)];
  const orphans = [podOf("d", "web"), podOf("e", "other"), podOf("f", "web", true)];

  it("keeps what the selector selects, adopts such orphans, and releases the rest", () => {
    const plan = planClaim(owner, selector, { owned, orphans });
    assert.deepEqual([namesOf(plan.owned), namesOf(plan.adopt), namesOf(plan.release)], ["a", "d", "b"]);
  });

  it("leaves everything as it is for an owner that goes away", () => {
    const leaving = { ...owner, metadata: { ...owner.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
    const plan = planClaim(leaving, selector, { owned, orphans });
    assert.deepEqual([namesOf(plan.owned), plan.adopt, plan.release], ["a b c", [], []]);
  });

  it("adopts nothing by an empty selector", () => {
    assert.deepEqual(planClaim(owner, {}, { owned: [], orphans }).adopt, []);
  });
});

describe("slowStart()", () => {
  it("doubles its batches, and stops after the batch that fails", async () => {
    const tried: number[] = [];
    const act = async (item: number): Promise<void> => {
      tried.push(item);
      await Promise.resolve();
      if (item === 4) throw new Error("no");
    };
    const error = await slowStart(
      Array.from({ length: 20 }, (_, at) => at),
      act,
    );
    assert.equal(error?.message, "no");
    // Batches: 0 | 1 2 | 3 4 5 6.
    assert.deepEqual(tried, [0, 1, 2, 3, 4, 5, 6]);
    assert.equal(await slowStart([], act), undefined);
  });
});
