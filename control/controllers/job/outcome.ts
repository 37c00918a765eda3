/**
 * Whether a Job is done, has failed, or has to wait before it tries again. Pure.
 *
 *   Job × count × pods × now ─▶ outcomeOf(), retryInMs()
 *
 * Follows: k8s.io/kubernetes pkg/controller/job (job_controller.go, backoff_utils.go).
 */
import type { Job } from "#api/batch/job.ts";
import { type Pod, isPodFinished } from "#api/core/pod.ts";
import { type BackoffConfig, backoffMs, noJitter } from "#lib/backoff.ts";
import { conditionOf, isTrue } from "../workload/condition.ts";
import { type Count, failedOf, succeededOf } from "./count.ts";
import { endedAtMs, hasFailed, hasSucceeded } from "./job-pod.ts";

export interface Outcome {
  readonly kind: "succeeded" | "failed";
  readonly reason: string;
  readonly message: string;
}

/** DefaultJobPodFailureBackOff and MaxJobPodFailureBackOff. */
const backoff: BackoffConfig = { baseMs: 10_000, maxMs: 600_000 };
/** Without jitter chance is never asked. */

/** Complete or Failed: nothing will change any more. */
export function isFinished({ status }: Job): boolean {
  return isTrue(status?.conditions, "Complete") || isTrue(status?.conditions, "Failed");
}

/** Ms until a finished Job is to be deleted; undefined when it stays, or goes already. */
export function expiresInMs({ metadata, spec, status }: Job, nowMs: number): number | undefined {
  if (spec.ttlSecondsAfterFinished === undefined || metadata.deletionTimestamp !== undefined) return undefined;
  const finished = ["Complete", "Failed"].map((type) => conditionOf(status?.conditions, type));
  const time = finished.find((condition) => condition?.status === "True")?.lastTransitionTime;
  const finishedMs = Date.parse(time ?? "");
  return Number.isNaN(finishedMs) ? undefined : Math.max(0, finishedMs + spec.ttlSecondsAfterFinished * 1000 - nowMs);
}

/** How the Job ends; undefined while it goes on. What was decided once stays. */
export function outcomeOf(job: Job, count: Count, pods: readonly Pod[], nowMs: number): Outcome | undefined {
  const { spec, status } = job;
  for (const [type, kind] of [
    ["FailureTarget", "failed"],
    ["SuccessCriteriaMet", "succeeded"],
  ] as const) {
    const decided = conditionOf(status?.conditions, type);
    if (decided?.status === "True") return { kind, reason: decided.reason ?? "", message: decided.message ?? "" };
  }
  if (failedOf(count) > (spec.backoffLimit ?? 6) || restartsExceed(job, pods))
    return {
      kind: "failed",
      reason: "BackoffLimitExceeded",
      message: "Job has reached the specified backoff limit",
    };
  const deadlineMs = deadlineInMs(job, nowMs);
  if (deadlineMs !== undefined && deadlineMs <= 0)
    return {
      kind: "failed",
      reason: "DeadlineExceeded",
      message: "Job was active longer than specified deadline",
    };
  const isQuiet = !pods.some((pod) => !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined);
  const isEnough = spec.completions === undefined ? succeededOf(count) > 0 : succeededOf(count) >= spec.completions;
  if (!isEnough || !isQuiet) return undefined;
  return {
    kind: "succeeded",
    reason: "CompletionsReached",
    message: "Reached expected number of succeeded pods",
  };
}

/** Ms until the active deadline passes; undefined without one, and while it does not run. */
export function deadlineInMs({ spec, status }: Job, nowMs: number): number | undefined {
  const startMs = Date.parse(status?.startTime ?? "");
  if (spec.activeDeadlineSeconds === undefined || spec.suspend === true || Number.isNaN(startMs)) return undefined;
  return startMs + spec.activeDeadlineSeconds * 1000 - nowMs;
}

/** Ms until the next pod may start, after failures in a row; 0 after a success. */
export function retryInMs(pods: readonly Pod[], nowMs: number): number {
  const ended = pods.filter((pod) => hasSucceeded(pod) || hasFailed(pod));
  const ordered = ended.map((pod) => ({ atMs: endedAtMs(pod), isFailure: hasFailed(pod) }));
  ordered.sort((a, b) => a.atMs - b.atMs);
  const failures = ordered.slice(ordered.findLastIndex(({ isFailure }) => !isFailure) + 1);
  const last = failures.at(-1);
  if (last === undefined) return 0;
  return Math.max(0, last.atMs + backoffMs(failures.length - 1, backoff, noJitter) - nowMs);
}

/** Containers that are started again in their pod count as tries, too. */
function restartsExceed({ spec }: Job, pods: readonly Pod[]): boolean {
  if (spec.template.spec.restartPolicy !== "OnFailure") return false;
  const limit = spec.backoffLimit ?? 6;
  let restarts = 0;
  for (const { status } of pods) {
    if (status?.phase !== "Running" && status?.phase !== "Pending") continue;
    for (const { restartCount } of [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])])
      restarts += restartCount;
  }
  return limit === 0 ? restarts > 0 : restarts >= limit;
}
