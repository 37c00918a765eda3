/** ReplicationController: the ReplicaSet's forerunner, with a selector of plain labels. */
import { defaultTemplate, templateErrors } from "./template-rules.ts";
import type { Condition, KubeObject } from "../meta.ts";
import { conditionsSchema, type Kind, labelsSchema } from "../schema/kind.ts";
import { int, object } from "../schema/schema.ts";
import { podTemplateSchema } from "./pod-schema.ts";
import type { PodTemplateSpec } from "./pod.ts";

export interface ReplicationController extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly minReadySeconds?: number;
    readonly selector?: Readonly<Record<string, string>>;
    readonly template?: PodTemplateSpec;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly fullyLabeledReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly conditions?: readonly Condition[];
  };
}

export const replicationControllers: Kind<ReplicationController> = {
  group: "",
  version: "v1",
  kind: "ReplicationController",
  plural: "replicationcontrollers",
  singular: "replicationcontroller",
  shortNames: ["rc"],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dnsSubdomain",
  hasScale: true,
  schema: object({
    spec: object(
      {
        replicas: int({ min: 0, max: 2_147_483_647, default: 1 }),
        minReadySeconds: int({ min: 0 }),
        selector: labelsSchema,
        template: podTemplateSchema,
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
        conditions: conditionsSchema,
      },
      { default: {} },
    ),
  }),
  fieldSelectors: { "status.replicas": ({ status }) => String(status?.replicas ?? 0) },
  default: defaultController,
  validate: ({ spec }) => templateErrors({ matchLabels: spec.selector ?? {} }, spec.template),
};

/** Without a selector the template's labels select. */
function defaultController(controller: ReplicationController): ReplicationController {
  const { template, selector } = controller.spec ?? {};
  if (template === undefined) return controller;
  const labels = template.metadata?.labels;
  return {
    ...controller,
    spec: {
      ...controller.spec,
      template: defaultTemplate(template),
      ...(selector === undefined && labels !== undefined ? { selector: labels } : {}),
    },
  };
}
