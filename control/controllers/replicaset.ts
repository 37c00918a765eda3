/**
 * ReplicaSet: keeps the wanted number of pods.
 *
 *   reconcile (pure): spec × owned pods ─▶ { create: n, remove: pods, status } ─▶ wiring performs it
 *
 * Pods that ended or are being deleted do not count. Which go first follows kube-controller-manager's ranking:
 * unassigned, not ready, newer.
 */
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { type Pod, isPodFinished, isPodReady, pods } from "#api/core/pod.ts";
import { apiVersionOf } from "#api/kind.ts";
import { keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";
import { OwnedIndex, lagMs } from "./owned.ts";

export interface ReplicaSetPlan {
  /** Pods to create. */
  readonly create: number;
  readonly remove: readonly Pod[];
  readonly status: NonNullable<ReplicaSet["status"]>;
}

/** Pods created at a time; more when these have worked. A template that is refused then costs one request, not thousands. */
const createMax = 50;

export function planReplicaSet(replicaSet: ReplicaSet, owned: readonly Pod[]): ReplicaSetPlan {
  const live = owned.filter((pod) => !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined);
  const terminating = owned.filter((pod) => !isPodFinished(pod) && pod.metadata.deletionTimestamp !== undefined);
  const wanted = replicaSet.metadata.deletionTimestamp === undefined ? (replicaSet.spec.replicas ?? 1) : live.length;
  const ready = live.filter(isPodReady).length;
  return {
    create: Math.max(0, wanted - live.length),
    remove: [...live].sort(byDispensability).slice(0, Math.max(0, live.length - wanted)),
    status: {
      replicas: live.length,
      fullyLabeledReplicas: live.length,
      readyReplicas: ready,
      availableReplicas: ready,
      terminatingReplicas: terminating.length,
      observedGeneration: replicaSet.metadata.generation ?? 0,
    },
  };
}

/** The most dispensable first. */
function byDispensability(a: Pod, b: Pod): number {
  const rank = (pod: Pod): number => (pod.spec.nodeName === undefined ? 0 : isPodReady(pod) ? 2 : 1);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  const created = (pod: Pod): string => pod.metadata.creationTimestamp ?? "";
  if (created(a) !== created(b)) return created(a) > created(b) ? -1 : 1;
  return a.metadata.name > b.metadata.name ? -1 : 1;
}

/** A pod of the template, owned by the ReplicaSet. The API server completes the name. */
export function podOf(replicaSet: ReplicaSet): Pod {
  const { template } = replicaSet.spec;
  const { name, namespace = "default", uid = "" } = replicaSet.metadata;
  const owner = {
    apiVersion: apiVersionOf(replicaSets),
    kind: "ReplicaSet",
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...template?.metadata,
      namespace,
      generateName: `${name}-`,
      ownerReferences: [owner],
    } as Pod["metadata"],
    spec: template?.spec ?? { containers: [] },
  };
}

export function createReplicaSetController(context: Context): Controller {
  const { client, informers } = context;
  const queue = createQueue("replicaset", context, async (key) => {
    const replicaSet = informers.replicaSets.get(parseKey(key));
    if (replicaSet === undefined) return;
    if (!owned.isCurrent(replicaSet)) return queue.addAfter(key, lagMs);
    const plan = planReplicaSet(replicaSet, owned.of(replicaSet));
    for (let made = 0; made < Math.min(plan.create, createMax); made += 1) {
      owned.wrote(replicaSet, await client.create(pods, podOf(replicaSet)));
    }
    for (const pod of plan.remove) {
      const preconditions = { uid: pod.metadata.uid ?? "" };
      owned.wrote(replicaSet, await client.delete(pods, keyOf(pod), { preconditions }));
    }
    if (!isEqual(replicaSet.status, plan.status)) {
      await client.patchStatus(replicaSets, keyOf(replicaSet), { status: plan.status }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
    if (plan.create > createMax) queue.add(key);
  });
  const owned = new OwnedIndex(informers.pods, "ReplicaSet", (key) => queue.add(key));
  const add = (replicaSet: ReplicaSet): void =>
    queue.add(`${replicaSet.metadata.namespace}/${replicaSet.metadata.name}`);
  informers.replicaSets.addHandler({ added: add, updated: add });
  return { name: "replicaset", start: (signal) => queue.start(signal) };
}
