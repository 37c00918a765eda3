/**
 * Node affinity: which nodes a pod may go to, and which it would rather have.
 *
 *   pod.spec.affinity ─▶ nodeAffinityOf() ─▶ control/scheduler, control/controllers/daemonset
 *
 * Terms are ORed, the requirements of a term are ANDed; a term without any matches no node.
 * Follows: k8s.io/api core/v1 NodeAffinity. Affinity to other pods is accepted and not honoured.
 */
import { int, list, object, type ObjectSchema, oneOf, string, unsupported } from "../schema/schema.ts";
import type { PodSpec } from "./pod.ts";

export interface NodeSelectorRequirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt";
  readonly values?: readonly string[];
}

export interface NodeSelectorTerm {
  /** Over the node's labels. */
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  /** Over the node's fields: `metadata.name` alone. */
  readonly matchFields?: readonly NodeSelectorRequirement[];
}

export interface NodeAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: { readonly nodeSelectorTerms: readonly NodeSelectorTerm[] };
  readonly preferredDuringSchedulingIgnoredDuringExecution?: readonly {
    /** 1 to 100. */
    readonly weight: number;
    readonly preference: NodeSelectorTerm;
  }[];
}

export interface Affinity {
  readonly nodeAffinity?: NodeAffinity;
}

/** The node affinity of a pod, if it has one. */
export function nodeAffinityOf(spec: PodSpec): NodeAffinity | undefined {
  return spec.affinity?.nodeAffinity;
}

/** `spec` with this node affinity; affinity to other pods stays. */
export function withNodeAffinity(spec: PodSpec, nodeAffinity: NodeAffinity): PodSpec {
  const { affinity } = spec as PodSpec & { readonly affinity?: Affinity };
  const placed: PodSpec & { readonly affinity: Affinity } = { ...spec, affinity: { ...affinity, nodeAffinity } };
  return placed;
}

const requirementsSchema = list(
  object({
    key: string({ required: true }),
    operator: oneOf(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"], { required: true }),
    values: list(string()),
  }),
);

const termSchema = object({ matchExpressions: requirementsSchema, matchFields: requirementsSchema });

/** `affinity` of a pod's spec. */
export const affinitySchema: ObjectSchema = object({
  nodeAffinity: object({
    requiredDuringSchedulingIgnoredDuringExecution: object({ nodeSelectorTerms: list(termSchema, { required: true }) }),
    preferredDuringSchedulingIgnoredDuringExecution: list(
      object({ weight: int({ required: true, min: 1, max: 100 }), preference: { ...termSchema, required: true } }),
    ),
  }),
  podAffinity: unsupported(),
  podAntiAffinity: unsupported(),
});
