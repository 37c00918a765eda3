/** ReplicaSet: keeps a number of pods of one template. */
import type { PodTemplateSpec } from "../core/pod.ts";
import { podTemplateSchema } from "../core/pod-schema.ts";
import type { Condition, KubeObject, LabelSelector } from "../meta.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { int, object } from "../schema/schema.ts";
import { defaultTemplate, templateErrors } from "../core/template-rules.ts";

export interface ReplicaSet extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template?: PodTemplateSpec;
    readonly minReadySeconds?: number;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly fullyLabeledReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    /** Pods on their way out: what a Recreate rollout waits for (KEP-3973). */
    readonly terminatingReplicas?: number;
    readonly conditions?: readonly Condition[];
  };
}

export const replicaSets: Kind<ReplicaSet> = {
  group: "apps",
  version: "v1",
  kind: "ReplicaSet",
  plural: "replicasets",
  singular: "replicaset",
  shortNames: ["rs"],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dnsSubdomain",
  hasScale: true,
  schema: object({
    spec: object(
      {
        replicas: int({ min: 0, max: 2_147_483_647, default: 1 }),
        selector: labelSelector({ required: true }),
        template: podTemplateSchema,
        minReadySeconds: int({ min: 0 }),
      },
      { required: true },
    ),
    status: object(
      {
        observedGeneration: int(),
        replicas: int({ min: 0, default: 0 }),
        fullyLabeledReplicas: int({ min: 0 }),
        readyReplicas: int({ min: 0 }),
        availableReplicas: int({ min: 0 }),
        terminatingReplicas: int({ min: 0 }),
        conditions: conditionsSchema,
      },
      { default: {} },
    ),
  }),
  immutable: [["spec", "selector"]],
  default: (replicaSet) =>
    replicaSet.spec?.template === undefined
      ? replicaSet
      : { ...replicaSet, spec: { ...replicaSet.spec, template: defaultTemplate(replicaSet.spec.template) } },
  validate: ({ spec }) => templateErrors(spec.selector, spec.template),
};
