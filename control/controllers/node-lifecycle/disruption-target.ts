/**
 * Deletes a pod that did not ask for it, and leaves word in its status why: the condition DisruptionTarget (KEP-3329).
 *
 *   taint-eviction.ts, pod-gc.ts ─▶ disrupt() ─▶ PATCH status ─▶ DELETE
 */
import type { DeleteOptions, KubeClient } from "#api/client/client.ts";
import { isPodFinished, type Pod, pods } from "#api/core/pod.ts";
import { formatTime, keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";

export interface Disruption {
  readonly reason: string;
  readonly message: string;
  /** Whether a pod that has not ended counts as Failed from now on: nobody is left to report its end. */
  readonly fails: boolean;
  readonly options: DeleteOptions;
}

/** Marks and deletes `pod`. A pod that is gone, or another of its name, is left alone. */
export async function disrupt(client: KubeClient, pod: Pod, disruption: Disruption, nowMs: number): Promise<void> {
  const { reason, message, fails, options } = disruption;
  const { uid = "", resourceVersion } = pod.metadata;
  const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== "DisruptionTarget");
  const lastTransitionTime = formatTime(nowMs);
  const target = { type: "DisruptionTarget", status: "True", reason, message, lastTransitionTime };
  const phase = fails && !isPodFinished(pod) ? { phase: "Failed" } : {};
  try {
    await client.patchStatus(pods, keyOf(pod), {
      metadata: { uid, resourceVersion },
      status: { ...phase, conditions: [...others, target] },
    });
    await client.delete(pods, keyOf(pod), { ...options, preconditions: { uid } });
  } catch (error) {
    if (isNotFound(error)) return;
    if (isConflict(error) && !(await isStillThere(client, pod))) return;
    throw error;
  }
}

async function isStillThere(client: KubeClient, pod: Pod): Promise<boolean> {
  try {
    return (await client.get(pods, keyOf(pod))).metadata.uid === pod.metadata.uid;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
