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
import { isConflict, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../controllers/context.ts";
import { type NodeState, type Resources, addResources, requestsOf, schedule } from "./schedule.ts";

export interface SchedulerOptions {
  readonly bind: (pod: ObjectKey, nodeName: string) => Promise<Pod>;
}

interface Assumed {
  readonly nodeName: string;
  readonly requests: Resources;
  readonly owner: string;
}

/** Nodes with what was bound or assumed on them. */
class Occupancy {
  readonly #nodes = new Map<string, { node: Node | undefined; requested: Resources; byOwner: Map<string, number> }>();
  readonly #pods = new Map<string, Assumed>();

  setNode(node: Node): void {
    this.#state(node.metadata.name).node = node;
  }

  removeNode(name: string): void {
    this.#state(name).node = undefined;
  }

  place(uid: string, assumed: Assumed): void {
    if (this.#pods.has(uid)) return;
    this.#pods.set(uid, assumed);
    this.#count(assumed, 1);
  }

  forget(uid: string): void {
    const assumed = this.#pods.get(uid);
    if (assumed === undefined) return;
    this.#pods.delete(uid);
    this.#count(assumed, -1);
  }

  nodes(): NodeState[] {
    return [...this.#nodes.values()].flatMap(({ node, requested, byOwner }) =>
      node === undefined ? [] : [{ node, requested, byOwner }],
    );
  }

  #count({ nodeName, requests, owner }: Assumed, sign: 1 | -1): void {
    const state = this.#state(nodeName);
    state.requested = addResources(state.requested, requests, sign);
    state.byOwner.set(owner, (state.byOwner.get(owner) ?? 0) + sign);
  }

  #state(name: string): { node: Node | undefined; requested: Resources; byOwner: Map<string, number> } {
    const state = this.#nodes.get(name) ?? {
      node: undefined,
      requested: { cpu: 0, memory: 0, pods: 0 },
      byOwner: new Map(),
    };
    this.#nodes.set(name, state);
    return state;
  }
}

/** What counts as the same for spreading. */
function spreadKeyOf(pod: Pod): string {
  const app = pod.metadata.labels?.["app"];
  return app === undefined ? (controllerOf(pod)?.uid ?? "") : `${pod.metadata.namespace}/${app}`;
}

const needsNode = (pod: Pod): boolean =>
  pod.spec.nodeName === undefined && pod.metadata.deletionTimestamp === undefined && !isPodFinished(pod);

export function createScheduler(context: Context, { bind }: SchedulerOptions): Controller {
  const { client, informers, clock } = context;
  const occupancy = new Occupancy();
  const unschedulable = new Set<string>();
  let turn = 0;

  const queue = createQueue("scheduler", context, async (key) => {
    const pod = informers.pods.get(parseKey(key));
    if (pod === undefined || !needsNode(pod)) return;
    const uid = pod.metadata.uid ?? "";
    const owner = spreadKeyOf(pod);
    const decision = schedule(pod, occupancy.nodes(), owner, turn++);
    if (decision.kind === "unschedulable") return refuse(pod, key, decision.message);
    occupancy.place(uid, { nodeName: decision.name, requests: requestsOf(pod), owner });
    try {
      await bind(keyOf(pod), decision.name);
      unschedulable.delete(key);
    } catch (error) {
      occupancy.forget(uid);
      // Gone, or bound by somebody else: either way there is nothing left to do.
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
  });

  async function refuse(pod: Pod, key: string, message: string): Promise<void> {
    unschedulable.add(key);
    const before = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
    if (before?.status === "False" && before.message === message) return;
    const lastTransitionTime = before?.status === "False" ? before.lastTransitionTime : formatTime(clock.nowMs());
    const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message, lastTransitionTime };
    await client.patchStatus(pods, keyOf(pod), { status: { phase: "Pending", conditions: [condition] } });
  }

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
    updated: observe,
    deleted: (pod) => {
      occupancy.forget(pod.metadata.uid ?? "");
      unschedulable.delete(formatKey(keyOf(pod)));
      retry();
    },
  });
  const observeNode = (node: Node): void => (occupancy.setNode(node), retry());
  informers.nodes.addHandler({
    added: observeNode,
    updated: observeNode,
    deleted: ({ metadata }) => occupancy.removeNode(metadata.name),
  });
  return { name: "scheduler", start: (signal) => queue.start(signal) };
}
