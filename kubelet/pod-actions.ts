/**
 * Which containers of a pod may run now, and whether it has ended. Pure.
 *
 *   init containers, one after the other ─▶ those that run on (sidecars) hold up the next until they have started
 *     ─▶ all others at once ─▶ all of them over: the pod has ended, its sidecars are told to end
 *
 * Invariant: an init container is not looked at again once a main container has been started.
 * Follows: the reference kubelet's computePodActions and KEP-753.
 */
import { isSidecarContainer } from "#api/core/container-rules.ts";
import type { Container, Pod } from "#api/core/pod.ts";
import { type ContainerRole, type ContainerView, type RestartPolicy, isOver, policyOf } from "./container-state.ts";

/** The containers of a pod in the order in which they start, each with its role. */
export function containersOf(pod: Pod): { readonly container: Container; readonly role: ContainerRole }[] {
  const init = (pod.spec.initContainers ?? []).map((container) => {
    const role: ContainerRole = isSidecarContainer(container) ? "sidecar" : "init";
    return { container, role };
  });
  return [...init, ...pod.spec.containers.map((container) => ({ container, role: "main" as const }))];
}

/** Whether a container has been started at least once in the pod's sandbox. */
function wasStarted({ state, last, isEarlier }: ContainerView): boolean {
  if (isEarlier) return false;
  return state.kind === "running" || state.kind === "exited" || state.kind === "starting" || last !== undefined;
}

/** Whether an init container lets the next one start. */
function isThrough({ role, state }: ContainerView): boolean {
  if (role === "sidecar") return state.kind === "running" && state.started;
  return state.kind === "exited" && state.exit.exitCode === 0;
}

/** Whether the main containers may be started, or have been. */
export function isInitialized(views: readonly ContainerView[]): boolean {
  const main = views.filter(({ role }) => role === "main");
  return main.some(wasStarted) || views.every((view) => view.role === "main" || isThrough(view));
}

/** Init containers that are not through: what `Initialized` waits for. */
export function incompleteInit(views: readonly ContainerView[]): string[] {
  if (views.some((view) => view.role === "main" && wasStarted(view))) return [];
  return views.filter((view) => view.role !== "main" && !isThrough(view)).map(({ name }) => name);
}

/** How a pod has ended; undefined while it has not. Its sidecars do not count. */
export function outcomeOf(views: readonly ContainerView[], policy: RestartPolicy): "Succeeded" | "Failed" | undefined {
  const failedInit = ({ role, state }: ContainerView): boolean =>
    role === "init" && state.kind === "exited" && state.exit.exitCode !== 0 && policy === "Never";
  if (!isInitialized(views)) return views.some(failedInit) ? "Failed" : undefined;
  const main = views.filter(({ role }) => role === "main");
  if (main.length === 0 || !main.every((view) => isOver(view, policy))) return undefined;
  return main.every(({ state }) => state.kind === "exited" && state.exit.exitCode === 0) ? "Succeeded" : "Failed";
}

/** Names of the containers that may be started, again or for the first time, when their own time has come. */
export function startable(views: readonly ContainerView[], policy: RestartPolicy): string[] {
  if (outcomeOf(views, policy) !== undefined) return [];
  if (isInitialized(views)) return views.filter(({ role }) => role !== "init").map(({ name }) => name);
  const names: string[] = [];
  for (const view of views) {
    if (view.role === "main") break;
    if (view.role === "sidecar" || !isThrough(view)) names.push(view.name);
    if (!isThrough(view)) break;
  }
  return names;
}

/**
 * Names of the containers that are told to end, now that the pod ends: all but the sidecars, and once they have ended
 * the sidecars, the last one first.
 */
export function stoppable(views: readonly ContainerView[]): string[] {
  const up = views.filter(isUp);
  const others = up.filter(({ role }) => role !== "sidecar");
  if (others.length > 0) return others.map(({ name }) => name);
  const last = up.at(-1);
  return last === undefined ? [] : [last.name];
}

/** Whether there is, or is about to be, something of a container that must be ended. */
export function isUp({ state }: ContainerView): boolean {
  return state.kind === "running" || state.kind === "starting";
}

/** The policy that counts for one container. */
export function restartPolicyOf(pod: Pod, view: ContainerView): RestartPolicy {
  return policyOf(view, pod.spec.restartPolicy ?? "Always");
}
