import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node, Taint } from "#api/core/node.ts";
import type { Condition } from "#api/meta.ts";
import type { Disruption } from "./health.ts";
import { plannedTaints, toleratedMs } from "./taints.ts";

const now = "2026-01-01T00:00:00Z";

function taintsOf(ready: Condition["status"] | undefined, disruption: Disruption, spec: Node["spec"] = {}): string {
  const conditions = ready === undefined ? [] : [{ type: "Ready", status: ready }];
  const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name: "n" }, spec, status: { conditions } };
  const planned = plannedTaints(node, disruption, now);
  return planned === undefined ? "as it is" : planned.map(({ key, effect }) => `${key}:${effect}`).join(" ");
}

const taint = (key: string, effect: Taint["effect"] = "NoExecute"): Taint => ({ key, effect, timeAdded: now });
const unreachable = "node.kubernetes.io/unreachable";
const notReady = "node.kubernetes.io/not-ready";

describe("plannedTaints()", () => {
  it("keeps new pods away from a node that is not ready, and has its pods leave", () => {
    assert.equal(taintsOf("Unknown", "none"), `${unreachable}:NoSchedule ${unreachable}:NoExecute`);
    assert.equal(taintsOf("False", "none"), `${notReady}:NoSchedule ${notReady}:NoExecute`);
    assert.equal(taintsOf(undefined, "none"), "as it is");
    assert.equal(taintsOf("True", "none", { unschedulable: true }), "node.kubernetes.io/unschedulable:NoSchedule");
  });

  it("takes its own taints away again, and no others", () => {
    const own = [taint(unreachable), taint(unreachable, "NoSchedule")];
    assert.equal(taintsOf("True", "none", { taints: [taint("mine", "NoSchedule"), ...own] }), "mine:NoSchedule");
    assert.equal(taintsOf("Unknown", "none", { taints: own }), "as it is");
  });

  it("empties no further node while most are lost, and none while all are", () => {
    assert.equal(taintsOf("Unknown", "partial"), `${unreachable}:NoSchedule`);
    assert.equal(
      taintsOf("Unknown", "partial", { taints: [taint(notReady)] }),
      `${unreachable}:NoSchedule ${unreachable}:NoExecute`,
    );
    assert.equal(taintsOf("Unknown", "full", { taints: [taint(unreachable)] }), `${unreachable}:NoSchedule`);
  });
});

describe("toleratedMs()", () => {
  it("is the shortest of the tolerations that are used", () => {
    const both = [taint(unreachable), taint(notReady)];
    assert.equal(toleratedMs([taint(unreachable)]), 0);
    assert.equal(toleratedMs([taint(unreachable, "NoSchedule")]), Infinity);
    assert.equal(toleratedMs([taint(unreachable)], [{ operator: "Exists" }]), Infinity);
    const tolerations = [
      { key: unreachable, operator: "Exists", effect: "NoExecute", tolerationSeconds: 300 },
      { key: notReady, operator: "Exists", tolerationSeconds: 5 },
    ] as const;
    assert.equal(toleratedMs([taint(unreachable)], tolerations), 300_000);
    assert.equal(toleratedMs(both, tolerations), 5000);
    assert.equal(toleratedMs(both, tolerations.slice(0, 1)), 0);
    assert.equal(toleratedMs([taint(unreachable)], [{ key: unreachable, value: "other" }]), 0);
    assert.equal(
      toleratedMs([taint(unreachable)], [{ key: unreachable, operator: "Exists", tolerationSeconds: -1 }]),
      0,
    );
  });
});
