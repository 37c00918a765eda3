/**
 * Taints and tolerations: what keeps pods off a node, or drives them away.
 *
 *   node.spec.taints × pod.spec.tolerations ─▶ tolerates() ─▶ scheduler, DaemonSets, taint eviction
 *
 * Follows: k8s.io/component-helpers scheduling/corev1, Toleration.ToleratesTaint.
 */
import type { Taint } from "./node.ts";
import type { PodSpec } from "./pod.ts";

export type Toleration = NonNullable<PodSpec["tolerations"]>[number];

/** Node lifecycle puts these on nodes that say that they are not ready, or that say nothing. */
export const notReadyTaint = "node.kubernetes.io/not-ready";
export const unreachableTaint = "node.kubernetes.io/unreachable";

/** Whether a toleration is about a taint. */
export function tolerates({ key = "", operator, value = "", effect = "" }: Toleration, taint: Taint): boolean {
  if (effect !== "" && effect !== taint.effect) return false;
  if (key !== "" && key !== taint.key) return false;
  return operator === "Exists" || (key !== "" && value === (taint.value ?? ""));
}
