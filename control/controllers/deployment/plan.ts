/**
 * Deployment: rolls pods from one template to the next through ReplicaSets. Pure.
 *
 *   spec × ReplicaSets × now ─▶ planDeployment() ─▶ { create?, change, remove, revision, status } ─▶ controller.ts
 *
 * A plan is one step; what it writes brings the controller here again until nothing is left to write.
 * Follows: syncDeployment in k8s.io/kubernetes pkg/controller/deployment.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import { conditionOf, withCondition } from "../workload/condition.ts";
import {
  type Change,
  existingOf,
  findCurrent,
  replicaSetOf,
  revisionAnnotation,
  revisionAnnotations,
  revisionOf,
  sharedAnnotations,
  sizeAnnotations,
  wantedOf,
} from "./replica-sets.ts";
import { type Size, firstReplicas, recreate, roll } from "./rolling.ts";
import { isScaling, scale } from "./scaling.ts";
import {
  type DeploymentStatus,
  countedStatus,
  hasDeadline,
  isComplete,
  progressing,
  rolloutStatus,
  stuckInMs,
} from "./status.ts";

export interface DeploymentPlan {
  readonly create: ReplicaSet | undefined;
  readonly change: readonly Change[];
  readonly remove: readonly ReplicaSet[];
  /** The revision to write on the Deployment itself; undefined when it is there already. */
  readonly revision: string | undefined;
  /** Assumes that `create` succeeds. */
  readonly status: DeploymentStatus;
  /** When the progress deadline passes, in ms from now. */
  readonly recheckInMs: number | undefined;
}

interface Step {
  readonly create?: ReplicaSet | undefined;
  readonly sizes?: readonly Size[];
  readonly remove?: readonly ReplicaSet[];
  readonly status: DeploymentStatus;
}

export function planDeployment(deployment: Deployment, owned: readonly ReplicaSet[], nowMs: number): DeploymentPlan {
  const current = findCurrent(deployment, owned);
  const old = owned.filter((set) => set !== current);
  const facts = { owned, current, nowMs };
  if (deployment.metadata.deletionTimestamp !== undefined) {
    const status = countedStatus(deployment, facts);
    return { create: undefined, change: [], remove: [], revision: undefined, status, recheckInMs: undefined };
  }
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const step =
    deployment.spec.paused === true || isScaling(deployment, owned)
      ? holdStep(deployment, { current, old, status: countedStatus(deployment, facts) })
      : rollStep(deployment, { current, old, revision, status: rolloutStatus(deployment, facts) });
  const status = withBeginning(deployment, { ...step, current }, nowMs);
  return {
    create: step.create,
    change: changesOf(deployment, { current, revision, sizes: step.sizes ?? [] }),
    remove: step.remove ?? [],
    revision: revisionToWrite(deployment, current ?? step.create, revision),
    status,
    recheckInMs: deployment.spec.paused === true ? undefined : stuckInMs(deployment, status, nowMs),
  };
}

interface Sets {
  readonly current: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
  readonly status: DeploymentStatus;
}

/** Sizes follow `spec.replicas`, templates stay where they are. */
function holdStep(deployment: Deployment, { current, old, status }: Sets): Step {
  const remove = deployment.spec.paused === true ? superfluous(deployment, old) : [];
  return { sizes: scale(deployment, { current, old }), remove, status };
}

function rollStep(deployment: Deployment, { current, old, status, revision }: Sets & { revision: number }): Step {
  const isRecreate = deployment.spec.strategy?.type === "Recreate";
  const { sizes, isOldGone } = isRecreate
    ? recreate(deployment, current, old)
    : { sizes: current === undefined ? [] : roll(deployment, current, old), isOldGone: true };
  const create =
    current === undefined && isOldGone ? replicaSetOf(deployment, revision, firstReplicas(deployment, old)) : undefined;
  const isDone = create === undefined && sizes.length === 0 && isComplete(deployment, deployment.status ?? {});
  return { create, sizes, remove: isDone ? superfluous(deployment, old) : [], status };
}

/** The first word on a rollout: a ReplicaSet was made for it, or found. */
function withBeginning(
  deployment: Deployment,
  { status, create, current }: Step & { readonly current: ReplicaSet | undefined },
  nowMs: number,
): DeploymentStatus {
  if (!hasDeadline(deployment)) return status;
  const conditions = status.conditions ?? [];
  const verdict =
    create !== undefined
      ? progressing("True", "NewReplicaSetCreated", `Created new replica set "${create.metadata.name}"`)
      : current !== undefined && conditionOf(conditions, "Progressing") === undefined
        ? progressing("True", "FoundNewReplicaSet", `Found new replica set "${current.metadata.name}"`)
        : undefined;
  if (verdict === undefined) return status;
  return { ...status, conditions: withCondition(conditions, verdict, nowMs, { stamp: true }) };
}

/** New sizes, and what the present ReplicaSet lacks: its revision, the Deployment's annotations, minReadySeconds. */
function changesOf(
  deployment: Deployment,
  {
    current,
    revision,
    sizes,
  }: { readonly current: ReplicaSet | undefined; readonly revision: number; readonly sizes: readonly Size[] },
): readonly Change[] {
  const wanted = new Map<ReplicaSet, number>(sizes);
  if (current !== undefined && !wanted.has(current)) wanted.set(current, wantedOf(current));
  const minReadySeconds = deployment.spec.minReadySeconds ?? 0;
  return [...wanted].flatMap(([replicaSet, replicas]): Change[] => {
    const isCurrent = replicaSet === current;
    const annotations = {
      ...(sizes.some(([set]) => set === replicaSet) ? sizeAnnotations(deployment) : {}),
      ...(isCurrent ? { ...sharedAnnotations(deployment), ...revisionAnnotations(replicaSet, revision) } : {}),
    };
    const missing = Object.fromEntries(
      Object.entries(annotations).filter(([name, value]) => replicaSet.metadata.annotations?.[name] !== value),
    );
    const isLate = isCurrent && (replicaSet.spec.minReadySeconds ?? 0) !== minReadySeconds;
    if (replicas === wantedOf(replicaSet) && Object.keys(missing).length === 0 && !isLate) return [];
    return [{ replicaSet, replicas, annotations: missing, ...(isLate ? { minReadySeconds } : {}) }];
  });
}

function revisionToWrite(deployment: Deployment, set: ReplicaSet | undefined, revision: number): string | undefined {
  if (set === undefined) return undefined;
  const wanted = String(Math.max(revision, revisionOf(set)));
  return deployment.metadata.annotations?.[revisionAnnotation] === wanted ? undefined : wanted;
}

/** Empty ReplicaSets beyond the history limit, the oldest first. */
function superfluous({ spec }: Deployment, old: readonly ReplicaSet[]): readonly ReplicaSet[] {
  const staying = old.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const surplus = Math.max(0, staying.length - (spec.revisionHistoryLimit ?? 10));
  const isEmpty = (set: ReplicaSet): boolean =>
    wantedOf(set) === 0 &&
    existingOf(set) === 0 &&
    (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 0);
  return [...staying]
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, surplus)
    .filter(isEmpty);
}
