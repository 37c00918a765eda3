/**
 * The DaemonSet controller: claim pods and revisions, plan, perform, write the status.
 *
 *   DaemonSets, nodes, pods ─▶ queue ─▶ claim ─▶ planHistory, planDaemonSet (pure) ─▶ create, delete ─▶ status
 *
 * When nothing differs nothing is written.
 */
import { type ControllerRevision, controllerRevisions } from "#api/apps/controller-revision.ts";
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import type { Node } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { matchesSelector } from "#api/selector.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { OwnedIndex, lagMs } from "../owned.ts";
import { claim } from "../workload/claim.ts";
import { PodControl, burstMax } from "../workload/pod-control.ts";
import { FailureBackoff } from "./failure-backoff.ts";
import { planHistory } from "./history.ts";
import { daemonPod, placementOf } from "./placement.ts";
import { type DaemonSetPlan, planDaemonSet } from "./plan.ts";
import { DaemonSetWriter } from "./writer.ts";

export function createDaemonSetController(context: Context): Controller {
  const { client, informers, clock } = context;
  const recorder = context.recorder("daemonset-controller");
  const queue = createQueue("daemonset", context, reconcile);
  const failures = new FailureBackoff(clock);
  const add = (daemonSet: DaemonSet): void => queue.add(formatKey(keyOf(daemonSet)));
  const adopters = ({ metadata }: Pod | ControllerRevision): void => {
    for (const daemonSet of informers.daemonSets.list())
      if (
        daemonSet.metadata.namespace === metadata.namespace &&
        matchesSelector(daemonSet.spec.selector, metadata.labels)
      )
        add(daemonSet);
  };
  const handlers = { ownerKind: daemonSets.kind, changed: (key: string) => queue.add(key), orphaned: adopters };
  const index = new OwnedIndex<Pod>({ informer: informers.pods, ...handlers });
  const history = new OwnedIndex<ControllerRevision>({ informer: informers.controllerRevisions, ...handlers });
  const control = new PodControl({ client, index, recorder });
  const again = (daemonSet: DaemonSet): void => queue.addAfter(formatKey(keyOf(daemonSet)), lagMs);
  const writer = new DaemonSetWriter({ client, history, recorder, failures, again });

  async function reconcile(key: string): Promise<void> {
    const daemonSet = informers.daemonSets.get(parseKey(key));
    if (daemonSet === undefined) return;
    if (!index.isCurrent(daemonSet) || !history.isCurrent(daemonSet)) return queue.addAfter(key, lagMs);
    const { selector } = daemonSet.spec;
    const ownerKind = daemonSets;
    const owned = await claim({ client, index, kind: pods, ownerKind }, daemonSet, selector);
    const claimant = { client, index: history, kind: controllerRevisions, ownerKind };
    const revisions = await claim(claimant, daemonSet, selector);
    if (owned === undefined || revisions === undefined) return queue.addAfter(key, lagMs);
    const past = planHistory(daemonSet, revisions, owned);
    if (daemonSet.metadata.deletionTimestamp === undefined && !(await writer.writeHistory(daemonSet, past))) return;
    const plan = planDaemonSet(daemonSet, {
      nodes: informers.nodes.list(),
      pods: owned,
      hash: past.hash,
      nowMs: clock.nowMs(),
      backoffMs: (node) => failures.waitMs(`${key} ${node}`),
    });
    if (plan.recheckInMs !== undefined) queue.addAfter(key, plan.recheckInMs);
    await perform(daemonSet, plan, past.hash);
  }

  async function perform(daemonSet: DaemonSet, plan: DaemonSetPlan, hash: string): Promise<void> {
    const key = formatKey(keyOf(daemonSet));
    for (const pod of plan.ended) writer.reportEnded(daemonSet, pod);
    const made = plan.create.slice(0, burstMax).map((node) => daemonPod(daemonSet, node, hash));
    const error = (await control.create(daemonSet, made)) ?? (await control.remove(daemonSet, plan.remove));
    await writer.writeStatus(daemonSet, plan.status);
    // The queue's back-off decides when the next try is due.
    if (error !== undefined) throw error;
    if (plan.create.length > burstMax || plan.remove.length > burstMax) queue.add(key);
  }

  /** DaemonSets that want another thing of the node than before. */
  const reconsider = (node: Node | undefined, before: Node | undefined): void => {
    for (const daemonSet of informers.daemonSets.list()) {
      const [now, then] = [node, before].map((one) => (one === undefined ? undefined : placementOf(daemonSet, one)));
      if (!isEqual(now, then)) add(daemonSet);
    }
  };
  informers.nodes.addHandler({
    added: (node) => reconsider(node, undefined),
    updated: (node, before) => reconsider(node, before),
    deleted: (node) => reconsider(undefined, node),
  });
  informers.daemonSets.addHandler({ added: add, updated: add });
  return { name: "daemonset", start: (signal) => queue.start(signal) };
}
