/**
 * The scheduler: binds pods that have no node.
 *
 *   pods without node ─▶ queue ─▶ schedule (pure) ─▶ assume ─▶ bind
 *                                        └─ nowhere ─▶ condition PodScheduled=False, again when something changed
 *
 * Invariant: a pod that was given a node counts there at once (assumed), so a burst spreads as if bound one by one.
 * Pods of one Deployment's successive ReplicaSets, and of one app's versions, spread by the label `app` where there is one.
 */
import { type Node } from "#api/core/node.ts";
import { type Pod, isPodFinished, pods } from "#api/core/pod.ts";
import { type ObjectKey, controllerOf, formatKey, formatTime, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../controllers/context.ts";
import { type AttemptResult, SchedulerMetrics } from "./metrics.ts";
import { Occupancy } from "./occupancy.ts";
import { requestsOf } from "./resources.ts";
import { schedule } from "./schedule.ts";

export interface SchedulerOptions {
  readonly bind: (pod: ObjectKey, nodeName: string) => Promise<Pod>;
  readonly metrics?: SchedulerMetrics | undefined;
}

/** Pods that name another scheduler are left to it. */
const schedulerName = "default-scheduler";

/** What counts as the same for spreading. */
function spreadKeyOf(pod: Pod): string {
  const app = pod.metadata.labels?.["app"];
  return app === undefined ? (controllerOf(pod)?.uid ?? "") : `${pod.metadata.namespace}/${app}`;
}

/** Whether the pod waits for this scheduler. */
const needsNode = (pod: Pod): boolean =>
  (pod.spec.schedulerName ?? schedulerName) === schedulerName &&
  pod.spec.nodeName === undefined &&
  pod.metadata.deletionTimestamp === undefined &&
  !isPodFinished(pod);

/** What of a node decides who may go there. */
function schedulingFacts({ metadata, spec, status }: Node): unknown {
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  return [metadata.labels ?? {}, spec?.unschedulable ?? false, spec?.taints ?? [], status?.allocatable ?? {}, ready];
}

export function createScheduler(
  context: Context,
  { bind, metrics = new SchedulerMetrics() }: SchedulerOptions,
): Controller {
  const { informers, clock } = context;
  const occupancy = new Occupancy();
  const unschedulable = new Set<string>();
  const recorder = context.recorder(schedulerName);
  let turn = 0;

  const queue = createQueue("scheduler", context, async (key) => {
    const pod = informers.pods.get(parseKey(key));
    if (pod === undefined || !needsNode(pod)) return;
    const uid = pod.metadata.uid ?? "";
    const owner = spreadKeyOf(pod);
    const startMs = clock.monotonicMs();
    const attempted = (result: AttemptResult): void => metrics.attempted(result, clock.monotonicMs() - startMs);
    const decision = schedule(pod, occupancy.nodes(), owner, turn++);
    metrics.decided(clock.monotonicMs() - startMs);
    if (decision.kind === "unschedulable") {
      attempted("unschedulable");
      unschedulable.add(key);
      recorder.record(pod, "Warning", "FailedScheduling", decision.message);
      return refuse(context, pod, decision.message);
    }
    occupancy.place(uid, { nodeName: decision.name, requests: requestsOf(pod), owner });
    try {
      await bind(keyOf(pod), decision.name);
      attempted("scheduled");
      unschedulable.delete(key);
      const { namespace, name } = pod.metadata;
      recorder.record(pod, "Normal", "Scheduled", `Successfully assigned ${namespace}/${name} to ${decision.name}`);
    } catch (error) {
      attempted("error");
      occupancy.forget(uid);
      // Gone, or bound by somebody else: either way there is nothing left to do.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  });

  metrics.watchPending({ active: () => queue.depth, unschedulable: () => unschedulable.size });

  /** Something has room now, perhaps. */
  const retry = (): void => {
    for (const key of unschedulable) queue.add(key);
    unschedulable.clear();
  };

  const observe = (pod: Pod): void => {
    const uid = pod.metadata.uid ?? "";
    const { nodeName } = pod.spec;
    if (nodeName === undefined) {
      if (needsNode(pod)) queue.add(formatKey(keyOf(pod)));
    } else if (isPodFinished(pod)) {
      occupancy.forget(uid);
      retry();
    } else {
      occupancy.place(uid, { nodeName, requests: requestsOf(pod), owner: spreadKeyOf(pod) });
    }
  };
  informers.pods.addHandler({
    added: observe,
    updated: (pod, before) => {
      // Only its status says why it was refused: nothing has changed that could be a reason to try again.
      const isRefusal = unschedulable.has(formatKey(keyOf(pod))) && isEqual(pod.spec, before.spec);
      if (!isRefusal) observe(pod);
    },
    deleted: (pod) => {
      occupancy.forget(pod.metadata.uid ?? "");
      unschedulable.delete(formatKey(keyOf(pod)));
      retry();
    },
  });
  watchNodes(context, occupancy, retry);
  return { name: "scheduler", start: (signal) => queue.start(signal) };
}

/** Keeps the nodes of `occupancy`; `retry` when one may have room that had none. */
function watchNodes({ informers }: Context, occupancy: Occupancy, retry: () => void): void {
  informers.nodes.addHandler({
    added: (node) => (occupancy.setNode(node), retry()),
    updated: (node, before) => {
      occupancy.setNode(node);
      // A heartbeat makes no room.
      if (!isEqual(schedulingFacts(node), schedulingFacts(before))) retry();
    },
    deleted: ({ metadata }) => occupancy.removeNode(metadata.name),
  });
}

/** Writes on the pod why it has no node, when it does not say so already. */
async function refuse({ client, clock }: Context, pod: Pod, message: string): Promise<void> {
  const before = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  if (before?.status === "False" && before.message === message) return;
  const lastTransitionTime = before?.status === "False" ? before.lastTransitionTime : formatTime(clock.nowMs());
  const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message, lastTransitionTime };
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "PodScheduled");
  const status = { phase: "Pending", conditions: [...others, condition] };
  // The list is written whole: a condition that somebody else has added since must not be lost. The queue tries again.
  const { resourceVersion } = pod.metadata;
  await client.patchStatus(pods, keyOf(pod), { metadata: { resourceVersion }, status }).catch((error: unknown) => {
    if (!isNotFound(error)) throw error;
  });
}
