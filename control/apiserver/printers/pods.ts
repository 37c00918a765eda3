/** The columns of pods. Pure. Follows: printPod() of pkg/printers/internalversion/printers.go. */
import type { ContainerState, ContainerStatus, Pod } from "#api/core/pod.ts";
import { isPodFinished, isPodReady } from "#api/core/pod.ts";
import { isSidecarContainer } from "#api/core/container-rules.ts";
import type { KubeObject } from "#api/meta.ts";
import { ageOf, column, formatSince, orNone, type Printer, wide } from "./printer.ts";

export const podPrinter: Printer = {
  columns: [
    column("Name"),
    column("Ready"),
    column("Status"),
    column("Restarts"),
    column("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const pod = object as Pod;
    const { spec, status } = pod;
    const sidecars = new Set((spec.initContainers ?? []).filter(isSidecarContainer).map(({ name }) => name));
    const initStatuses = status?.initContainerStatuses ?? [];
    // Sidecars count as containers; the others of them only say how often they were tried.
    const statuses = [...(status?.containerStatuses ?? []), ...initStatuses.filter(({ name }) => sidecars.has(name))];
    const ready = statuses.filter((container) => container.ready && container.state?.running !== undefined).length;
    return [
      pod.metadata.name,
      `${ready}/${spec.containers.length + sidecars.size}`,
      podReason(pod),
      restarts(initReason(pod) === undefined ? statuses : initStatuses, nowMs),
      ageOf(pod, nowMs),
      orNone(status?.podIP),
      orNone(spec.nodeName),
      orNone((status as { readonly nominatedNodeName?: string } | undefined)?.nominatedNodeName),
      "<none>",
    ];
  },
};

/** The one word that says how a pod is. */
export function podReason(pod: Pod): string {
  const { status, metadata } = pod;
  if (metadata.deletionTimestamp !== undefined && !isPodFinished(pod))
    return status?.reason === "NodeLost" ? "Unknown" : "Terminating";
  const initialising = initReason(pod);
  if (initialising !== undefined) return initialising;
  const statuses = status?.containerStatuses ?? [];
  const base = status?.reason ?? status?.phase ?? "";
  // The first container's word wins over the later ones'.
  const reason = statuses.map(({ state }) => stateReason(state)).find((word) => word !== undefined) ?? base;
  const isRunning = statuses.some((container) => container.ready && container.state?.running !== undefined);
  if (reason === "Completed" && isRunning) return isPodReady(pod) ? "Running" : "NotReady";
  return reason;
}

/** Why the pod is still at its init containers; undefined once they are through. */
function initReason({ spec, status }: Pod): string | undefined {
  const { initContainers = [] } = spec;
  const statuses = status?.initContainerStatuses ?? [];
  const sidecars = new Set(initContainers.filter(isSidecarContainer).map(({ name }) => name));
  const at = statuses.findIndex(
    ({ name, state, started }) => state?.terminated?.exitCode !== 0 && !(sidecars.has(name) && started === true),
  );
  const current = statuses[at];
  if (current === undefined) return undefined;
  const word = stateReason(current.state);
  return word === undefined || word === "PodInitializing" ? `Init:${at}/${initContainers.length}` : `Init:${word}`;
}

function stateReason(state: ContainerState | undefined): string | undefined {
  if (state?.waiting !== undefined && state.waiting.reason !== "") return state.waiting.reason;
  if (state?.terminated === undefined) return undefined;
  const { reason, signal = 0, exitCode } = state.terminated;
  if (reason !== undefined && reason !== "") return reason;
  return signal === 0 ? `ExitCode:${exitCode}` : `Signal:${signal}`;
}

/** `3 (5m ago)`: how often containers were started again, and when the last time. */
function restarts(statuses: readonly ContainerStatus[], nowMs: number): string {
  const count = statuses.reduce((sum, { restartCount }) => sum + restartCount, 0);
  const times = statuses.flatMap(({ lastState }) => lastState?.terminated?.finishedAt ?? []).sort();
  const last = times.at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${formatSince(last, nowMs)} ago)`;
}
