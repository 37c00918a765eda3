/**
 * Taint eviction: pods leave a node whose NoExecute taints they do not tolerate, or no longer.
 *
 *   Pods, Nodes ─▶ toleratedMs() ─▶ due time a pod ─▶ queue ─▶ condition DisruptionTarget ─▶ DELETE
 *
 * The time counts from when this process first saw the pod under its taints, so a restart of the control plane gives
 * pods more time, never less. An entry a pod that is due; it goes with the pod or the taint.
 * Follows: k8s.io/kubernetes pkg/controller/tainteviction.
 */
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { formatKey, keyOf, type ObjectKey, parseKey } from "#api/meta.ts";
import { ignoreNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { disrupt } from "./disruption-target.ts";
import { toleratedMs } from "./taints.ts";

export function createTaintEvictionController(context: Context): Controller {
  const { client, clock, informers } = context;
  const recorder = context.recorder("taint-eviction-controller");
  /** By key: the uid, since when its taints are known, and when it is to go. */
  const due = new Map<string, { readonly uid: string; readonly sinceMs: number; readonly atMs: number }>();

  const queue = createQueue("taint-eviction", context, async (key) => {
    const pod = informers.pods.get(parseKey(key));
    const known = due.get(key);
    const nowMs = clock.monotonicMs();
    const staysMs = pod === undefined ? Infinity : remainingMs(pod);
    if (pod === undefined || staysMs === Infinity) {
      due.delete(key);
      if (pod !== undefined && known?.uid === pod.metadata.uid && pod.metadata.deletionTimestamp === undefined)
        recorder.record(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${key}`);
      return;
    }
    const { uid = "" } = pod.metadata;
    const sinceMs = known?.uid === uid ? known.sinceMs : nowMs;
    const atMs = Math.min(sinceMs + staysMs, known?.uid === uid ? known.atMs : Infinity);
    due.set(key, { uid, sinceMs, atMs });
    if (atMs > nowMs) return queue.addAfter(key, atMs - nowMs);
    await evict(key, pod);
    due.delete(key);
  });

  /** Infinity: it may stay, or is not on a node, or goes already. */
  function remainingMs({ metadata, spec }: Pod): number {
    const { nodeName = "", tolerations } = spec;
    if (nodeName === "" || metadata.deletionTimestamp !== undefined) return Infinity;
    return toleratedMs(informers.nodes.get({ name: nodeName })?.spec?.taints ?? [], tolerations);
  }

  async function evict(key: string, { metadata }: Pod): Promise<void> {
    const [pod, taints] = [await live(parseKey(key)), await liveTaints(informers.pods.get(parseKey(key)))];
    if (pod?.metadata.uid !== metadata.uid || pod === undefined || pod.metadata.deletionTimestamp !== undefined) return;
    // The cache may be behind: a taint that is gone evicts nobody.
    if (toleratedMs(taints, pod.spec.tolerations) === Infinity) return;
    recorder.record(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${key}`);
    const disruption = {
      reason: "DeletionByTaintManager",
      message: "Taint manager: deleting due to NoExecute taint",
      fails: false,
      options: {},
    };
    await disrupt(client, pod, disruption, clock.nowMs());
  }

  async function live(key: ObjectKey): Promise<Pod | undefined> {
    return client.get(pods, key).catch(ignoreNotFound);
  }

  async function liveTaints(pod: Pod | undefined): Promise<NonNullable<NonNullable<Node["spec"]>["taints"]>> {
    const node = await client.get(nodes, { name: pod?.spec.nodeName ?? "" }).catch(ignoreNotFound);
    return node?.spec?.taints ?? [];
  }

  const look = (pod: Pod): void => {
    const key = formatKey(keyOf(pod));
    if (due.has(key) || remainingMs(pod) !== Infinity) queue.add(key);
  };
  const executing = (node: Node): string =>
    JSON.stringify((node.spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute"));
  const lookAt = ({ metadata }: Node): void => {
    for (const pod of informers.pods.list()) if (pod.spec.nodeName === metadata.name) look(pod);
  };
  informers.pods.addHandler({ added: look, updated: look, deleted: (pod) => queue.add(formatKey(keyOf(pod))) });
  informers.nodes.addHandler({
    added: lookAt,
    updated: (node, before) => (executing(node) === executing(before) ? undefined : lookAt(node)),
  });
  return { name: "taint-eviction", start: (signal) => queue.start(signal) };
}
