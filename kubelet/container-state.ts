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
  /** Not started. `untilMs`: not before then. */
  | { readonly kind: "waiting"; readonly reason: string; readonly message: string; readonly untilMs: number }
  | { readonly kind: "starting" }
  | {
      readonly kind: "running";
      readonly running: RunningContainer;
      readonly ready: boolean;
      readonly stopping: boolean;
    }
  | { readonly kind: "exited"; readonly running: RunningContainer; readonly exit: ContainerExit };

export interface ContainerView {
  readonly name: string;
  readonly state: ContainerState;
  /** Starts so far, less one. */
  readonly restarts: number;
  /** How the run before the present state ended. */
  readonly last: { readonly running: RunningContainer; readonly exit: ContainerExit } | undefined;
  /** Restarts in a row that count for the back-off. */
  readonly failures: number;
}

const backoffBaseMs = 10_000;
const backoffMaxMs = 300_000;
const steadyMs = 600_000;

export function createdContainer(name: string): ContainerView {
  const state = { kind: "waiting", reason: "ContainerCreating", message: "", untilMs: 0 } as const;
  return { name, state, restarts: 0, last: undefined, failures: 0 };
}

/** What is to be done with a container now. */
export type ContainerAction =
  | { readonly kind: "start"; readonly attempt: number }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "nothing" };

type RestartPolicy = "Always" | "OnFailure" | "Never";

function mayRestart(policy: RestartPolicy, exitCode: number): boolean {
  return policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
}

/** Whether the container has ended for good. */
export function isOver({ state }: ContainerView, policy: RestartPolicy): boolean {
  return state.kind === "exited" && !mayRestart(policy, state.exit.exitCode);
}

/** When the next start is due after `view.failures` restarts: the first is at once. */
function restartAtMs(view: ContainerView, finishedAtMs: number): number {
  if (view.failures === 0) return finishedAtMs;
  return finishedAtMs + Math.min(backoffBaseMs * 2 ** Math.min(view.failures - 1, 10), backoffMaxMs);
}

export function nextAction(view: ContainerView, policy: RestartPolicy, nowMs: number): ContainerAction {
  const { state } = view;
  switch (state.kind) {
    case "waiting":
      if (state.untilMs > nowMs) return { kind: "wait", untilMs: state.untilMs };
      return { kind: "start", attempt: view.last === undefined ? 0 : view.restarts + 1 };

    case "exited": {
      if (!mayRestart(policy, state.exit.exitCode)) return { kind: "nothing" };
      const untilMs = restartAtMs(view, state.exit.finishedAtMs);
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
  const ranLong = ended !== undefined && ended.exit.finishedAtMs - ended.running.startedAtMs >= steadyMs;
  const failures = state.kind !== "exited" ? view.failures : ranLong ? 0 : view.failures + 1;
  return { ...view, state: { kind: "starting" }, last: ended, failures };
}

/** Starting => Running. `ready` when it has no readiness probe. */
export function toRunning(view: ContainerView, running: RunningContainer, ready: boolean): ContainerView {
  return { ...view, state: { kind: "running", running, ready, stopping: false }, restarts: running.attempt };
}

/** Starting => Waiting: the start failed; again after the back-off. */
export function toFailedStart(view: ContainerView, reason: string, message: string, nowMs: number): ContainerView {
  const untilMs = restartAtMs({ ...view, failures: view.failures + 1 }, nowMs);
  return { ...view, state: { kind: "waiting", reason, message, untilMs }, failures: view.failures + 1 };
}

/** Running => Exited. */
export function toExited(view: ContainerView, running: RunningContainer, exit: ContainerExit): ContainerView {
  return { ...view, state: { kind: "exited", running, exit }, restarts: running.attempt };
}
