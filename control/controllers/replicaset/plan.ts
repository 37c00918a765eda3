/**
 * ReplicaSet and ReplicationController: how many pods to create, which to remove, and the status. Pure.
 *
 *   spec × owned pods ─▶ planReplicas() ─▶ { create: n, remove: pods, status, recheckInMs } ─▶ controller.ts
 *
 * Pods that ended or are being deleted do not count.
 * Follows: k8s.io/kubernetes pkg/controller/replicaset (replica_set.go, replica_set_utils.go).
 */
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import { type Pod, isPodFinished, isPodReady } from "#api/core/pod.ts";
import type { ReplicationController } from "#api/core/replication-controller.ts";
import type { LabelSelector } from "#api/meta.ts";
import { isPodAvailable, nextAvailableInMs } from "../workload/availability.ts";
import { omitEmpty, withCondition, withoutCondition } from "../workload/condition.ts";
import { isPodActive, rankForDeletion } from "../workload/rank.ts";

export type ReplicaOwner = ReplicaSet | ReplicationController;
export type ReplicaStatus = NonNullable<ReplicaSet["status"]>;

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
  readonly status: ReplicaStatus;
  /** When a pod becomes available by time alone, in ms from now. */
  readonly recheckInMs: number | undefined;
}

export interface ReplicaFacts {
  readonly owned: readonly Pod[];
  /** Pods of the ReplicaSets of the same Deployment; asked for only when pods are to go. */
  readonly related: () => readonly Pod[];
  readonly nowMs: number;
}

export function planReplicas(owner: ReplicaOwner, { owned, related, nowMs }: ReplicaFacts): ReplicaPlan {
  const active = owned.filter(isPodActive);
  const wanted = owner.metadata.deletionTimestamp === undefined ? (owner.spec.replicas ?? 1) : active.length;
  const surplus = Math.max(0, active.length - wanted);
  const remove = surplus === 0 ? [] : rankForDeletion(active, related()).slice(0, surplus);
  return {
    create: Math.max(0, wanted - active.length),
    remove,
    status: statusOf(owner, owned, nowMs),
    recheckInMs: nextAvailableInMs(active, owner.spec.minReadySeconds ?? 0, nowMs),
  };
}

/** The status after the plan was tried: with the condition ReplicaFailure while it fails. */
export function withFailure(
  status: ReplicaStatus,
  failure: { readonly error: Error; readonly isCreate: boolean } | undefined,
  nowMs: number,
): ReplicaStatus {
  const before = status.conditions ?? [];
  const after =
    failure === undefined
      ? withoutCondition(before, "ReplicaFailure")
      : withCondition(
          before,
          {
            type: "ReplicaFailure",
            status: "True",
            reason: failure.isCreate ? "FailedCreate" : "FailedDelete",
            message: failure.error.message,
          },
          nowMs,
        );
  const { conditions: _conditions, ...rest } = status;
  return after.length === 0 ? rest : { ...rest, conditions: after };
}

/** What selects the pods: a ReplicationController has plain labels. */
export function selectorOf(owner: ReplicaOwner): LabelSelector {
  return owner.kind === "ReplicaSet"
    ? (owner as ReplicaSet).spec.selector
    : { matchLabels: (owner as ReplicationController).spec.selector ?? {} };
}

function statusOf(owner: ReplicaOwner, owned: readonly Pod[], nowMs: number): ReplicaStatus {
  const { minReadySeconds = 0, template } = owner.spec;
  const active = owned.filter(isPodActive);
  const labels = Object.entries(template?.metadata?.labels ?? {});
  const isFullyLabeled = ({ metadata }: Pod): boolean =>
    labels.every(([key, value]) => metadata.labels?.[key] === value);
  const isTerminating = (pod: Pod): boolean => !isPodFinished(pod) && pod.metadata.deletionTimestamp !== undefined;
  const status: ReplicaStatus = {
    replicas: active.length,
    fullyLabeledReplicas: active.filter(isFullyLabeled).length,
    readyReplicas: active.filter(isPodReady).length,
    availableReplicas: active.filter((pod) => isPodAvailable(pod, minReadySeconds, nowMs)).length,
    observedGeneration: owner.metadata.generation ?? 0,
    conditions: owner.status?.conditions ?? [],
    ...(owner.kind === "ReplicaSet" ? { terminatingReplicas: owned.filter(isTerminating).length } : {}),
  };
  return omitEmpty(status, ["replicas"]);
}
