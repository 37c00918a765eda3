/** Deployment: keeps a number of pods of one template, through ReplicaSets. */
import type { PodTemplateSpec } from "../core/pod.ts";
import { podTemplateSchema } from "../core/pod-schema.ts";
import type { Condition, IntOrString, KubeObject, LabelSelector } from "../meta.ts";
import { type FieldError, invalidValue } from "../schema/field-error.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { bool, int, intOrString, object, oneOf } from "../schema/schema.ts";
import { defaultTemplate, templateErrors } from "../core/template-rules.ts";

export interface Deployment extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
    readonly strategy?: {
      readonly type?: "RollingUpdate" | "Recreate";
      readonly rollingUpdate?: { readonly maxSurge?: IntOrString; readonly maxUnavailable?: IntOrString };
    };
    readonly minReadySeconds?: number;
    readonly revisionHistoryLimit?: number;
    readonly progressDeadlineSeconds?: number;
    readonly paused?: boolean;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly unavailableReplicas?: number;
    /** Pods on their way out (KEP-3973). */
    readonly terminatingReplicas?: number;
    /** How often the name of a new ReplicaSet was taken. */
    readonly collisionCount?: number;
    readonly conditions?: readonly Condition[];
  };
}

export const deployments: Kind<Deployment> = {
  group: "apps",
  version: "v1",
  kind: "Deployment",
  plural: "deployments",
  singular: "deployment",
  shortNames: ["deploy"],
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
        strategy: object(
          {
            type: oneOf(["RollingUpdate", "Recreate"], { default: "RollingUpdate" }),
            rollingUpdate: object({
              maxSurge: intOrString({ default: "25%" }),
              maxUnavailable: intOrString({ default: "25%" }),
            }),
          },
          { default: {} },
        ),
        minReadySeconds: int({ min: 0 }),
        revisionHistoryLimit: int({ min: 0, default: 10 }),
        progressDeadlineSeconds: int({ min: 0, max: 2_147_483_647, default: 600 }),
        paused: bool(),
      },
      { required: true },
    ),
    status: object(
      {
        observedGeneration: int(),
        replicas: int({ min: 0 }),
        updatedReplicas: int({ min: 0 }),
        readyReplicas: int({ min: 0 }),
        availableReplicas: int({ min: 0 }),
        unavailableReplicas: int({ min: 0 }),
        terminatingReplicas: int({ min: 0 }),
        collisionCount: int({ min: 0 }),
        conditions: conditionsSchema,
      },
      { default: {} },
    ),
  }),
  immutable: [["spec", "selector"]],
  default: defaultDeployment,
  validate: ({ spec }) => [
    ...templateErrors(spec.selector, spec.template),
    ...strategyErrors(spec.strategy ?? {}),
    ...deadlineErrors(spec),
  ],
};

function defaultDeployment(deployment: Deployment): Deployment {
  const { spec } = deployment;
  if (spec === undefined) return deployment;
  const strategy = spec.strategy ?? {};
  const isRolling = strategy.type === "RollingUpdate";
  const rollingUpdate = strategy.rollingUpdate ?? { maxSurge: "25%", maxUnavailable: "25%" };
  return {
    ...deployment,
    spec: {
      ...spec,
      ...(spec.template === undefined ? {} : { template: defaultTemplate(spec.template) }),
      strategy: isRolling ? { ...strategy, rollingUpdate } : strategy,
    },
  };
}

/** The deadline must leave pods the time to become available. */
function deadlineErrors({ progressDeadlineSeconds, minReadySeconds = 0 }: Deployment["spec"]): FieldError[] {
  if (progressDeadlineSeconds === undefined || progressDeadlineSeconds > minReadySeconds) return [];
  return [
    invalidValue("spec.progressDeadlineSeconds", progressDeadlineSeconds, "must be greater than minReadySeconds"),
  ];
}

function strategyErrors({ type, rollingUpdate }: NonNullable<Deployment["spec"]["strategy"]>): FieldError[] {
  const path = "spec.strategy.rollingUpdate";
  if (type === "Recreate" && rollingUpdate !== undefined)
    return [
      {
        reason: "FieldValueForbidden",
        path,
        message: "Forbidden: may not be specified when strategy `type` is 'Recreate'",
      },
    ];
  if (rollingUpdate === undefined) return [];
  const errors = (["maxSurge", "maxUnavailable"] as const).flatMap((name) => {
    const value = rollingUpdate[name];
    const isValid = typeof value === "string" ? /^[0-9]{1,6}%$/.test(value) : value === undefined || value >= 0;
    return isValid
      ? []
      : [invalidValue(`${path}.${name}`, value, "must be a non-negative integer, or a percentage (e.g. '25%')")];
  });
  const isZero = (value: IntOrString | undefined): boolean => value === 0 || value === "0%";
  return isZero(rollingUpdate.maxSurge) && isZero(rollingUpdate.maxUnavailable)
    ? [
        ...errors,
        invalidValue(`${path}.maxUnavailable`, rollingUpdate.maxUnavailable, "may not be 0 when `maxSurge` is 0"),
      ]
    : errors;
}
