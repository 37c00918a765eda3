/**
 * Which nodes a DaemonSet covers, and the pods it makes for them. Pure.
 *
 *   DaemonSet × node ─▶ placementOf() ─▶ { run, stay } ─▶ plan.ts        DaemonSet × node ─▶ daemonPod()
 *
 * A daemon pod tolerates what ails a node, and names its node by affinity; the scheduler binds it like any other.
 * Follows: nodeShouldRunDaemonPod and daemonset_util.go in k8s.io/kubernetes pkg/controller/daemon.
 */
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import { nodeAffinityOf, withNodeAffinity } from "#api/core/affinity.ts";
import type { Node } from "#api/core/node.ts";
import type { Pod, PodSpec } from "#api/core/pod.ts";
import { isEqual } from "#api/schema/read.ts";
import type { Toleration } from "#api/core/taints.ts";
import { matchesNode, untolerated } from "../../scheduler/node-fit.ts";
import { podFromTemplate } from "../workload/template.ts";

export interface Placement {
  /** The node should have a daemon pod. */
  readonly run: boolean;
  /** One that is there may stay. */
  readonly stay: boolean;
}

/** Label of the pods: the hash of the revision that they were made from. */
export const revisionLabel = "controller-revision-hash";
const generationLabel = "pod-template-generation";
const generationAnnotation = "deprecated.daemonset.template.generation";

const exists = (key: string, effect: string): Toleration => ({ key, operator: "Exists", effect });
const daemonTolerations: readonly Toleration[] = [
  exists("node.kubernetes.io/not-ready", "NoExecute"),
  exists("node.kubernetes.io/unreachable", "NoExecute"),
  exists("node.kubernetes.io/disk-pressure", "NoSchedule"),
  exists("node.kubernetes.io/memory-pressure", "NoSchedule"),
  exists("node.kubernetes.io/pid-pressure", "NoSchedule"),
  exists("node.kubernetes.io/unschedulable", "NoSchedule"),
];

export function placementOf({ spec }: DaemonSet, node: Node): Placement {
  const podSpec = withTolerations(spec.template.spec);
  const { nodeName } = podSpec;
  if (nodeName !== undefined && nodeName !== node.metadata.name) return { run: false, stay: false };
  if (!matchesNode(podSpec, node)) return { run: false, stay: false };
  if (untolerated(podSpec, node, ["NoExecute"]) !== undefined) return { run: false, stay: false };
  // What keeps new pods off does not drive those away that are there.
  return { run: untolerated(podSpec, node, ["NoSchedule"]) === undefined, stay: true };
}

/** The daemon pod of a node. */
export function daemonPod(daemonSet: DaemonSet, nodeName: string, hash: string): Pod {
  const pod = podFromTemplate(daemonSets, daemonSet, daemonSet.spec.template);
  const generation = daemonSet.metadata.annotations?.[generationAnnotation];
  const labels = {
    ...pod.metadata.labels,
    [revisionLabel]: hash,
    ...(generation === undefined ? {} : { [generationLabel]: generation }),
  };
  const spec = withTolerations(onNode(pod.spec, nodeName));
  return { ...pod, metadata: { ...pod.metadata, labels }, spec };
}

/** The node of a daemon pod: the one it is bound to, or the one it waits for. */
export function nodeNameOf({ spec }: Pod): string | undefined {
  if (spec.nodeName !== undefined) return spec.nodeName;
  const terms = nodeAffinityOf(spec)?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const { matchFields = [] } of terms)
    for (const { key, operator, values = [] } of matchFields)
      if (key === "metadata.name" && operator === "In" && values.length === 1) return values[0];
  return undefined;
}

/** Every term of the template names the node: terms are alternatives. */
function onNode(spec: PodSpec, nodeName: string): PodSpec {
  const affinity = nodeAffinityOf(spec) ?? {};
  const matchFields = [{ key: "metadata.name", operator: "In", values: [nodeName] }] as const;
  const terms = affinity.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [{}];
  const nodeSelectorTerms = terms.map((term) => ({ ...term, matchFields }));
  return withNodeAffinity(spec, { ...affinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } });
}

function withTolerations(spec: PodSpec): PodSpec {
  const own = spec.tolerations ?? [];
  const missing = daemonTolerations.filter((toleration) => !own.some((one) => isEqual(one, toleration)));
  return missing.length === 0 ? spec : { ...spec, tolerations: [...own, ...missing] };
}
