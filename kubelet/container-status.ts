/**
 * A container's status out of its view. Pure. Reasons and messages are the reference kubelet's.
 */
import type { ContainerState as APIContainerState, ContainerStatus, Pod } from "#api/core/pod.ts";
import { formatTime } from "#api/meta.ts";
import { type ContainerView, type RestartPolicy, backoffOf, policyOf } from "./container-state.ts";
import { containersOf } from "./pod-actions.ts";
import type { ContainerExit, RunningContainer } from "./runtime.ts";

/**
 * `terminating`: nothing is started again. `isInitialized`: main containers do not wait for init containers any more.
 */
export interface StatusContext {
  readonly pod: Pod;
  readonly policy: RestartPolicy;
  readonly terminating: boolean;
  readonly isInitialized: boolean;
}

export function containerStatus(view: ContainerView, context: StatusContext): ContainerStatus {
  const shown = context.terminating ? view : inBackoff(view, context);
  const { name, state, restarts, last } = shown;
  const container = containersOf(context.pod).find((candidate) => candidate.container.name === name)?.container;
  // The container that a waiting one had before is still its newest.
  const newest = "running" in state ? state.running : last?.running;
  return {
    name,
    state: apiState(shown, context),
    lastState: last === undefined ? {} : { terminated: terminated(last.running, last.exit) },
    ready: isReady(shown),
    started: state.kind === "running" && state.started,
    restartCount: restarts,
    image: container?.image ?? "",
    imageID: "",
    ...(newest === undefined ? {} : { containerID: containerID(newest) }),
  };
}

/** An init container is ready once it has succeeded. */
function isReady({ role, state }: ContainerView): boolean {
  if (role === "init") return state.kind === "exited" && state.exit.exitCode === 0;
  return state.kind === "running" && state.started && state.ready && !state.stopping;
}

/** A container that waits for its next start says so, and how it ended moves to its last state, as users know it. */
function inBackoff(view: ContainerView, { pod, policy }: StatusContext): ContainerView {
  const delayMs = backoffOf(view, policyOf(view, policy));
  if (delayMs === undefined || view.state.kind !== "exited") return view;
  const { running, exit } = view.state;
  const { namespace = "default", name, uid = "" } = pod.metadata;
  const where = `container=${view.name} pod=${name}_${namespace}(${uid})`;
  const message = `back-off ${formatDuration(delayMs)} restarting failed ${where}`;
  const state = { kind: "waiting", reason: "CrashLoopBackOff", message, untilMs: 0 } as const;
  return { ...view, state, last: { running, exit } };
}

function apiState({ role, state, last }: ContainerView, { isInitialized, pod }: StatusContext): APIContainerState {
  switch (state.kind) {
    case "waiting": {
      // What has not been tried yet waits for the others; a reason of its own says more.
      const waits = role === "main" ? !isInitialized : (pod.spec.initContainers ?? []).length > 0;
      const reason = state.reason === "ContainerCreating" && waits ? "PodInitializing" : state.reason;
      return { waiting: { reason, ...(state.message === "" ? {} : { message: state.message }) } };
    }
    case "starting":
      return { waiting: { reason: last === undefined && role !== "main" ? "PodInitializing" : "ContainerCreating" } };
    case "running":
      return { running: { startedAt: formatTime(state.running.startedAtMs) } };
    case "exited":
      return { terminated: terminated(state.running, state.exit) };
  }
}

function terminated(running: RunningContainer, exit: ContainerExit): NonNullable<APIContainerState["terminated"]> {
  const usual = exit.isOutOfMemory === true ? "OOMKilled" : exit.exitCode === 0 ? "Completed" : "Error";
  return {
    exitCode: exit.exitCode,
    reason: exit.reason ?? usual,
    ...(exit.message === undefined ? {} : { message: exit.message }),
    startedAt: formatTime(running.startedAtMs),
    finishedAt: formatTime(exit.finishedAtMs),
    containerID: containerID(running),
  };
}

function containerID({ podUid, name, attempt }: RunningContainer): string {
  return `wherry://${podUid}/${name}/${attempt}`;
}

/** `10s`, `1m20s`, `5m0s`: as Go writes whole seconds. */
function formatDuration(delayMs: number): string {
  const seconds = Math.round(delayMs / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
