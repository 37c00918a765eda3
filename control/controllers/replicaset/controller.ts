/**
 * The ReplicaSet and ReplicationController controllers: claim, plan, perform, write the status.
 *
 *   pods, owners ─▶ queue ─▶ claim ─▶ planReplicas (pure) ─▶ create, delete ─▶ status
 *
 * When nothing differs nothing is written.
 */
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import type { Informer } from "#api/client/informer.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { type ReplicationController, replicationControllers } from "#api/core/replication-controller.ts";
import type { Kind } from "#api/schema/kind.ts";
import { controllerOf, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { matchesSelector } from "#api/selector.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { OwnedIndex, lagMs } from "../owned.ts";
import { claim } from "../workload/claim.ts";
import { statusPatch } from "../workload/condition.ts";
import { PodControl, burstMax } from "../workload/pod-control.ts";
import { podFromTemplate } from "../workload/template.ts";
import { type ReplicaOwner, planReplicas, selectorOf, withFailure } from "./plan.ts";

interface Replicated<T extends ReplicaOwner> {
  readonly name: string;
  /** Who speaks in events. */
  readonly component: string;
  readonly kind: Kind<T>;
  readonly informer: Informer<T>;
  /** The owners that share an application with one: they should not crowd the same nodes. */
  readonly siblings: (owner: T) => readonly T[];
}

export function createReplicaSetController(context: Context): Controller {
  const informer = context.informers.replicaSets;
  const family = new OwnedIndex({ informer, ownerKind: "Deployment", changed: () => undefined });
  const siblings = (set: ReplicaSet): readonly ReplicaSet[] => {
    const owner = controllerOf(set);
    if (owner === undefined) return [set];
    return family.of({ ...set, metadata: { name: owner.name, uid: owner.uid } });
  };
  const parts = { name: "replicaset", component: "replicaset-controller", kind: replicaSets };
  return createReplicatedController<ReplicaSet>(context, { ...parts, informer, siblings });
}

export function createReplicationControllerController(context: Context): Controller {
  const informer = context.informers.replicationControllers;
  const parts = { name: "replicationcontroller", component: "replication-controller", kind: replicationControllers };
  return createReplicatedController<ReplicationController>(context, { ...parts, informer, siblings: (one) => [one] });
}

function createReplicatedController<T extends ReplicaOwner>(context: Context, replicated: Replicated<T>): Controller {
  const { client, informers, clock } = context;
  const { name, kind, informer, component } = replicated;
  const queue = createQueue(name, context, reconcile);
  const keyOfOwner = (owner: T): string => formatKey(keyOf(owner));
  const index = new OwnedIndex<Pod>({
    informer: informers.pods,
    ownerKind: kind.kind,
    changed: (key) => queue.add(key),
    orphaned: ({ metadata }) => {
      for (const owner of informer.list())
        if (owner.metadata.namespace === metadata.namespace && selects(owner, metadata.labels))
          queue.add(keyOfOwner(owner));
    },
  });
  const control = new PodControl({ client, index, recorder: context.recorder(component) });

  async function reconcile(key: string): Promise<void> {
    const owner = informer.get(parseKey(key));
    if (owner === undefined) return;
    if (!index.isCurrent(owner)) return queue.addAfter(key, lagMs);
    const owned = await claim({ client, index, kind: pods, ownerKind: kind }, owner, selectorOf(owner));
    if (owned === undefined) return queue.addAfter(key, lagMs);
    const related = (): readonly Pod[] => replicated.siblings(owner).flatMap((sibling) => index.of(sibling));
    const plan = planReplicas(owner, { owned, related, nowMs: clock.nowMs() });
    if (plan.recheckInMs !== undefined) queue.addAfter(key, plan.recheckInMs);
    const { template } = owner.spec;
    const wanted = template === undefined ? 0 : Math.min(plan.create, burstMax);
    const made = Array.from({ length: wanted }, () =>
      podFromTemplate(kind, owner, template ?? { spec: { containers: [] } }),
    );
    const error = (await control.create(owner, made)) ?? (await control.remove(owner, plan.remove));
    const failure = error === undefined ? undefined : { error, isCreate: plan.create > 0 };
    await writeStatus(owner, withFailure(plan.status, failure, clock.nowMs()));
    // The queue's back-off decides when the next try is due.
    if (error !== undefined) throw error;
    if (plan.create > burstMax || plan.remove.length > burstMax) queue.add(key);
  }

  async function writeStatus(owner: T, status: object): Promise<void> {
    const patch = statusPatch(owner, status);
    if (patch === undefined) return;
    await client.patchStatus(kind, keyOf(owner), patch).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  const add = (owner: T): void => queue.add(keyOfOwner(owner));
  informer.addHandler({ added: add, updated: add });
  return { name, start: (signal) => queue.start(signal) };
}

function selects(owner: ReplicaOwner, labels: Readonly<Record<string, string>> | undefined): boolean {
  const selector = selectorOf(owner);
  return Object.keys(selector).length > 0 && matchesSelector(selector, labels);
}
