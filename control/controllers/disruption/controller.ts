/**
 * Disruption: keeps the status of PodDisruptionBudgets, by which evictions are decided.
 *
 *   PodDisruptionBudgets, Pods, their owners ─▶ reconcile(budget) ─▶ api/policy/disruptions.ts ─▶ status
 *
 * Follows: k8s.io/kubernetes pkg/controller/disruption.
 */
import type { KubeClient } from "#api/client/client.ts";
import { Informer } from "#api/client/informer.ts";
import type { Pod } from "#api/core/pod.ts";
import {
  controllerOf,
  formatKey,
  formatTime,
  type KubeObject,
  keyOf,
  type OwnerReference,
  parseKey,
} from "#api/meta.ts";
import { budgetStatus, disruptedMs } from "#api/policy/disruptions.ts";
import { type PodDisruptionBudget, podDisruptionBudgets } from "#api/policy/poddisruptionbudget.ts";
import { isEqual } from "#api/schema/read.ts";
import { kindByName } from "#api/scheme.ts";
import { matchesSelector } from "#api/selector.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../context.ts";

export function createDisruptionController(context: Context): Controller {
  const { client, clock, informers } = context;
  const recorder = context.recorder("controllermanager");
  const budgets = new Informer(podDisruptionBudgets, context);

  const queue = createQueue("disruption", context, async (key) => {
    const budget = budgets.get(parseKey(key));
    if (budget === undefined) return;
    const pods = selectedBy(budget, informers.pods.list());
    const wanted = await wantedBy(client, pods);
    if (pods.length === 0) recorder.record(budget, "Normal", "NoPods", "No matching pods found");
    const nowMs = clock.nowMs();
    const status = budgetStatus({ budget, pods, wanted, nowMs }, formatTime(nowMs));
    if (status.disruptedPods !== undefined) queue.addAfter(key, disruptedMs);
    if (isEqual(status, budget.status)) return;
    const next = { ...budget, status };
    await client.updateStatus(podDisruptionBudgets, next).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  });

  const add = (object: KubeObject): void => queue.add(formatKey(keyOf(object)));
  const addFor = (pod: Pod): void => {
    for (const budget of budgets.list()) if (selectedBy(budget, [pod]).length > 0) add(budget);
  };
  budgets.addHandler({ added: add, updated: add });
  informers.pods.addHandler({
    added: addFor,
    updated: (pod, before) => (
      addFor(pod),
      pod.metadata.labels === before.metadata.labels ? undefined : addFor(before)
    ),
    deleted: addFor,
  });
  return {
    name: "disruption",
    start: (signal) => {
      void budgets.run(signal);
      queue.start(signal);
    },
  };
}

/** Those of `pods` that a budget is about. */
function selectedBy({ metadata, spec }: PodDisruptionBudget, pods: readonly Pod[]): readonly Pod[] {
  const selector = spec?.selector;
  if (selector === undefined) return [];
  return pods.filter(
    (pod) => pod.metadata.namespace === metadata.namespace && matchesSelector(selector, pod.metadata.labels),
  );
}

/** How many pods the controllers of these want; a pod of none counts itself. */
async function wantedBy(client: KubeClient, pods: readonly Pod[]): Promise<number> {
  const owners = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    const uid = owner?.uid ?? pod.metadata.uid ?? "";
    if (owners.has(uid)) continue;
    owners.set(uid, owner === undefined ? 1 : await replicasOf(client, owner, pod.metadata.namespace ?? ""));
  }
  return [...owners.values()].reduce((sum, count) => sum + count, 0);
}

/** What a ReplicaSet wants is what its Deployment wants, also while that rolls. */
async function replicasOf(client: KubeClient, owner: OwnerReference, namespace: string): Promise<number> {
  const kind = kindByName(owner.apiVersion, owner.kind);
  if (kind?.hasScale !== true) return 0;
  try {
    const object: KubeObject = await client.get(kind, { namespace, name: owner.name });
    const above = controllerOf(object);
    if (above !== undefined) return await replicasOf(client, above, namespace);
    const { spec } = object as KubeObject & { readonly spec?: { readonly replicas?: number } };
    return spec?.replicas ?? 1;
  } catch (error) {
    if (isNotFound(error)) return 0;
    throw error;
  }
}
