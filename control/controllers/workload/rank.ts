/**
 * Which pods go first when there are too many.
 *
 * Pure. Follows: ActivePodsWithRanks in k8s.io/kubernetes pkg/controller/controller_utils.go, less the logarithm of
 * ages: the younger pod goes, by however little.
 */
import { type Pod, isPodFinished, isPodReady } from "#api/core/pod.ts";
import { readySince } from "./availability.ts";

/** A pod that wants to be spared says so by a higher cost. */
export const deletionCostAnnotation = "controller.kubernetes.io/pod-deletion-cost";

const phases = ["Pending", "Unknown", "Running"];

/** Neither ended nor on its way out: what controllers count. */
export function isPodActive(pod: Pod): boolean {
  return !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** `pods`, the most dispensable first. `related`: the pods of the same application, which should not crowd a node. */
export function rankForDeletion(pods: readonly Pod[], related: readonly Pod[] = pods): Pod[] {
  const onNode = new Map<string, number>();
  for (const { spec } of related.filter(isPodActive))
    if (spec.nodeName !== undefined) onNode.set(spec.nodeName, (onNode.get(spec.nodeName) ?? 0) + 1);
  const crowd = ({ spec }: Pod): number => onNode.get(spec.nodeName ?? "") ?? 0;
  return [...pods].sort(
    (a, b) =>
      Number(a.spec.nodeName !== undefined) - Number(b.spec.nodeName !== undefined) ||
      phaseOf(a) - phaseOf(b) ||
      Number(isPodReady(a)) - Number(isPodReady(b)) ||
      costOf(a) - costOf(b) ||
      crowd(b) - crowd(a) ||
      (isPodReady(a) ? newerFirst(readySince(a), readySince(b)) : 0) ||
      restartsOf(b) - restartsOf(a) ||
      newerFirst(a.metadata.creationTimestamp, b.metadata.creationTimestamp) ||
      newerFirst(a.metadata.name, b.metadata.name),
  );
}

const phaseOf = ({ status }: Pod): number => Math.max(0, phases.indexOf(status?.phase ?? "Pending"));

function costOf({ metadata }: Pod): number {
  const text = metadata.annotations?.[deletionCostAnnotation] ?? "0";
  return /^-?(0|[1-9]\d{0,9})$/.test(text) ? Number(text) : 0;
}

const restartsOf = ({ status }: Pod): number =>
  Math.max(0, ...(status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));

/** RFC 3339 times of one length sort as text; absent counts as newest. */
function newerFirst(a = "~", b = "~"): number {
  return a === b ? 0 : a > b ? -1 : 1;
}
