/**
 * The status of a Deployment: counts, and how its rollout goes. Pure.
 *
 *   Deployment × ReplicaSets × now ─▶ rolloutStatus() ─▶ status, and when to look again
 *
 * Follows: calculateStatus and syncRolloutStatus in k8s.io/kubernetes pkg/controller/deployment; reasons and messages
 * are those of kube-controller-manager, as `kubectl rollout status` reads them.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Condition } from "#api/meta.ts";
import { type Verdict, conditionOf, omitEmpty, withCondition, withoutCondition } from "../workload/condition.ts";
import { bounds } from "./bounds.ts";
import { availableOf, existingOf, sum, wantedOf } from "./replica-sets.ts";

export type DeploymentStatus = NonNullable<Deployment["status"]>;
type Conditions = readonly Condition[];

export interface StatusFacts {
  readonly owned: readonly ReplicaSet[];
  readonly current: ReplicaSet | undefined;
  readonly nowMs: number;
}

/** A deadline of this many seconds is none. */
const noDeadline = 2 ** 31 - 1;
const stamp = { stamp: true };

export function hasDeadline({ spec }: Deployment): boolean {
  return spec.progressDeadlineSeconds !== undefined && spec.progressDeadlineSeconds !== noDeadline;
}

/** The Progressing condition of a rollout that has just begun, stands still on demand, or could not begin. */
export function progressing(status: Condition["status"], reason: string, message: string): Verdict {
  return { type: "Progressing", status, reason, message };
}

/** Counts and availability alone: for a Deployment that is paused, scales or goes away. */
export function countedStatus(deployment: Deployment, { owned, current, nowMs }: StatusFacts): DeploymentStatus {
  const replicas = deployment.spec.replicas ?? 1;
  const available = sum(owned, availableOf);
  const hasMinimum = available >= replicas - bounds(deployment).unavailable;
  const availability: Verdict = hasMinimum
    ? {
        type: "Available",
        status: "True",
        reason: "MinimumReplicasAvailable",
        message: "Deployment has minimum availability.",
      }
    : {
        type: "Available",
        status: "False",
        reason: "MinimumReplicasUnavailable",
        message: "Deployment does not have minimum availability.",
      };
  const status: DeploymentStatus = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(owned, existingOf),
    updatedReplicas: current === undefined ? 0 : existingOf(current),
    readyReplicas: sum(owned, ({ status: { readyReplicas = 0 } = {} }) => readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(owned, wantedOf) - available),
    terminatingReplicas: sum(owned, ({ status: { terminatingReplicas = 0 } = {} }) => terminatingReplicas),
    collisionCount: deployment.status?.collisionCount ?? 0,
    conditions: withCondition(pausedConditions(deployment, nowMs), availability, nowMs, stamp),
  };
  return omitEmpty(status, ["terminatingReplicas"]);
}

/** The status while the Deployment rolls: with progress, completion, deadline and failures. */
export function rolloutStatus(deployment: Deployment, facts: StatusFacts): DeploymentStatus {
  const counted = countedStatus(deployment, facts);
  const { nowMs } = facts;
  let conditions: Conditions = counted.conditions ?? [];
  if (!hasDeadline(deployment)) conditions = withoutCondition(conditions, "Progressing");
  else {
    const before = conditionOf(conditions, "Progressing");
    const isSettled = counted.replicas === counted.updatedReplicas && before?.reason === "NewReplicaSetAvailable";
    if (!isSettled) conditions = withProgress(deployment, { ...counted, conditions }, facts);
  }
  const failure = failureOf(facts);
  conditions =
    failure === undefined
      ? withoutCondition(conditions, "ReplicaFailure")
      : withCondition(conditions, failure, nowMs, stamp);
  return omitEmpty({ ...counted, conditions }, ["terminatingReplicas"]);
}

/** Whether all pods are of the present template, available, and nothing else is left. */
export function isComplete({ metadata, spec }: Deployment, status: DeploymentStatus): boolean {
  const replicas = spec.replicas ?? 1;
  const { updatedReplicas = 0, replicas: total = 0, availableReplicas = 0, observedGeneration = 0 } = status;
  const isObserved = observedGeneration >= (metadata.generation ?? 0);
  return updatedReplicas === replicas && total === replicas && availableReplicas === replicas && isObserved;
}

/** When the progress deadline passes, in ms from now; undefined while nothing is waited for. */
export function stuckInMs(deployment: Deployment, status: DeploymentStatus, nowMs: number): number | undefined {
  const condition = conditionOf(status.conditions, "Progressing");
  if (!hasDeadline(deployment) || condition === undefined || isComplete(deployment, status)) return undefined;
  // A rollout that is complete, timed out or paused waits for something to change.
  if (
    !["NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated", "DeploymentResumed"].includes(
      condition.reason ?? "",
    )
  )
    return undefined;
  return Math.max(1000, deadlineMs(deployment, condition) - nowMs + 1000);
}

function withProgress(deployment: Deployment, status: DeploymentStatus, facts: StatusFacts): Conditions {
  const { nowMs, current } = facts;
  const conditions = status.conditions ?? [];
  const before = conditionOf(conditions, "Progressing");
  const { kind, name } =
    current === undefined
      ? { kind: "Deployment", name: deployment.metadata.name }
      : { kind: "ReplicaSet", name: current.metadata.name };
  const say = (what: string): string => `${kind} "${name}" ${what}`;
  if (isComplete(deployment, status)) {
    const verdict = progressing("True", "NewReplicaSetAvailable", say("has successfully progressed."));
    return withCondition(conditions, verdict, nowMs, stamp);
  }
  if (hasProgressed(deployment.status ?? {}, status)) {
    const verdict = progressing("True", "ReplicaSetUpdated", say("is progressing."));
    // Each step of progress moves lastUpdateTime, which the deadline counts from.
    const [made] = withCondition([], verdict, nowMs, stamp);
    if (made === undefined) return conditions;
    const lastTransitionTime = before?.status === "True" ? before.lastTransitionTime : made.lastTransitionTime;
    const kept = lastTransitionTime === undefined ? {} : { lastTransitionTime };
    return [...withoutCondition(conditions, "Progressing"), { ...made, ...kept }];
  }
  if (before === undefined || !isOverdue(deployment, before, nowMs)) return conditions;
  const verdict = progressing("False", "ProgressDeadlineExceeded", say("has timed out progressing."));
  return withCondition(conditions, verdict, nowMs, stamp);
}

function hasProgressed(before: DeploymentStatus, after: DeploymentStatus): boolean {
  const oldOf = ({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus): number => replicas - updatedReplicas;
  return (
    (after.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    oldOf(after) < oldOf(before) ||
    (after.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (after.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}

function isOverdue(deployment: Deployment, condition: Condition, nowMs: number): boolean {
  if (condition.reason === "NewReplicaSetAvailable") return false;
  return condition.reason === "ProgressDeadlineExceeded" || deadlineMs(deployment, condition) < nowMs;
}

function deadlineMs({ spec }: Deployment, { lastUpdateTime, lastTransitionTime }: Condition): number {
  return Date.parse(lastUpdateTime ?? lastTransitionTime ?? "") + (spec.progressDeadlineSeconds ?? 600) * 1000;
}

/** A pause stops the deadline; the end of a pause starts it anew. */
function pausedConditions(deployment: Deployment, nowMs: number): Conditions {
  const conditions = deployment.status?.conditions ?? [];
  const before = conditionOf(conditions, "Progressing")?.reason;
  if (!hasDeadline(deployment) || before === "ProgressDeadlineExceeded") return conditions;
  const isPaused = deployment.spec.paused === true;
  if (isPaused && before !== "DeploymentPaused")
    return withCondition(conditions, progressing("Unknown", "DeploymentPaused", "Deployment is paused"), nowMs, stamp);
  if (!isPaused && before === "DeploymentPaused")
    return withCondition(
      conditions,
      progressing("Unknown", "DeploymentResumed", "Deployment is resumed"),
      nowMs,
      stamp,
    );
  return conditions;
}

/** What keeps a ReplicaSet from its pods; the present one's word counts first. */
function failureOf({ owned, current }: StatusFacts): Verdict | undefined {
  const ordered = current === undefined ? owned : [current, ...owned];
  for (const { status } of ordered) {
    const condition = conditionOf(status?.conditions, "ReplicaFailure");
    if (condition === undefined) continue;
    const { reason = "", message = "" } = condition;
    return { type: "ReplicaFailure", status: condition.status, reason, message };
  }
  return undefined;
}
