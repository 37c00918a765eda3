/**
 * A pod's status out of what the kubelet sees. Pure: equal views give equal statuses, but for the transition times that
 * are kept from the status before.
 */
import type { ContainerStatus, ContainerState as APIContainerState, Pod, PodStatus } from "#api/core/pod.ts";
import { type Condition, formatTime } from "#api/meta.ts";
import { type ContainerView, type RestartPolicy, backoffOf, isOver } from "./container-state.ts";
import type { ContainerExit, RunningContainer } from "./runtime.ts";

export interface PodView {
  readonly podIP: string | undefined;
  readonly hostIP: string;
  readonly startedAtMs: number;
  /** Network and sidecar are there. */
  readonly sandboxReady: boolean;
  /**
   * Its containers were told to end: never ready again. While it drains it may still be ready: it serves, and its
   * endpoints say `serving` beside `terminating` (KEP-1669).
   */
  readonly terminating: boolean;
  readonly containers: readonly ContainerView[];
}

export function podStatus(pod: Pod, view: PodView, nowMs: number): PodStatus {
  const policy = pod.spec.restartPolicy ?? "Always";
  const containers = view.containers.map((container) =>
    containerStatus(pod, view.terminating ? container : inBackoff(pod, container, policy)),
  );
  const allReady = containers.length > 0 && containers.every(({ ready }) => ready) && !view.terminating;
  const over = view.containers.every((container) => isOver(container, policy));
  const notReady = { reason: "ContainersNotReady", message: notReadyMessage(containers) };
  const conditions: Omit<Condition, "lastTransitionTime">[] = [
    { type: "PodReadyToStartContainers", status: view.sandboxReady ? "True" : "False" },
    { type: "Initialized", status: "True" },
    allReady
      ? { type: "Ready", status: "True" }
      : { type: "Ready", status: "False", ...(over ? { reason: "PodCompleted" } : notReady) },
    allReady
      ? { type: "ContainersReady", status: "True" }
      : { type: "ContainersReady", status: "False", ...(over ? { reason: "PodCompleted" } : notReady) },
    { type: "PodScheduled", status: "True" },
  ];
  return {
    phase: phaseOf(view, policy),
    conditions: conditions.map((condition) => withTransition(condition, pod, nowMs)),
    hostIP: view.hostIP,
    hostIPs: [{ ip: view.hostIP }],
    ...(view.podIP === undefined ? {} : { podIP: view.podIP, podIPs: [{ ip: view.podIP }] }),
    startTime: pod.status?.startTime ?? formatTime(view.startedAtMs),
    containerStatuses: containers,
    qosClass: "BestEffort",
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

function phaseOf({ containers }: PodView, policy: RestartPolicy): NonNullable<PodStatus["phase"]> {
  if (containers.every((container) => isOver(container, policy))) {
    const clean = containers.every(({ state }) => state.kind === "exited" && state.exit.exitCode === 0);
    return clean ? "Succeeded" : "Failed";
  }
  const started = containers.every(
    ({ state, last }) => state.kind === "running" || state.kind === "exited" || last !== undefined,
  );
  return started ? "Running" : "Pending";
}

function notReadyMessage(containers: readonly ContainerStatus[]): string {
  const names = containers.filter(({ ready }) => !ready).map(({ name }) => name);
  return `containers with unready status: [${names.join(" ")}]`;
}

/** Keeps the transition time while the status is the same. */
function withTransition(condition: Omit<Condition, "lastTransitionTime">, pod: Pod, nowMs: number): Condition {
  const before = pod.status?.conditions?.find(({ type }) => type === condition.type);
  const kept = before?.status === condition.status ? before.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: kept ?? formatTime(nowMs) };
}

/** A container that waits for its next start says so, and how it ended moves to its last state, as users know it. */
function inBackoff(pod: Pod, container: ContainerView, policy: RestartPolicy): ContainerView {
  const delayMs = backoffOf(container, policy);
  if (delayMs === undefined || container.state.kind !== "exited") return container;
  const { running, exit } = container.state;
  const { namespace = "default", name } = pod.metadata;
  const message = `back-off ${delayMs / 1000}s restarting failed container=${container.name} pod=${name}_${namespace}`;
  const state = { kind: "waiting", reason: "CrashLoopBackOff", message, untilMs: 0 } as const;
  return { ...container, state, last: { running, exit } };
}

function containerStatus(pod: Pod, { name, state, restarts, last }: ContainerView): ContainerStatus {
  const image = pod.spec.containers.find((container) => container.name === name)?.image ?? "";
  const running = state.kind === "running" || state.kind === "exited" ? state.running : undefined;
  return {
    name,
    state: apiState({ name, state, restarts, last, failures: 0 }),
    lastState: last === undefined ? {} : { terminated: terminated(last.running, last.exit) },
    ready: state.kind === "running" && state.ready && !state.stopping,
    started: state.kind === "running",
    restartCount: restarts,
    image,
    imageID: "",
    ...(running === undefined ? {} : { containerID: containerID(running) }),
  };
}

function apiState({ state, last }: ContainerView): APIContainerState {
  switch (state.kind) {
    case "waiting":
      return { waiting: { reason: state.reason, ...(state.message === "" ? {} : { message: state.message }) } };
    case "starting":
      return last === undefined
        ? { waiting: { reason: "ContainerCreating" } }
        : { waiting: { reason: "ContainerCreating", message: "restarting ended container" } };
    case "running":
      return { running: { startedAt: formatTime(state.running.startedAtMs) } };
    case "exited":
      return { terminated: terminated(state.running, state.exit) };
  }
}

function terminated(running: RunningContainer, exit: ContainerExit): NonNullable<APIContainerState["terminated"]> {
  return {
    exitCode: exit.exitCode,
    reason: exit.exitCode === 0 ? "Completed" : "Error",
    startedAt: formatTime(running.startedAtMs),
    finishedAt: formatTime(exit.finishedAtMs),
    containerID: containerID(running),
  };
}

function containerID({ podUid, name, attempt }: RunningContainer): string {
  return `wherry://${podUid}/${name}/${attempt}`;
}
