/** Rollout arithmetic. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { IntOrString } from "#api/meta.ts";
import { type DeploymentPlan, planDeployment, resolveShare, templateHash } from "./deployment.ts";

interface Wish {
  readonly replicas?: number;
  readonly maxSurge?: IntOrString;
  readonly maxUnavailable?: IntOrString;
  readonly type?: "RollingUpdate" | "Recreate";
  readonly history?: number;
}

function deploymentOf({ replicas = 4, maxSurge = 1, maxUnavailable = 0, type, history }: Wish = {}): Deployment {
  const rollingUpdate = { maxSurge, maxUnavailable };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", uid: "d1", generation: 2 },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image: "web:2" }] } },
      strategy: type === "Recreate" ? { type } : { type: "RollingUpdate", rollingUpdate },
      ...(history === undefined ? {} : { revisionHistoryLimit: history }),
    },
  };
}

/** A ReplicaSet of so many pods, of which so many are available. Revision 0 is that of the present template. */
function setOf(revision: number, wanted: number, available = wanted, terminating = 0): ReplicaSet {
  const hash = revision === 0 ? templateHash(deploymentOf()) : `old${revision}`;
  const status = {
    replicas: wanted,
    availableReplicas: available,
    readyReplicas: available,
    terminatingReplicas: terminating,
    observedGeneration: 1,
  };
  return {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      name: revision === 0 ? "new" : `old${revision}`,
      generation: 1,
      labels: { "pod-template-hash": hash },
      annotations: { "deployment.kubernetes.io/revision": String(revision === 0 ? 99 : revision) },
    },
    spec: { replicas: wanted, selector: {} },
    status,
  };
}

const plan = (wish: Wish, sets: readonly ReplicaSet[]): DeploymentPlan => planDeployment(deploymentOf(wish), sets, 0);
const scaled = ({ scale }: DeploymentPlan): string =>
  scale.map(({ replicaSet, replicas }) => `${replicaSet.metadata.name}=${replicas}`).join(" ");

describe("resolveShare()", () => {
  const rows: readonly [IntOrString, total: number, up: number, down: number][] = [
    ["25%", 4, 1, 1],
    ["25%", 3, 1, 0],
    ["25%", 10, 3, 2],
    ["0%", 10, 0, 0],
    ["100%", 7, 7, 7],
    ["33%", 1, 1, 0],
    [2, 10, 2, 2],
  ];
  for (const [value, total, up, down] of rows) {
    it(`takes ${value} of ${total} for ${up} rounded up, ${down} rounded down`, () => {
      assert.deepEqual([resolveShare(value, total, "up"), resolveShare(value, total, "down")], [up, down]);
    });
  }
});

describe("planDeployment() of a rolling update", () => {
  const rows: readonly [what: string, wish: Wish, sets: readonly ReplicaSet[], scale: string][] = [
    ["is done when all is new", {}, [setOf(0, 4)], ""],
    ["scales up at once without old pods", { replicas: 6 }, [setOf(0, 4)], "new=6"],
    ["scales down at once", { replicas: 1 }, [setOf(0, 4)], "new=1"],
    ["surges by one and removes nothing yet", {}, [setOf(0, 0), setOf(1, 4)], "new=1"],
    ["waits for the new pod to be available", {}, [setOf(0, 1, 0), setOf(1, 4)], ""],
    ["removes one old for one new", {}, [setOf(0, 1), setOf(1, 4)], "old1=3"],
    ["goes on to surge", {}, [setOf(0, 1), setOf(1, 3)], "new=2"],
    ["removes the last old", {}, [setOf(0, 4), setOf(1, 1)], "old1=0"],
    ["removes first where nothing may surge", { maxSurge: 0, maxUnavailable: 1 }, [setOf(0, 0), setOf(1, 4)], "old1=3"],
    ["takes 0/0 for one unavailable", { maxSurge: 0 }, [setOf(0, 0), setOf(1, 4)], "old1=3"],
    ["rounds percents", { maxSurge: "25%", maxUnavailable: "25%" }, [setOf(0, 0), setOf(1, 4)], "new=1 old1=3"],
    ["removes pods that are not available, however many", {}, [setOf(0, 1), setOf(1, 4, 2)], "old1=3"],
    ["spares available pods while others are not", {}, [setOf(0, 1, 0), setOf(1, 4, 3)], ""],
    [
      "removes what is not available of each old set before what is",
      { maxSurge: 2 },
      [setOf(0, 2), setOf(1, 3, 2), setOf(2, 1, 0)],
      "old1=2 old2=0",
    ],
  ];
  for (const [what, wish, sets, scale] of rows) {
    it(what, () => assert.equal(scaled(plan(wish, sets)), scale));
  }

  it("creates the first ReplicaSet with all pods, a later one with what may surge", () => {
    const first = plan({}, []).create;
    assert.deepEqual(
      [first?.spec.replicas, first?.metadata.annotations],
      [4, { "deployment.kubernetes.io/revision": "1" }],
    );
    const next = plan({}, [setOf(1, 4)]).create;
    assert.deepEqual(
      [next?.spec.replicas, next?.metadata.annotations],
      [1, { "deployment.kubernetes.io/revision": "2" }],
    );
    assert.equal(plan({ maxSurge: 0, maxUnavailable: 1 }, [setOf(1, 4)]).create?.spec.replicas, 0);
  });

  it("marks pods and selector with the template's hash, which order of fields does not change", () => {
    const made = plan({}, []).create;
    const hash = templateHash(deploymentOf());
    assert.equal(made?.metadata.name, `web-${hash}`);
    assert.equal(made.spec.template?.metadata?.labels?.["pod-template-hash"], hash);
    assert.equal(made.spec.selector.matchLabels?.["pod-template-hash"], hash);
    const { template } = deploymentOf().spec;
    const turned = { spec: { containers: [{ image: "web:2", name: "web" }] }, metadata: template.metadata ?? {} };
    const other = { ...deploymentOf(), spec: { ...deploymentOf().spec, template: turned } };
    assert.equal(templateHash(other), hash);
  });

  it("does nothing once it is being deleted", () => {
    const deployment = deploymentOf();
    const metadata = { ...deployment.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
    const { create, scale, remove } = planDeployment({ ...deployment, metadata }, [setOf(1, 4)], 0);
    assert.deepEqual([create, scale, remove], [undefined, [], []]);
  });

  it("never goes below the floor or above the surge, and comes to its end", () => {
    const wish = fc.record({
      replicas: fc.integer({ min: 0, max: 8 }),
      maxSurge: fc.integer({ min: 0, max: 4 }),
      maxUnavailable: fc.integer({ min: 0, max: 4 }),
    });
    const start = fc.array(fc.tuple(fc.nat(5), fc.nat(5)), { maxLength: 3 });
    fc.assert(
      fc.property(wish, start, (limits, old) => {
        const unavailable = limits.maxSurge === 0 && limits.maxUnavailable === 0 ? 1 : limits.maxUnavailable;
        const floor = limits.replicas - unavailable;
        let sets = [setOf(0, 0), ...old.map(([wanted, up], at) => setOf(at + 1, wanted, Math.min(wanted, up)))];
        const total = (of: (set: ReplicaSet) => number): number => sets.reduce((all, set) => all + of(set), 0);
        const available = (): number => total(({ status }) => status?.availableReplicas ?? 0);
        const wanted = (): number => total(({ spec }) => spec.replicas ?? 0);
        for (let round = 0; round < 60; round += 1) {
          const [availableBefore, wantedBefore] = [available(), wanted()];
          const { scale } = plan(limits, sets);
          sets = sets.map((set) => {
            const to = scale.find(({ replicaSet }) => replicaSet === set)?.replicas ?? set.spec.replicas ?? 0;
            const revision = set.metadata.name === "new" ? 0 : Number(set.metadata.name.slice(3));
            // Pods that are not available go first; new ones are not available at once.
            return setOf(revision, to, Math.min(to, set.status?.availableReplicas ?? 0));
          });
          assert.ok(
            available() >= Math.min(floor, availableBefore),
            `floor ${floor}: ${scaled({ ...plan({}, []), scale })}`,
          );
          assert.ok(wanted() <= Math.max(limits.replicas + limits.maxSurge, wantedBefore));
          if (scale.length === 0)
            sets = sets.map((set) => (set.metadata.name === "new" ? setOf(0, set.spec.replicas ?? 0) : set));
        }
        assert.deepEqual(
          sets.map(({ spec }) => spec.replicas),
          [limits.replicas, ...old.map(() => 0)],
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("planDeployment() of Recreate", () => {
  const rows: readonly [what: string, sets: readonly ReplicaSet[], scale: string][] = [
    ["removes everything old first", [setOf(0, 0), setOf(1, 4)], "old1=0"],
    ["waits for pods that still end", [setOf(0, 0), setOf(1, 0, 0, 2)], ""],
    ["waits for a set that has not counted its pods yet", [setOf(0, 0), { ...setOf(1, 0), status: {} }], ""],
    ["starts the new ones when nothing old is left", [setOf(0, 0), setOf(1, 0)], "new=4"],
    ["is done when all is new", [setOf(0, 4), setOf(1, 0)], ""],
  ];
  for (const [what, sets, scale] of rows) {
    it(what, () => assert.equal(scaled(plan({ type: "Recreate" }, sets)), scale));
  }

  it("creates the new ReplicaSet empty", () => {
    assert.equal(plan({ type: "Recreate" }, [setOf(1, 4)]).create?.spec.replicas, 0);
  });
});

describe("planDeployment() history and status", () => {
  it("removes the oldest empty ReplicaSets beyond the limit", () => {
    const sets = [setOf(0, 4), setOf(3, 0), setOf(1, 0), setOf(2, 0), setOf(4, 0, 0)];
    const names = plan({ history: 2 }, sets).remove.map(({ metadata }) => metadata.name);
    assert.deepEqual(names, ["old1", "old2"]);
    assert.deepEqual(plan({ history: 0 }, [setOf(0, 4), setOf(1, 1)]).remove, []);
  });

  it("says whether it is available and complete, and keeps transition times", () => {
    const busy = plan({}, [setOf(0, 1, 0), setOf(1, 4, 3)]).status;
    const facts = busy.conditions?.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
    assert.deepEqual(facts, ["Available=False MinimumReplicasUnavailable", "Progressing=True ReplicaSetUpdated"]);
    assert.deepEqual([busy.replicas, busy.updatedReplicas, busy.unavailableReplicas], [5, 1, 1]);
    const deployment = { ...deploymentOf(), status: busy };
    const done = planDeployment(deployment, [setOf(0, 4)], 60_000).status.conditions;
    assert.deepEqual(
      done?.map(({ type, status, lastTransitionTime }) => [type, status, lastTransitionTime]),
      [
        ["Available", "True", "1970-01-01T00:01:00Z"],
        ["Progressing", "True", "1970-01-01T00:00:00Z"],
      ],
    );
  });
});
