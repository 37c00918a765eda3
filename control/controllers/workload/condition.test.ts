/** Conditions keep their times, patches leave nothing behind. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KubeObject } from "#api/meta.ts";
import { omitEmpty, statusPatch, withCondition } from "./condition.ts";

function withStatus(status: object): KubeObject & { readonly status: object } {
  return { apiVersion: "batch/v1", kind: "Job", metadata: { name: "work" }, status };
}

describe("withCondition()", () => {
  const verdict = { type: "Ready", status: "True", reason: "A", message: "a" } as const;

  it("changes nothing for the same status and reason", () => {
    const before = withCondition([], verdict, 0);
    assert.equal(withCondition(before, { ...verdict, message: "b" }, 9000), before);
  });

  it("keeps the time of transition while the status stays", () => {
    const before = withCondition([], verdict, 0, { stamp: true });
    const [after] = withCondition(before, { ...verdict, reason: "B" }, 9000, { stamp: true });
    assert.deepEqual(
      [after?.lastTransitionTime, after?.lastUpdateTime],
      ["1970-01-01T00:00:00Z", "1970-01-01T00:00:09Z"],
    );
    const [turned] = withCondition(before, { ...verdict, status: "False" }, 9000);
    assert.equal(turned?.lastTransitionTime, "1970-01-01T00:00:09Z");
  });
});

describe("statusPatch()", () => {
  it("names what is gone at every depth, and replaces lists whole", () => {
    const before = withStatus({ active: 1, pods: { failed: ["a"], succeeded: ["b"] }, conditions: [1, 2] });
    assert.deepEqual(statusPatch(before, { pods: { succeeded: [] }, conditions: [3] }), {
      status: { active: null, pods: { failed: null, succeeded: [] }, conditions: [3] },
    });
  });

  it("is nothing when nothing changed", () => {
    assert.equal(statusPatch(withStatus({ a: { b: 1 } }), { a: { b: 1 } }), undefined);
  });
});

describe("omitEmpty()", () => {
  it("drops what says nothing, but for what is kept", () => {
    assert.deepEqual(omitEmpty({ a: 0, b: [], c: "", d: 1, e: 0 }, ["e"]), { d: 1, e: 0 });
  });
});
