/**
 * The life of one container of a pod, as a pure state machine.
 *
 *   Waiting => Starting => Running => Exited => (Starting again | stays)
 *                 └─────▶ Waiting (cannot start: reason and message, again after the back-off)
 *
 * Restarts: at once the first time, then after 10 s doubling to 5 min; a run of 10 minutes forgets the past.
 * Source: kubelet's container restart back-off.
 */
import type { ContainerExit, RunningContainer } from "./runtime.ts";

export type ContainerState =
  /** Not started. `untilMs`: not before then, by the monotonic clock. */
  | { readonly kind: "waiting"; readonly reason: string; readonly message: string; readonly untilMs: number }
  | { readonly kind: "starting" }
  | {
      readonly kind: "running";
      readonly running: RunningContainer;
      /** Its post-start hook and its startup probe, where it has them, are through. */
      readonly started: boolean;
      /** Its readiness probe passes, or it has none. Means nothing before `started`. */
      readonly ready: boolean;
      readonly stopping: boolean;
    }
  | {
      readonly kind: "exited";
      readonly running: RunningContainer;
      readonly exit: ContainerExit;
      /** When that was learned, by the monotonic clock: the exit's own time is the wall clock's, which can jump. */
      readonly learnedAtMs: number;
    };

/** `init` ends before the next one starts; a `sidecar` is an init container that runs on; `main` is any other. */
export type ContainerRole = "init" | "sidecar" | "main";

export interface ContainerView {
  readonly name: string;
  readonly role: ContainerRole;
  readonly state: ContainerState;
  /** Starts so far, less one. */
  readonly restarts: number;
  /** How the run before the present state ended. */
  readonly last: { readonly running: RunningContainer; readonly exit: ContainerExit } | undefined;
  /** Restarts in a row that count for the back-off. */
  readonly failures: number;
  /** Its runs were in an earlier sandbox of the pod (earlier-runs.ts): in this one it has not been started. */
  readonly isEarlier: boolean;
}

const backoffBaseMs = 10_000;
const backoffMaxMs = 300_000;
const steadyMs = 600_000;

export function createdContainer(name: string, role: ContainerRole = "main"): ContainerView {
  const state = { kind: "waiting", reason: "ContainerCreating", message: "", untilMs: 0 } as const;
  return { name, role, state, restarts: 0, last: undefined, failures: 0, isEarlier: false };
}

/** What is to be done with a container now. */
export type ContainerAction =
  | { readonly kind: "start"; readonly attempt: number }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "nothing" };

/** What becomes of a container that ends. */
export type RestartPolicy = "Always" | "OnFailure" | "Never";

/** The policy of one container in a pod with `policy`: an init container is never run again once it has succeeded. */
export function policyOf({ role }: Pick<ContainerView, "role">, policy: RestartPolicy): RestartPolicy {
  if (role === "sidecar") return "Always";
  return role === "init" && policy === "Always" ? "OnFailure" : policy;
}

function mayRestart(policy: RestartPolicy, exitCode: number): boolean {
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Whether the container has ended for good. */
export function isOver({ state }: ContainerView, policy: RestartPolicy): boolean {
  return state.kind === "exited" && !mayRestart(policy, state.exit.exitCode);
}

/** Restarts that count: none when the run that has just ended was a long one, by its record. */
function failuresOf({ state, failures }: ContainerView): number {
  const ranLong = state.kind === "exited" && state.exit.finishedAtMs - state.running.startedAtMs >= steadyMs;
  return ranLong ? 0 : failures;
}

/** How long to wait after `failures` restarts in a row: nothing before the first. */
function restartDelayMs(failures: number): number {
  return failures === 0 ? 0 : Math.min(backoffBaseMs * 2 ** Math.min(failures - 1, 10), backoffMaxMs);
}

/**
 * The wait before the next start of a container that has ended, in ms; undefined when there is none, or no next
 * start.
 */
export function backoffOf(view: ContainerView, policy: RestartPolicy): number | undefined {
  if (view.state.kind !== "exited" || isOver(view, policy)) return undefined;
  const delayMs = restartDelayMs(failuresOf(view));
  return delayMs === 0 ? undefined : delayMs;
}

/** `nowMs` is the monotonic clock's. */
export function nextAction(view: ContainerView, policy: RestartPolicy, nowMs: number): ContainerAction {
  const { state } = view;
  switch (state.kind) {
    case "waiting":
      if (state.untilMs > nowMs) return { kind: "wait", untilMs: state.untilMs };
      return { kind: "start", attempt: view.last === undefined ? 0 : view.restarts + 1 };

    case "exited": {
      if (!mayRestart(policy, state.exit.exitCode)) return { kind: "nothing" };
      const untilMs = state.learnedAtMs + restartDelayMs(failuresOf(view));
      if (untilMs > nowMs) return { kind: "wait", untilMs };
      return { kind: "start", attempt: view.restarts + 1 };
    }

    case "starting":
    case "running":
      return { kind: "nothing" };
  }
}

/** (Waiting | Exited) => Starting. */
export function toStarting(view: ContainerView): ContainerView {
  const { state } = view;
  const ended = state.kind === "exited" ? { running: state.running, exit: state.exit } : view.last;
  const failures = state.kind === "exited" ? failuresOf(view) + 1 : view.failures;
  return { ...view, state: { kind: "starting" }, last: ended, failures, isEarlier: false };
}

/**
 * Starting => Running. `started` when it has neither hook nor startup probe, `ready` when it has no readiness probe.
 */
export function toRunning(
  view: ContainerView,
  running: RunningContainer,
  { started, ready }: { started: boolean; ready: boolean },
): ContainerView {
  return { ...view, state: { kind: "running", running, started, ready, stopping: false }, restarts: running.attempt };
}

/** Takes over a run of this sandbox that an earlier kubelet started: what was thought of it before is void. */
export function toAdopted(view: ContainerView, last: ContainerView["last"]): ContainerView {
  return { ...createdContainer(view.name, view.role), state: { kind: "starting" }, last };
}

/** Waiting => Waiting: says why it does. */
export function toExplained(view: ContainerView, reason: string, message: string): ContainerView {
  return view.state.kind === "waiting" ? { ...view, state: { ...view.state, reason, message } } : view;
}

/** Starting => Waiting: the start failed; again after the back-off. `nowMs` is the monotonic clock's. */
export function toFailedStart(view: ContainerView, reason: string, message: string, nowMs: number): ContainerView {
  const failures = view.failures + 1;
  const untilMs = nowMs + restartDelayMs(failures);
  return { ...view, state: { kind: "waiting", reason, message, untilMs }, failures };
}

/** Running => Exited. `learnedAtMs` is the monotonic clock's. */
export function toExited(
  view: ContainerView,
  { running, exit, learnedAtMs }: { running: RunningContainer; exit: ContainerExit; learnedAtMs: number },
): ContainerView {
  return { ...view, state: { kind: "exited", running, exit, learnedAtMs }, restarts: running.attempt };
}
