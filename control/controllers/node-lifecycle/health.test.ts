import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node } from "#api/core/node.ts";
import type { Lease } from "#api/coordination/lease.ts";
import { disruptionOf, isSilent, observe, unknownConditions } from "./health.ts";

const config = { graceMs: 50_000, startupGraceMs: 60_000 };
const node: Node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n", creationTimestamp: "2026-01-01T00:00:00Z" },
  status: { conditions: [{ type: "Ready", status: "True", reason: "KubeletReady" }] },
};
const lease = (renewTime: string): Lease => ({
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name: "n" },
  spec: { renewTime },
});

describe("observe()", () => {
  it("counts from the first sight, however old the Lease is, and again from each renewal", () => {
    const first = observe(undefined, node, lease("2020-01-01T00:00:00.000000Z"), 1000);
    assert.equal(isSilent(first, node, 51_000, config), false);
    assert.equal(isSilent(first, node, 51_001, config), true);
    const same = observe(first, node, lease("2020-01-01T00:00:00.000000Z"), 40_000);
    assert.equal(same.probeMs, 1000);
    assert.equal(observe(same, node, lease("2020-01-01T00:00:10.000000Z"), 40_000).probeMs, 40_000);
  });

  it("gives a node that never was ready a little longer", () => {
    const fresh = { ...node, status: {} };
    const health = observe(undefined, fresh, undefined, 0);
    assert.equal(isSilent(health, fresh, 60_000, config), false);
    assert.equal(isSilent(health, fresh, 60_001, config), true);
  });
});

describe("unknownConditions()", () => {
  it("turns all four conditions Unknown, once", () => {
    const conditions = unknownConditions(node, "2026-01-01T00:01:00Z");
    assert.deepEqual(
      conditions?.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
      [
        "Ready Unknown NodeStatusUnknown",
        "MemoryPressure Unknown NodeStatusNeverUpdated",
        "DiskPressure Unknown NodeStatusNeverUpdated",
        "PIDPressure Unknown NodeStatusNeverUpdated",
      ],
    );
    assert.equal(unknownConditions({ ...node, status: { conditions } }, "2026-01-01T00:02:00Z"), undefined);
  });
});

describe("disruptionOf()", () => {
  it("tells a few lost nodes from most and from all", () => {
    assert.equal(disruptionOf([]), "none");
    assert.equal(disruptionOf(["True", "Unknown"]), "none");
    assert.equal(disruptionOf(["Unknown"]), "full");
    assert.equal(disruptionOf(["True", "Unknown", "False", "Unknown"]), "partial");
    assert.equal(disruptionOf(["True", "True", "True", "Unknown", "False", "Unknown"]), "none");
  });
});
