/**
 * The containers of a pod that this node finds without any record of them, out of what its status says. Pure.
 *
 *   Pod's status ─▶ earlierRuns() ─▶ views that ContainerRunner starts from
 *
 * A cluster that was stopped, like a machine that was, leaves pods whose processes and sandbox are gone. What ran is
 * counted as killed, what had ended stays ended, and restarts count on; so a pod that is never to be restarted has
 * failed. In one that goes on, init containers run again: the volumes that they filled went with the sandbox.
 * Follows: the reference kubelet's computePodActions and convertToAPIContainerStatuses (ContainerStatusUnknown).
 */
import type { ContainerStatus, Pod } from "#api/core/pod.ts";
import { type ContainerRole, type ContainerView, createdContainer, isOver, policyOf } from "./container-state.ts";
import { containersOf, outcomeOf } from "./pod-actions.ts";

export interface Times {
  readonly nowMs: number;
  readonly monotonicMs: number;
}

/** A run that has ended. */
export type EndedRun = NonNullable<ContainerView["last"]>;

/** What a pod's containers are before anything of them is found or started, in the order in which they start. */
export function earlierRuns(pod: Pod, times: Times): ContainerView[] {
  const policy = pod.spec.restartPolicy ?? "Always";
  const views = containersOf(pod).map(({ container, role }) => endedView(pod, container.name, { role, times }));
  if (outcomeOf(views, policy) !== undefined) return views;
  return views.map((view) => {
    const { name, role, state, restarts } = view;
    if (state.kind !== "exited") return view;
    if (role === "main" && isOver(view, policyOf(view, policy))) return { ...view, isEarlier: true };
    const last = { running: state.running, exit: state.exit };
    return { ...createdContainer(name, role), restarts, last, isEarlier: true };
  });
}

/** The newest run before attempt `attempt`, as far as the status still knows of one. */
export function runBefore(pod: Pod, name: string, attempt: number): EndedRun | undefined {
  const { state, lastState } = statusOf(pod, name) ?? {};
  return [state, lastState].map((ended) => endedRun(pod, name, ended)).find((run) => attemptBelow(run, attempt));
}

function attemptBelow(run: EndedRun | undefined, attempt: number): boolean {
  return run !== undefined && run.running.attempt < attempt;
}

function statusOf({ status }: Pod, name: string): ContainerStatus | undefined {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all.find((candidate) => candidate.name === name);
}

/** Running | terminated | waiting after a run => Exited; waiting for the first => Waiting. */
function endedView(pod: Pod, name: string, { role, times }: { role: ContainerRole; times: Times }): ContainerView {
  const created = createdContainer(name, role);
  const status = statusOf(pod, name);
  if (status === undefined) return created;
  const { state, lastState, restartCount } = status;
  const before = endedRun(pod, name, lastState);
  const run = lostRun(pod, status, times) ?? endedRun(pod, name, state) ?? before;
  if (run === undefined) return created;
  const exited = { kind: "exited", ...run, learnedAtMs: times.monotonicMs } as const;
  return { ...created, state: exited, restarts: restartCount, last: run === before ? undefined : before };
}

/** A run that the status calls running, and of which nothing is left. */
function lostRun(pod: Pod, { name, state, restartCount }: ContainerStatus, { nowMs }: Times): EndedRun | undefined {
  if (state.running === undefined) return undefined;
  const podUid = pod.metadata.uid ?? "";
  const running = { podUid, name, attempt: restartCount, startedAtMs: timeOf(state.running.startedAt) };
  const message = "The container could not be located when the pod was terminated";
  return { running, exit: { exitCode: 137, reason: "ContainerStatusUnknown", message, finishedAtMs: nowMs } };
}

function endedRun(pod: Pod, name: string, state: ContainerStatus["state"] | undefined): EndedRun | undefined {
  const { terminated } = state ?? {};
  if (terminated === undefined) return undefined;
  const { exitCode, reason, message, startedAt, finishedAt, containerID = "" } = terminated;
  const attempt = Number(/\/(\d+)$/.exec(containerID)?.[1] ?? 0);
  const running = { podUid: pod.metadata.uid ?? "", name, attempt, startedAtMs: timeOf(startedAt) };
  const exit = { exitCode, reason, finishedAtMs: timeOf(finishedAt), ...(message === undefined ? {} : { message }) };
  return { running, exit };
}

/** Statuses are written by this kubelet's predecessor, but anybody with the right to may have changed them since. */
function timeOf(text: string | undefined): number {
  const ms = Date.parse(text ?? "");
  return Number.isNaN(ms) ? 0 : ms;
}
