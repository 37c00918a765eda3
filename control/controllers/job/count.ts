/**
 * How many pods of a Job succeeded and failed: each is counted once, also when the controller dies in between. Pure.
 *
 *   pod ends ─▶ uid in uncountedTerminatedPods (written) ─▶ finalizer removed ─▶ count + 1, uid removed (one write)
 *
 * Invariant: a pod's uid is in the status, or its finalizer is on it, until the count has it.
 * Follows: trackJobStatusAndRemoveFinalizers in k8s.io/kubernetes pkg/controller/job.
 */
import type { Job } from "#api/batch/job.ts";
import type { Pod } from "#api/core/pod.ts";
import { formatIndexes, indexOf, parseIndexes } from "./indexes.ts";
import { hasFailed, hasSucceeded, isTracked } from "./job-pod.ts";

export interface Count {
  /** Counted for good. */
  readonly succeeded: number;
  readonly failed: number;
  /** Ended and written down, to be counted once the finalizer is gone. */
  readonly uncounted: { readonly succeeded: readonly string[]; readonly failed: readonly string[] };
  /** Pods whose finalizer may go once this count is written. */
  readonly untrack: readonly Pod[];
  /** Of an Indexed Job. */
  readonly completed: ReadonlySet<number>;
}

/** Uids written down at a time: the status must stay small. */
const uncountedMax = 500;

export function countPods({ spec, status = {} }: Job, pods: readonly Pod[]): Count {
  const isIndexed = spec.completionMode === "Indexed";
  const completions = spec.completions ?? 0;
  const tracked = new Set(pods.filter(isTracked).map(({ metadata }) => metadata.uid ?? ""));
  const { succeeded: oldSucceeded = [], failed: oldFailed = [] } = status.uncountedTerminatedPods ?? {};
  const isPending = (uid: string): boolean => tracked.has(uid);
  const succeeded = oldSucceeded.filter(isPending);
  const failed = oldFailed.filter(isPending);
  const completed = isIndexed ? parseIndexes(status.completedIndexes ?? "", completions) : new Set<number>();
  const untrack: Pod[] = [];
  for (const pod of pods.filter(isTracked)) {
    const uid = pod.metadata.uid ?? "";
    const isKnown = succeeded.includes(uid) || failed.includes(uid);
    if (!isKnown && succeeded.length + failed.length >= uncountedMax) continue;
    if (hasSucceeded(pod)) {
      const index = indexOf(pod, completions);
      if (isIndexed && index !== undefined) completed.add(index);
      else if (!isKnown && !isIndexed) succeeded.push(uid);
      untrack.push(pod);
    } else if (hasFailed(pod)) {
      if (!isKnown) failed.push(uid);
      untrack.push(pod);
    }
  }
  const settled = (before: readonly string[]): number => before.filter((uid) => !isPending(uid)).length;
  return {
    succeeded: isIndexed ? completed.size : (status.succeeded ?? 0) + settled(oldSucceeded),
    failed: (status.failed ?? 0) + settled(oldFailed),
    uncounted: { succeeded, failed },
    untrack,
    completed,
  };
}

/** All that ended well, counted or not yet. */
export function succeededOf({ succeeded, uncounted }: Count): number {
  return succeeded + uncounted.succeeded.length;
}

export function failedOf({ failed, uncounted }: Count): number {
  return failed + uncounted.failed.length;
}

/** The fields of the status that hold the count. */
export function countFields(job: Job, { succeeded, failed, uncounted, completed }: Count): NonNullable<Job["status"]> {
  const some = (uids: readonly string[], name: string): object => (uids.length === 0 ? {} : { [name]: uids });
  return {
    succeeded,
    failed,
    uncountedTerminatedPods: { ...some(uncounted.succeeded, "succeeded"), ...some(uncounted.failed, "failed") },
    ...(job.spec.completionMode === "Indexed" ? { completedIndexes: formatIndexes(completed) } : {}),
  };
}
