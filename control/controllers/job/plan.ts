/**
 * Job: which pods to start and stop, what to count, and the status. Pure.
 *
 *   Job × pods × now ─▶ planJob() ─▶ { create, remove, untrack, status, events, recheckInMs } ─▶ controller.ts
 *
 * Running => (Suspended | SuccessCriteriaMet | FailureTarget). SuccessCriteriaMet => Complete, FailureTarget => Failed:
 * once no pod is left that runs or has not been counted.
 * Follows: syncJob and manageJob in k8s.io/kubernetes pkg/controller/job.
 */
import type { Job } from "#api/batch/job.ts";
import { type Pod, isPodFinished, isPodReady } from "#api/core/pod.ts";
import { type Condition, formatTime } from "#api/meta.ts";
import { conditionOf, isTrue, omitEmpty, withCondition } from "../workload/condition.ts";
import { isPodActive, rankForDeletion } from "../workload/rank.ts";
import { type Count, countFields, countPods, succeededOf } from "./count.ts";
import { firstFree, indexOf } from "./indexes.ts";
import { isTracked } from "./job-pod.ts";
import { type Outcome, deadlineInMs, outcomeOf, retryInMs } from "./outcome.ts";

export type JobStatus = NonNullable<Job["status"]>;

export interface JobPlan {
  /** One entry a pod: its index, or undefined when the Job is not Indexed. */
  readonly create: readonly (number | undefined)[];
  /** Active pods to delete. */
  readonly remove: readonly Pod[];
  /** Whether the removed ones are not to count as failed: the Job wants fewer of them, that is all. */
  readonly isForgiven: boolean;
  /** Pods whose finalizer goes once the status is written. */
  readonly untrack: readonly Pod[];
  readonly status: JobStatus;
  readonly events: readonly (readonly [type: "Normal" | "Warning", reason: string, message: string])[];
  readonly recheckInMs: number | undefined;
}

/** Fields that are shown even when they are 0. */
const kept = ["ready", "terminating", "uncountedTerminatedPods", "completedIndexes"] as const;

export function planJob(job: Job, pods: readonly Pod[], nowMs: number): JobPlan {
  const count = countPods(job, pods);
  const active = pods.filter(isPodActive);
  const isSuspended = job.spec.suspend === true;
  const outcome = outcomeOf(job, count, pods, nowMs);
  const base = { untrack: count.untrack };
  if (job.metadata.deletionTimestamp !== undefined) {
    const status = statusOf(job, { count, pods, active: active.length });
    return { ...base, create: [], remove: [], isForgiven: false, status, events: [], recheckInMs: undefined };
  }
  if (outcome !== undefined) return { ...base, ...end(job, { outcome, count, pods, nowMs }) };
  const step = isSuspended ? { create: [], remove: active, waitMs: 0 } : manage(job, { count, pods, active, nowMs });
  const running = active.length + step.create.length - step.remove.length;
  const counted = statusOf(job, { count, pods, active: running });
  const { status, events } = withSuspension(job, counted, nowMs);
  const waits = [step.waitMs, deadlineInMs({ ...job, status }, nowMs) ?? 0].filter((wait) => wait > 0);
  return {
    ...base,
    create: step.create,
    remove: step.remove,
    isForgiven: true,
    status,
    events,
    recheckInMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

interface Facts {
  readonly count: Count;
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

/** How many pods there should be, against how many there are. */
function manage(
  job: Job,
  { count, pods, active, nowMs }: Facts & { readonly active: readonly Pod[] },
): { create: (number | undefined)[]; remove: readonly Pod[]; waitMs: number } {
  const { parallelism = 1, completions } = job.spec;
  const done = succeededOf(count);
  // Without completions the first success says that no more are needed; those that run may finish.
  const open = completions === undefined ? (done > 0 ? active.length : parallelism) : Math.max(0, completions - done);
  const wanted = Math.min(parallelism, open);
  const ranked = rankForDeletion(active);
  const useless = duplicates(job, ranked);
  const rest = ranked.filter((pod) => !useless.includes(pod));
  const remove = [...useless, ...rest.slice(0, Math.max(0, rest.length - wanted))];
  const missing = wanted - (active.length - remove.length);
  if (missing <= 0) return { create: [], remove, waitMs: 0 };
  const waitMs = retryInMs(pods, nowMs);
  if (waitMs > 0) return { create: [], remove, waitMs };
  if (job.spec.completionMode !== "Indexed") return { create: Array(missing).fill(undefined), remove, waitMs };
  const taken = new Set(count.completed);
  for (const pod of rest) taken.add(indexOf(pod, completions ?? 0) ?? -1);
  return { create: firstFree(missing, completions ?? 0, taken), remove, waitMs };
}

/** Active pods of an Indexed Job whose index is done, taken by another, or none. */
function duplicates(job: Job, ranked: readonly Pod[]): readonly Pod[] {
  if (job.spec.completionMode !== "Indexed") return [];
  const seen = new Set<number>();
  const useless: Pod[] = [];
  for (const pod of [...ranked].reverse()) {
    const index = indexOf(pod, job.spec.completions ?? 0);
    if (index === undefined || seen.has(index)) useless.push(pod);
    else seen.add(index);
  }
  return useless;
}

/** The end is decided first, and told once nothing runs and everything is counted. */
function end(
  job: Job,
  { outcome, count, pods, nowMs }: Facts & { readonly outcome: Outcome },
): Omit<JobPlan, "untrack"> {
  const isFailure = outcome.kind === "failed";
  const { reason, message } = outcome;
  const verdict = { status: "True", reason, message } as const;
  const live = pods.filter((pod) => !isPodFinished(pod));
  const remove = pods.filter(isPodActive);
  const isSettled = live.length === 0 && !pods.some(isTracked) && !hasUncounted(count);
  const decided = isFailure ? "FailureTarget" : "SuccessCriteriaMet";
  let conditions: readonly Condition[] = job.status?.conditions ?? [];
  conditions = withCondition(conditions, { type: decided, ...verdict }, nowMs);
  if (isSettled) conditions = withCondition(conditions, { type: isFailure ? "Failed" : "Complete", ...verdict }, nowMs);
  const counted = statusOf(job, { count, pods, active: 0 });
  const completion = isSettled && !isFailure ? { completionTime: formatTime(nowMs) } : {};
  const startTime = job.status?.startTime ?? formatTime(nowMs);
  return {
    create: [],
    remove,
    isForgiven: false,
    status: { ...counted, startTime, ...completion, conditions },
    events: !isSettled ? [] : [isFailure ? ["Warning", reason, message] : ["Normal", "Completed", "Job completed"]],
    recheckInMs: undefined,
  };
}

function hasUncounted({ uncounted }: Count): boolean {
  return uncounted.succeeded.length + uncounted.failed.length > 0;
}

function statusOf(
  job: Job,
  { count, pods, active }: { readonly count: Count; readonly pods: readonly Pod[]; readonly active: number },
): JobStatus {
  const { startTime, completionTime, conditions = [] } = job.status ?? {};
  const isTerminating = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined && !isPodFinished(pod);
  const status: JobStatus = {
    ...countFields(job, count),
    active,
    ready: active === 0 ? 0 : pods.filter((pod) => isPodActive(pod) && isPodReady(pod)).length,
    terminating: pods.filter(isTerminating).length,
    conditions,
    ...(startTime === undefined ? {} : { startTime }),
    ...(completionTime === undefined ? {} : { completionTime }),
  };
  return omitEmpty(status, kept);
}

/** A Job that is suspended says so; one that goes on starts its clock anew. */
function withSuspension(
  job: Job,
  status: JobStatus,
  nowMs: number,
): { readonly status: JobStatus; readonly events: JobPlan["events"] } {
  const conditions = status.conditions ?? [];
  const isSuspended = job.spec.suspend === true;
  const was = conditionOf(conditions, "Suspended");
  const now = formatTime(nowMs);
  if (isSuspended === (was?.status === "True")) {
    const startTime = status.startTime ?? (isSuspended ? undefined : now);
    return { status: startTime === undefined ? status : { ...status, startTime }, events: [] };
  }
  const [reason, message] = isSuspended ? ["JobSuspended", "Job suspended"] : ["JobResumed", "Job resumed"];
  const verdict = { type: "Suspended", status: isSuspended ? "True" : "False", reason, message } as const;
  const next = { ...status, conditions: withCondition(conditions, verdict, nowMs) };
  const told = isTrue(next.conditions, "Suspended") ? "Suspended" : "Resumed";
  return { status: isSuspended ? next : { ...next, startTime: now }, events: [["Normal", told, message]] };
}
