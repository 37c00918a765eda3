/**
 * Whether a node suits a pod, whatever else runs there: cordon, taints, node selector, node affinity. Pure.
 *
 *   pod × node ─▶ nodeRefusal() ─▶ undefined, or why not ─▶ schedule.ts, controllers/daemonset
 *
 * Follows: the plugins NodeUnschedulable, NodeName, TaintToleration and NodeAffinity of kube-scheduler; the sentences
 * are theirs.
 */
import { type NodeSelectorRequirement, type NodeSelectorTerm, nodeAffinityOf } from "#api/core/affinity.ts";
import type { Node, Taint } from "#api/core/node.ts";
import type { PodSpec } from "#api/core/pod.ts";
import { notReadyTaint, tolerates, unreachableTaint } from "#api/core/taints.ts";

export const unschedulableTaint: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** Why the pod may not go to the node, in kube-scheduler's words; undefined when it may. */
export function nodeRefusal(spec: PodSpec, node: Node): string | undefined {
  if (node.spec?.unschedulable === true && !isTolerated(spec, unschedulableTaint)) return "node(s) were unschedulable";
  const taint = untolerated(spec, node, ["NoSchedule", "NoExecute"]);
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  if (!allowsName(spec, node)) return "node(s) didn't satisfy plugin(s) [NodeAffinity]";
  return matchesNode(spec, node) ? undefined : "node(s) didn't match Pod's node affinity/selector";
}

/** The first taint of one of the effects that the pod does not tolerate. */
export function untolerated(spec: PodSpec, node: Node, effects: readonly Taint["effect"][]): Taint | undefined {
  return taintsOf(node).find((taint) => effects.includes(taint.effect) && !isTolerated(spec, taint));
}

/** Whether node selector and required node affinity select the node. */
export function matchesNode(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  if (!Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value)) return false;
  const required = nodeAffinityOf(spec)?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/** The sum of the weights of the preferences that the node meets. */
export function preferenceOf(spec: PodSpec, node: Node): number {
  const preferred = nodeAffinityOf(spec)?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return preferred.reduce((sum, { weight, preference }) => sum + (matchesTerm(preference, node) ? weight : 0), 0);
}

/** How many taints say that the node would rather not have the pod. */
export function softTaints(spec: PodSpec, node: Node): number {
  const soft = (node.spec?.taints ?? []).filter(({ effect }) => effect === "PreferNoSchedule");
  return soft.filter((taint) => !isTolerated(spec, taint)).length;
}

/** Node lifecycle taints a node that is not ready; until it has, the condition alone counts as the taint. */
function taintsOf({ spec, status }: Node): readonly Taint[] {
  const taints = spec?.taints ?? [];
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  if (ready === "True" || taints.some(({ key }) => key === notReadyTaint || key === unreachableTaint)) return taints;
  return [...taints, { key: ready === "Unknown" ? unreachableTaint : notReadyTaint, effect: "NoSchedule" }];
}

const isTolerated = ({ tolerations = [] }: PodSpec, taint: Taint): boolean =>
  tolerations.some((toleration) => tolerates(toleration, taint));

/** Whether the terms leave the node's name open, or name it. */
function allowsName(spec: PodSpec, node: Node): boolean {
  const terms = nodeAffinityOf(spec)?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined || terms.length === 0) return true;
  return terms.some(({ matchFields = [] }) => matchFields.every((field) => matchesField(field, node)));
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    matchExpressions.every((requirement) => matchesValue(requirement, labels[requirement.key])) &&
    matchFields.every((field) => matchesField(field, node))
  );
}

function matchesField(requirement: NodeSelectorRequirement, { metadata }: Node): boolean {
  return requirement.key === "metadata.name" && matchesValue(requirement, metadata.name);
}

function matchesValue({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return isInteger(value) && isInteger(values[0]) && Number(value) > Number(values[0]);
    case "Lt":
      return isInteger(value) && isInteger(values[0]) && Number(value) < Number(values[0]);
  }
}

function isInteger(text: string | undefined): boolean {
  return text !== undefined && /^-?\d{1,15}$/.test(text);
}
