/** DaemonSet: one pod of a template on each node that it selects. */
import { podTemplateSchema } from "../core/pod-schema.ts";
import type { PodTemplateSpec } from "../core/pod.ts";
import { defaultTemplate, templateErrors } from "../core/template-rules.ts";
import type { Condition, IntOrString, KubeObject, LabelSelector } from "../meta.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { int, intOrString, object, oneOf } from "../schema/schema.ts";

export interface DaemonSet extends KubeObject {
  readonly spec: {
    readonly selector: LabelSelector;
    readonly template: PodTemplateSpec;
    readonly updateStrategy?: {
      readonly type?: "RollingUpdate" | "OnDelete";
      readonly rollingUpdate?: { readonly maxSurge?: IntOrString; readonly maxUnavailable?: IntOrString };
    };
    readonly minReadySeconds?: number;
    readonly revisionHistoryLimit?: number;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly currentNumberScheduled?: number;
    readonly numberMisscheduled?: number;
    readonly desiredNumberScheduled?: number;
    readonly numberReady?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberAvailable?: number;
    readonly numberUnavailable?: number;
    /** How often the name of a new ControllerRevision was taken. */
    readonly collisionCount?: number;
    readonly conditions?: readonly Condition[];
  };
}

const count = int({ min: 0, default: 0 });

export const daemonSets: Kind<DaemonSet> = {
  group: "apps",
  version: "v1",
  kind: "DaemonSet",
  plural: "daemonsets",
  singular: "daemonset",
  shortNames: ["ds"],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        selector: labelSelector({ required: true }),
        template: podTemplateSchema,
        updateStrategy: object(
          {
            type: oneOf(["RollingUpdate", "OnDelete"], { default: "RollingUpdate" }),
            rollingUpdate: object({
              maxSurge: intOrString({ default: 0 }),
              maxUnavailable: intOrString({ default: 1 }),
            }),
          },
          { default: {} },
        ),
        minReadySeconds: int({ min: 0 }),
        revisionHistoryLimit: int({ min: 0, default: 10 }),
      },
      { required: true },
    ),
    status: object(
      {
        observedGeneration: int(),
        currentNumberScheduled: count,
        numberMisscheduled: count,
        desiredNumberScheduled: count,
        numberReady: count,
        updatedNumberScheduled: int({ min: 0 }),
        numberAvailable: int({ min: 0 }),
        numberUnavailable: int({ min: 0 }),
        collisionCount: int({ min: 0 }),
        conditions: conditionsSchema,
      },
      { default: {} },
    ),
  }),
  immutable: [["spec", "selector"]],
  default: defaultDaemonSet,
  validate: ({ spec }) => templateErrors(spec.selector, spec.template),
};

function defaultDaemonSet(daemonSet: DaemonSet): DaemonSet {
  const { spec } = daemonSet;
  if (spec?.template === undefined) return daemonSet;
  const strategy = spec.updateStrategy ?? {};
  const rollingUpdate = strategy.rollingUpdate ?? { maxSurge: 0, maxUnavailable: 1 };
  return {
    ...daemonSet,
    spec: {
      ...spec,
      template: defaultTemplate(spec.template),
      updateStrategy: strategy.type === "RollingUpdate" ? { ...strategy, rollingUpdate } : strategy,
    },
  };
}
