/**
 * When a pod counts as available: ready, and that for `minReadySeconds` without a break.
 *
 * Pure. Follows: k8s.io/kubernetes pkg/api/v1/pod (IsPodAvailable).
 */
import { type Pod, isPodReady } from "#api/core/pod.ts";

/** Ms until a ready pod is available, 0 once it is; undefined for one that is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  if (!isPodReady(pod)) return undefined;
  if (minReadySeconds === 0) return 0;
  const sinceMs = Date.parse(readySince(pod) ?? "");
  // A condition without time says nothing about how long.
  if (Number.isNaN(sinceMs)) return minReadySeconds * 1000;
  return Math.max(0, sinceMs + minReadySeconds * 1000 - nowMs);
}

/** Whether the pod has been ready for long enough. */
export function isPodAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  return availableInMs(pod, minReadySeconds, nowMs) === 0;
}

/** Ms until the next of `pods` that is ready becomes available; undefined when none is on its way. */
export function nextAvailableInMs(pods: readonly Pod[], minReadySeconds: number, nowMs: number): number | undefined {
  const waits = pods.map((pod) => availableInMs(pod, minReadySeconds, nowMs) ?? 0).filter((wait) => wait > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}

/** Since when the pod has been ready, or not ready: RFC 3339. */
export function readySince({ status }: Pod): string | undefined {
  return status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime;
}
