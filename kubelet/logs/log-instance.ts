/**
 * Which run of a container a reader of logs means. Pure. The sentences are the reference kubelet's.
 */
import type { ContainerStatus, Pod, PodStatus } from "#api/core/pod.ts";
import { LogError } from "./errors.ts";

/** The attempt whose log is meant. Throws LogError when there is none. */
export function logAttempt(
  pod: Pod,
  status: PodStatus | undefined,
  { container, previous }: { container: string; previous: boolean },
): number {
  const { name } = pod.metadata;
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const found = all.find((candidate) => candidate.name === container);
  if (found === undefined)
    throw new LogError("BadRequest", `container "${container}" in pod "${name}" is not available`);
  const attempt = previous ? previousAttempt(found) : presentAttempt(found);
  if (attempt !== undefined) return attempt;
  if (previous)
    throw new LogError("BadRequest", `previous terminated container "${container}" in pod "${name}" not found`);
  throw new LogError("BadRequest", `container "${container}" in pod "${name}" is waiting to start: ${reasonOf(found)}`);
}

function previousAttempt({ lastState }: ContainerStatus): number | undefined {
  return attemptOf(lastState.terminated?.containerID);
}

function presentAttempt({ state, lastState, containerID }: ContainerStatus): number | undefined {
  if (state.running !== undefined) return attemptOf(containerID);
  return attemptOf(state.terminated?.containerID) ?? attemptOf(lastState.terminated?.containerID);
}

function reasonOf({ state }: ContainerStatus): string {
  const reason = state.waiting?.reason ?? "ContainerCreating";
  if (reason === "ErrImagePull") return "image can't be pulled";
  return reason === "ImagePullBackOff" ? "trying and failing to pull image" : reason;
}

/** `wherry://UID/NAME/ATTEMPT` */
function attemptOf(containerID: string | undefined): number | undefined {
  const attempt = /^wherry:\/\/[^/]+\/[^/]+\/(\d+)$/.exec(containerID ?? "")?.[1];
  return attempt === undefined ? undefined : Number(attempt);
}
