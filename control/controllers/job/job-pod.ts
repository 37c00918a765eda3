/**
 * The pods of a Job: how they are made, and what they tell once they ended. Pure.
 *
 * A pod carries a finalizer until it has been counted, so that none is lost to the count, whoever deletes it.
 */
import { type Job, jobs } from "#api/batch/job.ts";
import { type Container, type Pod, type PodSpec, isPodFinished } from "#api/core/pod.ts";
import { podFromTemplate } from "../workload/template.ts";
import { indexAnnotation } from "./indexes.ts";

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";

/** Names stay below 63 characters with the 5 that are generated. */
const prefixLengthMax = 57;

/** A pod of the Job; of one index when it is Indexed. */
export function jobPod(job: Job, index: number | undefined): Pod {
  const pod = podFromTemplate(jobs, job, job.spec.template);
  const finalizers = [...(pod.metadata.finalizers ?? []), trackingFinalizer];
  if (index === undefined) return { ...pod, metadata: { ...pod.metadata, finalizers } };
  const { name } = job.metadata;
  const mark = { [indexAnnotation]: String(index) };
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      generateName: `${name.slice(0, prefixLengthMax - String(index).length - 2)}-${index}-`,
      annotations: { ...pod.metadata.annotations, ...mark },
      labels: { ...pod.metadata.labels, ...mark },
      finalizers,
    },
    spec: indexed(pod.spec, `${name}-${index}`),
  };
}

export function isTracked({ metadata }: Pod): boolean {
  return metadata.finalizers?.includes(trackingFinalizer) === true;
}

/** Ended without success, or on its way out before it could. */
export function hasFailed(pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  return pod.metadata.deletionTimestamp !== undefined && !isPodFinished(pod);
}

export function hasSucceeded({ status }: Pod): boolean {
  return status?.phase === "Succeeded";
}

/** When the pod ended, in ms since 1970: its last container, or the best that is known. */
export function endedAtMs({ metadata, status }: Pod): number {
  const times = (status?.containerStatuses ?? []).map(({ state }) => Date.parse(state.terminated?.finishedAt ?? ""));
  const known = times.filter((time) => !Number.isNaN(time));
  if (known.length > 0) return Math.max(...known);
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime;
  const guess = Date.parse(metadata.deletionTimestamp ?? ready ?? metadata.creationTimestamp ?? "");
  return Number.isNaN(guess) ? 0 : guess;
}

/** The index as host name and in the environment of each container. */
function indexed(spec: PodSpec, hostname: string): PodSpec {
  const fieldRef = { apiVersion: "v1", fieldPath: `metadata.annotations['${indexAnnotation}']` };
  const name = "JOB_COMPLETION_INDEX";
  const withIndex = (container: Container): Container => {
    const env = container.env ?? [];
    if (env.some((variable) => variable.name === name)) return container;
    return { ...container, env: [...env, { name, valueFrom: { fieldRef } }] };
  };
  const { initContainers } = spec;
  return {
    ...spec,
    containers: spec.containers.map(withIndex),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(withIndex) }),
    hostname: spec.hostname ?? hostname.slice(0, 63),
  };
}
