/**
 * Pod garbage collection: removes pods whose end nobody else will see to.
 *
 *   every `periodMs`: pods of nodes that are gone, terminating pods of nodes that are out of service or of no node,
 *   finished pods beyond a number, the oldest first ─▶ phase Failed ─▶ DELETE with grace 0
 *
 * A node counts as gone when it has been for `quarantineMs`, and the API server still says so.
 * Follows: k8s.io/kubernetes pkg/controller/podgc.
 */
import { nodes } from "#api/core/node.ts";
import { isPodFinished, type Pod, pods } from "#api/core/pod.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { isNotFound } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import type { Context, Controller } from "../context.ts";
import { disrupt } from "./disruption-target.ts";
import { conditionOf } from "./health.ts";
import { outOfServiceKey } from "./taints.ts";

export interface PodGCOptions {
  /** Time between two collections, in ms. Default 20 000. */
  readonly periodMs?: number;
  /** How long a node must have been gone, in ms. Default 40 000. */
  readonly quarantineMs?: number;
  /** Finished pods that are kept. Default 12 500. */
  readonly finishedMax?: number;
}

export function createPodGarbageCollector(context: Context, options: PodGCOptions = {}): Controller {
  const { periodMs = 20_000, quarantineMs = 40_000, finishedMax = 12_500 } = options;
  const { client, clock, informers, log } = context;
  /** Since when a node that pods name has been gone. */
  const goneSince = new Map<string, number>();

  async function collect(): Promise<void> {
    const all = informers.pods.list();
    const finished = all.filter((pod) => isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined);
    for (const pod of oldest(finished, finished.length - finishedMax)) await drop(pod);
    for (const pod of all) if (isAbandoned(pod)) await drop(pod);
    const gone = await goneNodes(all);
    for (const pod of all) if (gone.has(pod.spec.nodeName ?? "")) await attempt(pod, () => fail(pod));
  }

  function isAbandoned({ metadata, spec }: Pod): boolean {
    if (metadata.deletionTimestamp === undefined) return false;
    if (spec.nodeName === undefined || spec.nodeName === "") return (metadata.finalizers ?? []).length === 0;
    const node = informers.nodes.get({ name: spec.nodeName });
    const isOut = node?.spec?.taints?.some(({ key }) => key === outOfServiceKey) === true;
    return node !== undefined && isOut && conditionOf(node, "Ready") !== "True";
  }

  async function goneNodes(all: readonly Pod[]): Promise<ReadonlySet<string>> {
    const nowMs = clock.monotonicMs();
    const missing = new Set(
      all
        .map(({ spec }) => spec.nodeName ?? "")
        .filter((name) => name !== "" && informers.nodes.get({ name }) === undefined),
    );
    for (const name of goneSince.keys()) if (!missing.has(name)) goneSince.delete(name);
    const gone = new Set<string>();
    for (const name of missing) {
      const sinceMs = goneSince.get(name) ?? nowMs;
      goneSince.set(name, sinceMs);
      if (nowMs - sinceMs >= quarantineMs && !(await exists(name))) gone.add(name);
    }
    return gone;
  }

  async function exists(name: string): Promise<boolean> {
    try {
      await client.get(nodes, { name });
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** Removes a pod whose end is known or that never began. */
  function drop(pod: Pod): Promise<void> {
    const preconditions = { uid: pod.metadata.uid ?? "" };
    return attempt(pod, () => client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions }));
  }

  function fail(pod: Pod): Promise<void> {
    const options = { gracePeriodSeconds: 0 };
    const why = { reason: "DeletionByPodGC", message: "PodGC: node no longer exists" };
    return disrupt(client, pod, { ...why, fails: true, options }, clock.nowMs());
  }

  async function attempt(pod: Pod, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      // The next collection tries again.
      log.debug("Cannot collect a pod", { pod: formatKey(keyOf(pod)), error: messageOf(error) });
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(periodMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
      if (!signal.aborted)
        await collect().catch((error: unknown) => log.warn("Cannot collect pods", { error: messageOf(error) }));
    }
  }

  return { name: "pod-garbage-collector", start: (signal) => void run(signal) };
}

/** The first `count` to be created. */
function oldest(finished: readonly Pod[], count: number): readonly Pod[] {
  if (count <= 0) return [];
  const age = (pod: Pod): string => `${pod.metadata.creationTimestamp} ${formatKey(keyOf(pod))}`;
  return [...finished].sort((left, right) => (age(left) < age(right) ? -1 : 1)).slice(0, count);
}
