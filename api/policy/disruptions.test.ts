import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "../core/pod.ts";
import { budgetStatus } from "./disruptions.ts";
import type { PodDisruptionBudget } from "./poddisruptionbudget.ts";

const now = "2026-01-01T00:00:00Z";
const nowMs = Date.parse(now);

function pod(name: string, isReady: boolean): Pod {
  const conditions = [{ type: "Ready", status: isReady ? "True" : "False" }] as const;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { containers: [] },
    status: { phase: "Running", conditions },
  };
}

function counts(
  spec: PodDisruptionBudget["spec"],
  ready: number,
  wanted: number,
  status?: PodDisruptionBudget["status"],
): string {
  const budget: PodDisruptionBudget = {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "b", generation: 3 },
    spec: spec ?? {},
    ...(status === undefined ? {} : { status }),
  };
  const all = Array.from({ length: wanted }, (_, index) => pod(`p${index}`, index < ready));
  const { currentHealthy, desiredHealthy, disruptionsAllowed, expectedPods } = budgetStatus(
    { budget, pods: all, wanted, nowMs },
    now,
  );
  return `${currentHealthy}/${desiredHealthy} of ${expectedPods}: ${disruptionsAllowed}`;
}

describe("budgetStatus()", () => {
  it("counts by number and by share, rounded up", () => {
    assert.equal(counts({ minAvailable: 2 }, 3, 3), "3/2 of 3: 1");
    assert.equal(counts({ minAvailable: "50%" }, 5, 5), "5/3 of 5: 2");
    assert.equal(counts({ maxUnavailable: 1 }, 2, 3), "2/2 of 3: 0");
    assert.equal(counts({ maxUnavailable: "30%" }, 4, 4), "4/2 of 4: 2");
    assert.equal(counts({ maxUnavailable: 9 }, 2, 2), "2/0 of 2: 2");
    assert.equal(counts({}, 0, 0), "0/0 of 0: 0");
  });

  it("counts a pod whose eviction was allowed as gone, for two minutes", () => {
    const disrupted = (time: string): PodDisruptionBudget["status"] => ({ disruptedPods: { p0: time, other: time } });
    assert.equal(counts({ minAvailable: 2 }, 3, 3, disrupted(now)), "2/2 of 3: 0");
    assert.equal(counts({ minAvailable: 2 }, 3, 3, disrupted("2025-12-31T23:58:00Z")), "3/2 of 3: 1");
  });
});
