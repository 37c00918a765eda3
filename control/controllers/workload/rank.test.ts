/** Which pods go first. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import { rankForDeletion } from "./rank.ts";

interface Facts {
  readonly node?: string;
  readonly phase?: "Pending" | "Running";
  readonly ready?: string;
  readonly cost?: string;
  readonly restarts?: number;
  readonly created?: string;
}

function podOf(name: string, facts: Facts): Pod {
  const { node = "n1", phase = "Running", ready, cost, restarts = 0, created = "2026-01-01T00:00:00Z" } = facts;
  const condition = {
    type: "Ready",
    status: ready === undefined ? "False" : "True",
    lastTransitionTime: ready ?? created,
  };
  const container = {
    name: "a",
    state: {},
    lastState: {},
    ready: true,
    restartCount: restarts,
    image: "a",
    imageID: "",
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      creationTimestamp: created,
      ...(cost === undefined ? {} : { annotations: { "controller.kubernetes.io/pod-deletion-cost": cost } }),
    },
    spec: { containers: [], ...(node === "" ? {} : { nodeName: node }) },
    status: { phase, conditions: [condition as { type: string; status: "True" }], containerStatuses: [container] },
  };
}

const early = "2026-01-01T00:00:01Z";
const late = "2026-01-01T00:00:09Z";

describe("rankForDeletion() takes first", () => {
  const rows: readonly [what: string, first: Facts, second: Facts][] = [
    ["what has no node", { node: "", phase: "Pending" }, { phase: "Pending" }],
    ["what is pending", { phase: "Pending", cost: "9" }, { cost: "1" }],
    ["what is not ready", { cost: "9" }, { ready: early, cost: "1" }],
    ["what costs less", { ready: early, cost: "-5" }, { ready: late }],
    ["what shares its node", { ready: early, node: "n2" }, { ready: late, node: "n1" }],
    ["what is ready for a shorter time", { ready: late }, { ready: early, restarts: 9 }],
    ["what was restarted more", { ready: early, restarts: 2 }, { ready: early, restarts: 1, created: late }],
    ["what is newer", { ready: early, created: late }, { ready: early }],
    ["what costs 0 for a cost that is no number", { ready: early, cost: "x" }, { ready: early, cost: "1" }],
  ];
  for (const [what, first, second] of rows) {
    it(what, () => {
      const pods = [podOf("second", second), podOf("first", first)];
      const crowd = [...pods, podOf("other", { node: "n2" })];
      assert.deepEqual(
        rankForDeletion(pods, crowd).map(({ metadata }) => metadata.name),
        ["first", "second"],
      );
    });
  }
});
