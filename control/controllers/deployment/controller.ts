/**
 * The Deployment controller: claim ReplicaSets, plan, perform, write the status.
 *
 *   Deployments, ReplicaSets ─▶ queue ─▶ claim ─▶ planDeployment (pure) ─▶ create, patch, delete ─▶ status
 *
 * When nothing differs nothing is written.
 */
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { formatKey, keyOf, parseKey } from "#api/meta.ts";
import { matchesSelector } from "#api/selector.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { OwnedIndex, lagMs } from "../owned.ts";
import { claim } from "../workload/claim.ts";
import { planDeployment } from "./plan.ts";
import { DeploymentWriter } from "./writer.ts";

export function createDeploymentController(context: Context): Controller {
  const { client, informers, clock } = context;
  const queue = createQueue("deployment", context, reconcile);
  const index = new OwnedIndex<ReplicaSet>({
    informer: informers.replicaSets,
    ownerKind: deployments.kind,
    changed: (key) => queue.add(key),
    orphaned: ({ metadata }) => {
      for (const deployment of informers.deployments.list())
        if (
          deployment.metadata.namespace === metadata.namespace &&
          matchesSelector(deployment.spec.selector, metadata.labels)
        )
          queue.add(formatKey(keyOf(deployment)));
    },
  });

  const writer = new DeploymentWriter({
    ...context,
    index,
    events: context.recorder("deployment-controller"),
    again: (deployment) => queue.addAfter(formatKey(keyOf(deployment)), lagMs),
  });

  async function reconcile(key: string): Promise<void> {
    const deployment = informers.deployments.get(parseKey(key));
    if (deployment === undefined) return;
    if (!index.isCurrent(deployment)) return queue.addAfter(key, lagMs);
    const claimant = { client, index, kind: replicaSets, ownerKind: deployments };
    const owned = await claim(claimant, deployment, deployment.spec.selector);
    if (owned === undefined) return queue.addAfter(key, lagMs);
    const plan = planDeployment(deployment, owned, clock.nowMs());
    if (plan.create !== undefined && !(await writer.create(deployment, plan.create))) return;
    for (const change of plan.change) await writer.resize(deployment, change);
    for (const replicaSet of plan.remove) await writer.remove(deployment, replicaSet);
    await writer.writeRevision(deployment, plan.revision);
    await writer.writeStatus(deployment, plan.status);
    if (plan.recheckInMs !== undefined) queue.addAfter(key, plan.recheckInMs);
  }

  const add = (deployment: Deployment): void => queue.add(formatKey(keyOf(deployment)));
  informers.deployments.addHandler({ added: add, updated: add });
  return { name: "deployment", start: (signal) => queue.start(signal) };
}
