/** Which nodes get a daemon pod, how they are replaced, and what the history keeps. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ControllerRevision } from "#api/apps/controller-revision.ts";
import type { DaemonSet } from "#api/apps/daemonset.ts";
import type { Node, Taint } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { IntOrString } from "#api/meta.ts";
import { ManualClock } from "#lib/clock.ts";
import { nodeRefusal } from "../../scheduler/node-fit.ts";
import { FailureBackoff } from "./failure-backoff.ts";
import { planHistory } from "./history.ts";
import { daemonPod, nodeNameOf, placementOf } from "./placement.ts";
import { type DaemonSetPlan, planDaemonSet } from "./plan.ts";

interface Wish {
  readonly image?: string;
  readonly maxSurge?: IntOrString;
  readonly maxUnavailable?: IntOrString;
  readonly type?: "RollingUpdate" | "OnDelete";
  readonly disk?: string;
}

function setOf({
  image = "log:1",
  maxSurge = 0,
  maxUnavailable = 1,
  type = "RollingUpdate",
  disk,
}: Wish = {}): DaemonSet {
  const nodeSelector = disk === undefined ? {} : { nodeSelector: { disk } };
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "log", namespace: "shop", uid: "d1", generation: 1 },
    spec: {
      selector: { matchLabels: { app: "log" } },
      template: {
        metadata: { labels: { app: "log" } },
        spec: { containers: [{ name: "log", image }], ...nodeSelector },
      },
      updateStrategy: { type, rollingUpdate: { maxSurge, maxUnavailable } },
    },
  };
}

function nodeOf(name: string, taint?: Taint, labels: Record<string, string> = {}): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: { taints: taint === undefined ? [] : [taint] },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  };
}

/** A pod on a node: of a template's hash, and ready or in another state. */
function podOn(node: string, hash: string, state: "ready" | "unready" | "failed" | "leaving" = "ready"): Pod {
  const pod = daemonPod(setOf(), node, hash);
  const leaving = state === "leaving" ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  return {
    ...pod,
    metadata: { ...pod.metadata, name: `${node}-${hash}`, creationTimestamp: "2026-01-01T00:00:00Z", ...leaving },
    spec: { ...pod.spec, nodeName: node },
    status: {
      phase: state === "failed" ? "Failed" : "Running",
      conditions: [{ type: "Ready", status: state === "ready" ? "True" : "False" }],
    },
  };
}

function plan(wish: Wish, nodes: readonly Node[], pods: readonly Pod[], waitMs = 0): DaemonSetPlan {
  return planDaemonSet(setOf(wish), { nodes, pods, hash: "new", nowMs: 0, backoffMs: () => waitMs });
}

const names = (pods: readonly Pod[]): string => pods.map(({ metadata }) => metadata.name).join(" ");
const three = ["a", "b", "c"].map((name) => nodeOf(name));

describe("placementOf()", () => {
  const rows: readonly [what: string, node: Node, wish: Wish, run: boolean, stay: boolean][] = [
    ["covers a node", nodeOf("a"), {}, true, true],
    ["leaves out other labels", nodeOf("a", undefined, { disk: "hdd" }), { disk: "ssd" }, false, false],
    ["keeps to a node that new pods avoid", nodeOf("a", { key: "gpu", effect: "NoSchedule" }), {}, false, true],
    ["flees from NoExecute", nodeOf("a", { key: "gpu", effect: "NoExecute" }), {}, false, false],
    [
      "stays when it is not ready",
      nodeOf("a", { key: "node.kubernetes.io/not-ready", effect: "NoExecute" }),
      {},
      true,
      true,
    ],
    [
      "ignores a cordon",
      nodeOf("a", { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }),
      {},
      true,
      true,
    ],
  ];
  for (const [what, node, wish, run, stay] of rows)
    it(what, () => assert.deepEqual(placementOf(setOf(wish), node), { run, stay }));
});

describe("daemonPod()", () => {
  it("goes to its node and to no other", () => {
    const { spec, metadata } = daemonPod(setOf(), "b", "new");
    assert.equal(nodeNameOf(daemonPod(setOf(), "b", "new")), "b");
    assert.equal(metadata.labels?.["controller-revision-hash"], "new");
    assert.equal(nodeRefusal(spec, nodeOf("b")), undefined);
    assert.equal(nodeRefusal(spec, nodeOf("a")), "node(s) didn't satisfy plugin(s) [NodeAffinity]");
    assert.equal(nodeRefusal(spec, { ...nodeOf("b"), spec: { unschedulable: true } }), undefined);
  });
});

describe("planDaemonSet()", () => {
  it("creates what nodes lack, and waits for a pod that leaves", () => {
    const { create } = plan({}, three, [podOn("b", "new"), podOn("c", "new", "leaving")]);
    assert.deepEqual(create, ["a"]);
  });

  it("removes what is too much, misplaced or ended", () => {
    const tainted = [nodeOf("a", { key: "gpu", effect: "NoExecute" }), nodeOf("b"), nodeOf("c")];
    const second = { ...podOn("b", "new"), metadata: { ...podOn("b", "new").metadata, name: "second" } };
    const made = plan({}, tainted, [podOn("a", "new"), podOn("b", "new"), second, podOn("c", "new", "failed")]);
    assert.equal(names(made.remove), "a-new second c-new");
    assert.equal(names(made.ended), "c-new");
  });

  it("leaves a failed pod until its back-off is over", () => {
    const made = plan({}, [nodeOf("a")], [podOn("a", "new", "failed")], 4000);
    assert.deepEqual([made.remove, made.recheckInMs], [[], 4000]);
  });

  const rows: readonly [what: string, wish: Wish, pods: readonly Pod[], create: string, remove: string][] = [
    ["replaces one at a time", {}, [podOn("a", "old"), podOn("b", "old"), podOn("c", "old")], "", "a-old"],
    ["waits for the new one", {}, [podOn("a", "new", "unready"), podOn("b", "old"), podOn("c", "old")], "", ""],
    ["goes on", {}, [podOn("a", "new"), podOn("b", "old"), podOn("c", "old")], "", "b-old"],
    [
      "takes broken old ones at once",
      {},
      [podOn("a", "old", "unready"), podOn("b", "old"), podOn("c", "old")],
      "",
      "a-old",
    ],
    [
      "takes a share",
      { maxUnavailable: "50%" },
      [podOn("a", "old"), podOn("b", "old"), podOn("c", "old")],
      "",
      "a-old b-old",
    ],
    ["leaves all on OnDelete", { type: "OnDelete" }, [podOn("a", "old"), podOn("b", "old"), podOn("c", "old")], "", ""],
    ["surges", { maxSurge: 1, maxUnavailable: 0 }, [podOn("a", "old"), podOn("b", "old"), podOn("c", "old")], "a", ""],
    [
      "keeps the old while the new comes up",
      { maxSurge: 1, maxUnavailable: 0 },
      [podOn("a", "old"), podOn("a", "new", "unready"), podOn("b", "old"), podOn("c", "old")],
      "",
      "",
    ],
    [
      "lets the old go when the new is up",
      { maxSurge: 1, maxUnavailable: 0 },
      [podOn("a", "old"), podOn("a", "new"), podOn("b", "old"), podOn("c", "old")],
      "",
      "a-old",
    ],
  ];
  for (const [what, wish, pods, create, remove] of rows) {
    it(`${what} in an update`, () => {
      const made = plan(wish, three, pods);
      assert.deepEqual([made.create.join(" "), names(made.remove)], [create, remove]);
    });
  }

  it("counts nodes", () => {
    const tainted = [...three, nodeOf("d", { key: "gpu", effect: "NoSchedule" })];
    const { status } = plan({}, tainted, [podOn("a", "new"), podOn("b", "old", "unready"), podOn("d", "new")]);
    assert.deepEqual(status, {
      currentNumberScheduled: 2,
      numberMisscheduled: 1,
      desiredNumberScheduled: 3,
      numberReady: 1,
      observedGeneration: 1,
      updatedNumberScheduled: 1,
      numberAvailable: 1,
      numberUnavailable: 2,
    });
  });

  it("never takes more nodes down than allowed, and comes to its end", () => {
    const limits = fc.record({ surge: fc.integer({ min: 0, max: 3 }), down: fc.integer({ min: 1, max: 3 }) });
    fc.assert(
      fc.property(limits, fc.array(fc.boolean(), { maxLength: 30 }), ({ surge, down }, luck) => {
        const wish = { maxSurge: surge, maxUnavailable: surge > 0 ? 0 : down };
        const nodes = ["a", "b", "c", "d"].map((name) => nodeOf(name));
        let pods = nodes.map(({ metadata }) => podOn(metadata.name, "old"));
        for (let round = 0; round < luck.length + 30; round += 1) {
          const { create, remove } = plan(wish, nodes, pods);
          pods = pods.filter((pod) => !remove.includes(pod));
          const isUp = luck[round] ?? true;
          pods = pods.map((pod) =>
            isUp ? podOn(nodeNameOf(pod) ?? "", pod.metadata.labels?.["controller-revision-hash"] ?? "") : pod,
          );
          pods.push(...create.map((node) => podOn(node, "new", "unready")));
          const ready = new Set(
            pods.filter(({ status }) => status?.conditions?.[0]?.status === "True").map(nodeNameOf),
          );
          assert.ok(ready.size >= 4 - wish.maxUnavailable, `${ready.size} nodes are served`);
        }
        assert.equal(names(pods), "a-new b-new c-new d-new");
      }),
      { numRuns: 100 },
    );
  });
});

describe("planHistory()", () => {
  it("creates a revision for a new template, and renumbers one that comes back", () => {
    const first = planHistory(setOf(), [], []);
    assert.equal(first.create?.revision, 1);
    assert.equal(first.create.metadata.name, `log-${first.hash}`);
    const [one] = [first.create];
    const second = planHistory(setOf({ image: "log:2" }), [one], []);
    assert.equal(second.create?.revision, 2);
    assert.notEqual(second.hash, first.hash);
    const back = planHistory(setOf(), [one, second.create], []);
    assert.deepEqual([back.create, back.renumber?.revision, back.hash], [undefined, 3, first.hash]);
    assert.equal(planHistory(setOf({ image: "log:2" }), [one, second.create], []).renumber, undefined);
  });

  it("drops the oldest beyond the limit, but none that pods have", () => {
    const revisions = Array.from({ length: 14 }, (_, at): ControllerRevision => ({
      apiVersion: "apps/v1",
      kind: "ControllerRevision",
      metadata: { name: `r${at}`, labels: { "controller-revision-hash": `h${at}` } },
      data: at,
      revision: at + 1,
    }));
    const { remove } = planHistory(setOf(), revisions, [podOn("a", "h0")]);
    assert.deepEqual(
      remove.map(({ metadata }) => metadata.name),
      ["r1", "r2", "r3"],
    );
  });
});

describe("FailureBackoff", () => {
  it("doubles with each failure, and forgets after a long time", () => {
    const clock = new ManualClock();
    const backoff = new FailureBackoff(clock);
    assert.equal(backoff.waitMs("a"), 0);
    backoff.failed("a");
    backoff.failed("a");
    assert.equal(backoff.waitMs("a"), 2000);
    assert.equal(backoff.waitMs("b"), 0);
  });
});
