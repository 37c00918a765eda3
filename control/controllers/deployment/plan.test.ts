/** Rollout arithmetic. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Condition, IntOrString } from "#api/meta.ts";
import { templateHash } from "../workload/hash.ts";
import { resolveShare } from "./bounds.ts";
import { type DeploymentPlan, planDeployment } from "./plan.ts";
import { wantedOf } from "./replica-sets.ts";

interface Wish {
  readonly replicas?: number;
  readonly maxSurge?: IntOrString;
  readonly maxUnavailable?: IntOrString;
  readonly type?: "RollingUpdate" | "Recreate";
  readonly history?: number;
  readonly paused?: boolean;
  readonly image?: string;
  readonly status?: Deployment["status"];
}

function templateOf(image: string): Deployment["spec"]["template"] {
  return { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "web", image }] } };
}

function deploymentOf(wish: Wish = {}): Deployment {
  const { replicas = 4, maxSurge = 1, maxUnavailable = 0, type, history, paused, image = "web:2", status } = wish;
  const rollingUpdate = { maxSurge, maxUnavailable };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop", uid: "d1", generation: 2 },
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: templateOf(image),
      progressDeadlineSeconds: 600,
      ...(paused === undefined ? {} : { paused }),
      strategy: type === "Recreate" ? { type } : { type: "RollingUpdate", rollingUpdate },
      ...(history === undefined ? {} : { revisionHistoryLimit: history }),
    },
    ...(status === undefined ? {} : { status }),
  };
}

/** A ReplicaSet of so many pods, of which so many are available. Revision 0 is that of the present template. */
function setOf(revision: number, wanted: number, available = wanted, terminating = 0): ReplicaSet {
  const template = templateOf(revision === 0 ? "web:2" : `old:${revision}`);
  const labels = { app: "web", "pod-template-hash": templateHash(template) };
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
      labels,
      annotations: { "deployment.kubernetes.io/revision": String(revision === 0 ? 99 : revision) },
    },
    spec: { replicas: wanted, selector: {}, template: { ...template, metadata: { labels } } },
    status,
  };
}

const plan = (wish: Wish, sets: readonly ReplicaSet[]): DeploymentPlan => planDeployment(deploymentOf(wish), sets, 0);
const scaled = ({ change }: Pick<DeploymentPlan, "change">): string =>
  change
    .filter(({ replicaSet, replicas }) => replicas !== wantedOf(replicaSet))
    .map(({ replicaSet, replicas }) => `${replicaSet.metadata.name}=${replicas}`)
    .join(" ");
const verdicts = (conditions: readonly Condition[] | undefined): readonly (string | undefined)[] =>
  (conditions ?? []).map(({ type, status, reason }) => `${type}=${status} ${reason}`);

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
    const sizes = { "deployment.kubernetes.io/desired-replicas": "4", "deployment.kubernetes.io/max-replicas": "5" };
    const first = plan({}, []).create;
    assert.deepEqual(
      [first?.spec.replicas, first?.metadata.annotations],
      [4, { ...sizes, "deployment.kubernetes.io/revision": "1" }],
    );
    const next = plan({}, [setOf(1, 4)]).create;
    assert.deepEqual(
      [next?.spec.replicas, next?.metadata.annotations],
      [1, { ...sizes, "deployment.kubernetes.io/revision": "2" }],
    );
    assert.equal(plan({ maxSurge: 0, maxUnavailable: 1 }, [setOf(1, 4)]).create?.spec.replicas, 0);
  });

  it("marks pods and selector with the template's hash, which order of fields does not change", () => {
    const made = plan({}, []).create;
    const hash = templateHash(deploymentOf().spec.template);
    assert.match(hash, /^[bcdfghjklmnpqrstvwxz2456789]{10}$/);
    assert.equal(made?.metadata.name, `web-${hash}`);
    assert.equal(made.spec.template?.metadata?.labels?.["pod-template-hash"], hash);
    assert.equal(made.spec.selector.matchLabels?.["pod-template-hash"], hash);
    const { template } = deploymentOf().spec;
    const turned = { spec: { containers: [{ image: "web:2", name: "web" }] }, metadata: template.metadata ?? {} };
    assert.equal(templateHash(turned), hash);
    assert.notEqual(templateHash(turned, 1), hash);
  });

  it("does nothing once it is being deleted", () => {
    const deployment = deploymentOf();
    const metadata = { ...deployment.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
    const { create, change, remove } = planDeployment({ ...deployment, metadata }, [setOf(1, 4)], 0);
    assert.deepEqual([create, change, remove], [undefined, [], []]);
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
          const { change } = plan(limits, sets);
          sets = sets.map((set) => {
            const to = change.find(({ replicaSet }) => replicaSet === set)?.replicas ?? set.spec.replicas ?? 0;
            const revision = set.metadata.name === "new" ? 0 : Number(set.metadata.name.slice(3));
            // Pods that are not available go first; new ones are not available at once.
            return setOf(revision, to, Math.min(to, set.status?.availableReplicas ?? 0));
          });
          assert.ok(available() >= Math.min(floor, availableBefore), `floor ${floor}: ${scaled({ change })}`);
          assert.ok(wanted() <= Math.max(limits.replicas + limits.maxSurge, wantedBefore));
          if (scaled({ change }) === "")
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

  it("creates the new ReplicaSet whole, once everything old has gone", () => {
    assert.equal(plan({ type: "Recreate" }, [setOf(1, 4)]).create, undefined);
    assert.equal(plan({ type: "Recreate" }, [setOf(1, 0, 0, 1)]).create, undefined);
    assert.equal(plan({ type: "Recreate" }, [setOf(1, 0)]).create?.spec.replicas, 4);
  });
});

/** Status of a rollout that has come to its end. */
const complete: Deployment["status"] = { observedGeneration: 2, replicas: 4, updatedReplicas: 4, availableReplicas: 4 };

describe("planDeployment() history", () => {
  it("removes the oldest empty ReplicaSets beyond the limit, once the rollout is complete", () => {
    const sets = [setOf(0, 4), setOf(3, 0), setOf(1, 0), setOf(2, 0), setOf(4, 0, 0)];
    const names = ({ remove }: DeploymentPlan): string[] => remove.map(({ metadata }) => metadata.name);
    assert.deepEqual(names(plan({ history: 2, status: complete }, sets)), ["old1", "old2"]);
    assert.deepEqual(names(plan({ history: 2 }, sets)), []);
    assert.deepEqual(names(plan({ history: 0, status: complete }, [setOf(0, 4), setOf(1, 1)])), []);
  });

  it("numbers a template that comes back as the newest, remembers its old numbers, and creates nothing", () => {
    const { create, change, revision } = plan({ image: "old:1" }, [setOf(0, 4), setOf(1, 0), setOf(2, 0)]);
    assert.equal(create, undefined);
    const { annotations } = change.find(({ replicaSet }) => replicaSet.metadata.name === "old1") ?? {};
    assert.equal(annotations?.["deployment.kubernetes.io/revision"], "100");
    assert.equal(annotations?.["deployment.kubernetes.io/revision-history"], "1");
    assert.equal(revision, "100");
  });

  it("hands the Deployment's annotations on, but not kubectl's own", () => {
    const deployment = deploymentOf();
    const annotations = {
      "kubernetes.io/change-cause": "why",
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
    };
    const annotated = { ...deployment, metadata: { ...deployment.metadata, annotations } };
    const [change] = planDeployment(annotated, [setOf(0, 4)], 0).change;
    assert.deepEqual(change?.annotations, { "kubernetes.io/change-cause": "why" });
    const made = planDeployment(annotated, [], 0).create?.metadata.annotations ?? {};
    assert.equal(made["kubernetes.io/change-cause"], "why");
    assert.equal(Object.hasOwn(made, "kubectl.kubernetes.io/last-applied-configuration"), false);
  });
});

describe("planDeployment() of a pause", () => {
  it("rolls nothing, scales what runs, and stops the deadline", () => {
    const held = plan({ paused: true, replicas: 6 }, [setOf(1, 4)]);
    assert.equal(held.create, undefined);
    assert.equal(scaled(held), "old1=6");
    assert.deepEqual(verdicts(held.status.conditions)[0], "Progressing=Unknown DeploymentPaused");
    assert.equal(held.recheckInMs, undefined);
    const sets = [setOf(0, 1, 0), setOf(1, 4)];
    const resumed = plan({ status: plan({ paused: true }, sets).status }, sets);
    assert.ok(verdicts(resumed.status.conditions).includes("Progressing=Unknown DeploymentResumed"));
  });
});

describe("planDeployment() of a change of replicas half way", () => {
  /** Sized for `desired` replicas, of which there could have been one more. */
  function sized(set: ReplicaSet, desired: number): ReplicaSet {
    const size = {
      "deployment.kubernetes.io/desired-replicas": String(desired),
      "deployment.kubernetes.io/max-replicas": String(desired + 1),
    };
    return { ...set, metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...size } } };
  }
  const rows: readonly [what: string, wish: Wish, sets: readonly ReplicaSet[], scale: string][] = [
    [
      "shares what is added",
      { replicas: 10, maxSurge: 2 },
      [sized(setOf(0, 4), 9), sized(setOf(1, 6), 9)],
      "old1=7 new=5",
    ],
    [
      "shares what is taken",
      { replicas: 4, maxSurge: 1 },
      [sized(setOf(0, 5), 9), sized(setOf(1, 5), 9)],
      "old1=2 new=3",
    ],
    ["takes all for none", { replicas: 0 }, [sized(setOf(0, 2), 9), sized(setOf(1, 8), 9)], "old1=0 new=0"],
    ["gives all to the one that runs", { replicas: 7 }, [sized(setOf(1, 4), 4)], "old1=7"],
  ];
  for (const [what, wish, sets, scale] of rows) {
    it(what, () => {
      const made = plan(wish, sets);
      assert.equal(scaled(made), scale);
      assert.equal(made.create, undefined);
    });
  }

  it("notes the new number on all, and then rolls on", () => {
    const sets = [sized(setOf(0, 1), 9), sized(setOf(1, 4), 9)];
    const { change } = plan({ replicas: 4 }, sets);
    assert.deepEqual(
      change.map(({ annotations }) => annotations["deployment.kubernetes.io/desired-replicas"]),
      ["4", "4"],
    );
  });
});

describe("planDeployment() status", () => {
  it("says whether it is available and complete, and keeps transition times", () => {
    const busy = plan({}, [setOf(0, 1, 0), setOf(1, 4, 3)]).status;
    assert.deepEqual(verdicts(busy.conditions), [
      "Available=False MinimumReplicasUnavailable",
      "Progressing=True ReplicaSetUpdated",
    ]);
    assert.deepEqual([busy.replicas, busy.updatedReplicas, busy.unavailableReplicas], [5, 1, 2]);
    const done = planDeployment(deploymentOf({ status: busy }), [setOf(0, 4)], 60_000).status.conditions;
    assert.deepEqual(
      done?.map(({ type, status, lastTransitionTime }) => [type, status, lastTransitionTime]),
      [
        ["Available", "True", "1970-01-01T00:01:00Z"],
        ["Progressing", "True", "1970-01-01T00:00:00Z"],
      ],
    );
    assert.deepEqual(
      done?.map(({ message }) => message),
      ["Deployment has minimum availability.", 'ReplicaSet "new" has successfully progressed.'],
    );
  });

  it("says what it began with", () => {
    const [, made] = plan({}, []).status.conditions ?? [];
    assert.match(made?.message ?? "", /^Created new replica set "web-.{10}"$/);
    const found = plan({}, [setOf(0, 0, 0), setOf(1, 4)]).status.conditions?.find(({ type }) => type === "Progressing");
    assert.ok(found !== undefined);
  });

  it("is overdue after the deadline without progress, and well again after progress", () => {
    const sets = [setOf(0, 1, 0), setOf(1, 4)];
    const begun = plan({}, sets);
    assert.equal(begun.recheckInMs, 601_000);
    const quiet = planDeployment(deploymentOf({ status: begun.status }), sets, 300_000);
    assert.deepEqual(quiet.status, begun.status);
    const late = planDeployment(deploymentOf({ status: begun.status }), sets, 601_000).status;
    const condition = late.conditions?.find(({ type }) => type === "Progressing");
    assert.deepEqual(
      [condition?.status, condition?.reason, condition?.message],
      ["False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.'],
    );
    const again = planDeployment(deploymentOf({ status: late }), [setOf(0, 1), setOf(1, 4)], 700_000).status;
    assert.ok(verdicts(again.conditions).includes("Progressing=True ReplicaSetUpdated"));
  });

  it("passes on what keeps a ReplicaSet from its pods", () => {
    const conditions = [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "no" }] as const;
    const stuck = { ...setOf(0, 4, 0), status: { conditions } };
    const last = plan({}, [stuck]).status.conditions?.find(({ type }) => type === "ReplicaFailure");
    assert.deepEqual([last?.type, last?.reason, last?.message], ["ReplicaFailure", "FailedCreate", "no"]);
  });
});

describe("planDeployment() under change", () => {
  /** One world: the Deployment's wish may change at any time; pods come up and down as ReplicaSets say. */
  const event = fc.oneof(
    fc.record({ kind: fc.constant("image" as const), image: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant("replicas" as const), replicas: fc.integer({ min: 0, max: 7 }) }),
    fc.record({ kind: fc.constant("pause" as const), paused: fc.boolean() }),
    fc.record({ kind: fc.constant("step" as const), ready: fc.boolean() }),
  );

  it("never has more pods than replicas and surge, and always comes to its end", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 25 }), fc.integer({ min: 0, max: 3 }), (events, maxSurge) => {
        let wish: Wish = { replicas: 3, maxSurge, maxUnavailable: maxSurge === 0 ? 1 : 0, image: "web:1" };
        let sets: ReplicaSet[] = [];
        let [generation, status] = [1, {} as NonNullable<Deployment["status"]>];
        const step = (isReady: boolean): boolean => {
          const base = deploymentOf({ ...wish, status });
          const deployment = { ...base, metadata: { ...base.metadata, generation } };
          const before = sets.reduce((total, set) => total + wantedOf(set), 0);
          const { create, change, status: next } = planDeployment(deployment, sets, 0);
          const isQuiet = create === undefined && change.length === 0;
          sets = sets.map((set) => {
            const found = change.find(({ replicaSet }) => replicaSet === set);
            const to = found?.replicas ?? wantedOf(set);
            const available = isReady ? to : Math.min(to, set.status?.availableReplicas ?? 0);
            const annotations = { ...set.metadata.annotations, ...found?.annotations };
            const counts = { replicas: to, availableReplicas: available, readyReplicas: available };
            return {
              ...set,
              metadata: { ...set.metadata, annotations },
              spec: { ...set.spec, replicas: to },
              status: { ...counts, observedGeneration: 1 },
            };
          });
          if (create !== undefined)
            sets.push({ ...create, metadata: { ...create.metadata, generation: 1 }, status: { replicas: 0 } });
          const after = sets.reduce((total, set) => total + wantedOf(set), 0);
          assert.ok(after <= Math.max((wish.replicas ?? 0) + maxSurge, before), `${after} pods`);
          status = next;
          return isQuiet;
        };
        for (const change of events) {
          if (change.kind === "step") step(change.ready);
          else {
            generation += 1;
            if (change.kind === "image") wish = { ...wish, image: `web:${change.image}` };
            if (change.kind === "replicas") wish = { ...wish, replicas: change.replicas };
            if (change.kind === "pause") wish = { ...wish, paused: change.paused };
          }
        }
        wish = { ...wish, paused: false };
        for (let round = 0; round < 40; round += 1) step(true);
        assert.ok(step(true), "still writes");
        const running = sets.filter((set) => wantedOf(set) > 0);
        const image = ({ spec }: ReplicaSet): string | undefined => spec.template?.spec.containers[0]?.image;
        assert.deepEqual(
          running.map((set) => [image(set), wantedOf(set)]),
          wish.replicas === 0 ? [] : [[wish.image, wish.replicas]],
        );
      }),
      { numRuns: 300 },
    );
  });
});
