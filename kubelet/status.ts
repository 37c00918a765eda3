/**
 * A pod's status out of what the kubelet sees. Pure: equal views give equal statuses, but for the transition times that
 * are kept from the status before. Reasons and messages are the reference kubelet's (pkg/kubelet/status/generate.go).
 */
import { qosClassOf } from "#api/core/pod-rules.ts";
import type { ContainerStatus, Pod, PodStatus } from "#api/core/pod.ts";
import { type Condition, formatTime } from "#api/meta.ts";
import type { ContainerView, RestartPolicy } from "./container-state.ts";
import { containerStatus } from "./container-status.ts";
import { incompleteInit, isInitialized, outcomeOf } from "./pod-actions.ts";

/** Why a pod was ended, its containers regardless. */
export interface PodFailure {
  readonly reason: string;
  readonly message: string;
}

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
  /** Nothing of it runs any more, nor will. */
  readonly hasEnded: boolean;
  readonly failure: PodFailure | undefined;
  readonly containers: readonly ContainerView[];
}

type Said = Omit<Condition, "lastTransitionTime">;

export function podStatus(pod: Pod, view: PodView, nowMs: number): PodStatus {
  const policy = pod.spec.restartPolicy ?? "Always";
  const context = { pod, policy, terminating: view.terminating, isInitialized: isInitialized(view.containers) };
  const statuses = view.containers.map((container) => ({ container, status: containerStatus(container, context) }));
  const init = statuses.filter(({ container }) => container.role !== "main").map(({ status }) => status);
  const main = statuses.filter(({ container }) => container.role === "main").map(({ status }) => status);
  const phase = phaseOf(view, policy);
  // Init containers that have ended say nothing of whether the pod serves; those that run on do.
  const serving = statuses.filter(({ container }) => container.role !== "init").map(({ status }) => status);
  const conditions = conditionsOf(pod, view, { phase, serving });
  return {
    phase,
    conditions: [...foreign(pod, conditions), ...conditions.map((condition) => withTransition(condition, pod, nowMs))],
    ...(view.failure === undefined ? {} : { reason: view.failure.reason, message: view.failure.message }),
    hostIP: view.hostIP,
    hostIPs: [{ ip: view.hostIP }],
    ...(view.podIP === undefined ? {} : { podIP: view.podIP, podIPs: [{ ip: view.podIP }] }),
    startTime: pod.status?.startTime ?? formatTime(view.startedAtMs),
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
    containerStatuses: main,
    qosClass: qosClassOf(pod.spec),
    ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
  };
}

function phaseOf(view: PodView, policy: RestartPolicy): NonNullable<PodStatus["phase"]> {
  const { containers, failure, hasEnded } = view;
  const main = containers.filter(({ role }) => role === "main");
  const isUp = containers.some(({ state }) => state.kind === "running" || state.kind === "starting");
  const outcome = outcomeOf(containers, policy);
  if (hasEnded) {
    if (failure !== undefined) return "Failed";
    const clean = main.every(({ state }) => state.kind === "exited" && state.exit.exitCode === 0);
    return outcome ?? (clean ? "Succeeded" : "Failed");
  }
  // Its sidecars have not ended yet.
  if (outcome !== undefined) return isUp ? "Running" : outcome;
  if (!isInitialized(containers)) return "Pending";
  const started = main.every(
    ({ state, last }) => state.kind === "running" || state.kind === "exited" || last !== undefined,
  );
  return started ? "Running" : "Pending";
}

function conditionsOf(
  pod: Pod,
  { containers, sandboxReady, terminating }: PodView,
  { phase, serving }: { phase: PodStatus["phase"]; serving: readonly ContainerStatus[] },
): Said[] {
  const incomplete = incompleteInit(containers);
  const initialized: Omit<Said, "type"> =
    phase === "Succeeded"
      ? { status: "True", reason: "PodCompleted" }
      : incomplete.length === 0
        ? { status: "True" }
        : {
            status: "False",
            reason: "ContainersNotInitialized",
            message: `containers with incomplete status: [${incomplete.join(" ")}]`,
          };
  const containersReady = readinessOf(phase, serving, terminating);
  return [
    { type: "PodReadyToStartContainers", status: sandboxReady ? "True" : "False" },
    { type: "Initialized", ...initialized },
    { type: "Ready", ...withGates(pod, containersReady) },
    { type: "ContainersReady", ...containersReady },
    { type: "PodScheduled", status: "True" },
  ];
}

function readinessOf(
  phase: PodStatus["phase"],
  containers: readonly ContainerStatus[],
  terminating: boolean,
): Omit<Said, "type"> {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const unready = containers.filter(({ ready }) => !ready || terminating).map(({ name }) => name);
  if (unready.length === 0 && containers.length > 0) return { status: "True" };
  const message = `containers with unready status: [${unready.join(" ")}]`;
  return { status: "False", reason: "ContainersNotReady", message };
}

/** Ready when the containers are, and every readiness gate is open (KEP-580). */
function withGates(pod: Pod, containersReady: Omit<Said, "type">): Omit<Said, "type"> {
  if (containersReady.status !== "True") return containersReady;
  const messages = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = pod.status?.conditions?.find(({ type }) => type === conditionType);
    if (found === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    if (found.status === "True") return [];
    return [`the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`];
  });
  if (messages.length === 0) return containersReady;
  return { status: "False", reason: "ReadinessGatesNotReady", message: messages.join(", ") };
}

/** Conditions that others have set: kept. */
function foreign(pod: Pod, own: readonly Said[]): readonly Condition[] {
  return (pod.status?.conditions ?? []).filter(({ type }) => !own.some((condition) => condition.type === type));
}

/** Keeps the transition time while the status is the same. */
function withTransition(condition: Said, pod: Pod, nowMs: number): Condition {
  const before = pod.status?.conditions?.find(({ type }) => type === condition.type);
  const kept = before?.status === condition.status ? before.lastTransitionTime : undefined;
  return { ...condition, lastTransitionTime: kept ?? formatTime(nowMs) };
}
