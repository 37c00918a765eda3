/**
 * The taints that a node has by its conditions, and which of them its pods tolerate for how long. Pure.
 *
 *   conditions, spec.unschedulable, disruption ─▶ plannedTaints() ─▶ controller.ts
 *   NoExecute taints, tolerations ─▶ toleratedMs() ─▶ taint-eviction.ts
 *
 * Follows: k8s.io/kubernetes pkg/controller/nodelifecycle (nodeConditionToTaintKeyStatusMap), pkg/controller/tainteviction.
 */
import type { Node, Taint } from "#api/core/node.ts";
import { notReadyTaint, tolerates, type Toleration, unreachableTaint } from "#api/core/taints.ts";
import { conditionOf, type Disruption } from "./health.ts";

const prefix = "node.kubernetes.io/";
/** A person says that the node will not come back as it was. */
export const outOfServiceKey: string = `${prefix}out-of-service`;

/** Conditions that say that a node is short of something, and their taints. */
const pressures: readonly (readonly [string, string])[] = [
  ["MemoryPressure", `${prefix}memory-pressure`],
  ["DiskPressure", `${prefix}disk-pressure`],
  ["PIDPressure", `${prefix}pid-pressure`],
  ["NetworkUnavailable", `${prefix}network-unavailable`],
];
const unschedulableKey = `${prefix}unschedulable`;
const scheduleKeys: readonly string[] = [
  notReadyTaint,
  unreachableTaint,
  unschedulableKey,
  ...pressures.map(([, key]) => key),
];
const executeKeys: readonly string[] = [notReadyTaint, unreachableTaint];

/** The taints that `node` is to have; undefined when it has them. `now`: RFC 3339, of those that are new. */
export function plannedTaints(node: Node, disruption: Disruption, now: string): readonly Taint[] | undefined {
  const before = node.spec?.taints ?? [];
  const wanted: readonly Taint[] = [...scheduleTaints(node), ...executeTaints(node, disruption)];
  const others = before.filter((taint) => !isManaged(taint));
  const managed = wanted.map((taint) => before.find((old) => isSame(old, taint)) ?? { ...taint, timeAdded: now });
  const isRight = managed.every((taint) => before.includes(taint)) && others.length + managed.length === before.length;
  return isRight ? undefined : [...others, ...managed];
}

function isManaged({ key, effect }: Taint): boolean {
  return (
    (effect === "NoSchedule" && scheduleKeys.includes(key)) || (effect === "NoExecute" && executeKeys.includes(key))
  );
}

function isSame(left: Taint, right: Taint): boolean {
  return left.key === right.key && left.effect === right.effect;
}

function scheduleTaints(node: Node): Taint[] {
  const keys = pressures.filter(([type]) => conditionOf(node, type) === "True").map(([, key]) => key);
  const ready = readyKey(node);
  if (ready !== undefined) keys.push(ready);
  if (node.spec?.unschedulable === true) keys.push(unschedulableKey);
  return keys.map((key) => ({ key, effect: "NoSchedule" }));
}

/** While most nodes are lost none is emptied anew; while all are, none at all. */
function executeTaints(node: Node, disruption: Disruption): Taint[] {
  const key = readyKey(node);
  if (key === undefined || disruption === "full") return [];
  const isTainted = (node.spec?.taints ?? []).some(
    (taint) => taint.effect === "NoExecute" && executeKeys.includes(taint.key),
  );
  return disruption === "none" || isTainted ? [{ key, effect: "NoExecute" }] : [];
}

/** The taint of a node that is not ready. One that has not said anything yet has none. */
function readyKey(node: Node): string | undefined {
  const ready = node.status?.conditions?.find(({ type }) => type === "Ready")?.status;
  if (ready === undefined || ready === "True") return undefined;
  return ready === "False" ? notReadyTaint : unreachableTaint;
}

/** How long a pod stays on a node with these taints, in ms: 0: not at all, Infinity: for ever. */
export function toleratedMs(taints: readonly Taint[], tolerations: readonly Toleration[] = []): number {
  const used: Toleration[] = [];
  for (const taint of taints.filter(({ effect }) => effect === "NoExecute")) {
    const matching = tolerations.filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    used.push(...matching);
  }
  const seconds = used.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
  return seconds.length === 0 ? Infinity : Math.max(0, Math.min(...seconds)) * 1000;
}
