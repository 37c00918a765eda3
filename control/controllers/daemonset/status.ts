/**
 * The status of a DaemonSet: nodes by what they have. Pure.
 *
 * Follows: updateDaemonSetStatus in k8s.io/kubernetes pkg/controller/daemon.
 */
import type { DaemonSet } from "#api/apps/daemonset.ts";
import { isPodReady } from "#api/core/pod.ts";
import { isPodAvailable } from "../workload/availability.ts";
import { omitEmpty } from "../workload/condition.ts";
import { type DaemonNode, isUpdated } from "./daemon-node.ts";

type DaemonSetStatus = NonNullable<DaemonSet["status"]>;

/** Shown even when they are 0. */
const kept = ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] as const;

export function daemonStatus(
  daemonSet: DaemonSet,
  nodes: readonly DaemonNode[],
  { hash, nowMs }: { readonly hash: string; readonly nowMs: number },
): DaemonSetStatus {
  const minReadySeconds = daemonSet.spec.minReadySeconds ?? 0;
  const wanted = nodes.filter(({ placement }) => placement.run);
  const covered = wanted.filter(({ pods }) => pods.length > 0);
  const ready = covered.filter(({ pods }) => pods.some(isPodReady)).length;
  const available = covered.filter(({ pods }) =>
    pods.some((pod) => isPodAvailable(pod, minReadySeconds, nowMs)),
  ).length;
  const status: DaemonSetStatus = {
    currentNumberScheduled: covered.length,
    numberMisscheduled: nodes.filter(({ placement, pods }) => !placement.run && pods.length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: ready,
    observedGeneration: daemonSet.metadata.generation ?? 0,
    updatedNumberScheduled: covered.filter(({ pods }) => pods.some((pod) => isUpdated(pod, hash))).length,
    numberAvailable: available,
    numberUnavailable: wanted.length - available,
    collisionCount: daemonSet.status?.collisionCount ?? 0,
  };
  return omitEmpty(status, kept);
}
