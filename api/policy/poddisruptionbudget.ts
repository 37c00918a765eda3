/** PodDisruptionBudget: how many pods of an application may be down on purpose at a time. Kept by evictions. */
import type { Condition, IntOrString, KubeObject, LabelSelector } from "../meta.ts";
import { type FieldError, invalidValue } from "../schema/field-error.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { int, intOrString, map, object, oneOf, time } from "../schema/schema.ts";

export interface PodDisruptionBudget extends KubeObject {
  readonly spec?: {
    readonly minAvailable?: IntOrString;
    readonly maxUnavailable?: IntOrString;
    readonly selector?: LabelSelector;
    readonly unhealthyPodEvictionPolicy?: string;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    /** Pods whose eviction was allowed a moment ago, and when. */
    readonly disruptedPods?: Readonly<Record<string, string>>;
    readonly disruptionsAllowed?: number;
    readonly currentHealthy?: number;
    readonly desiredHealthy?: number;
    readonly expectedPods?: number;
    readonly conditions?: readonly Condition[];
  };
}

const count = int({ min: 0, default: 0 });

export const podDisruptionBudgets: Kind<PodDisruptionBudget> = {
  group: "policy",
  version: "v1",
  kind: "PodDisruptionBudget",
  plural: "poddisruptionbudgets",
  singular: "poddisruptionbudget",
  shortNames: ["pdb"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        minAvailable: intOrString(),
        maxUnavailable: intOrString(),
        selector: { ...labelSelector(), patchStrategy: "replace" },
        unhealthyPodEvictionPolicy: oneOf(["IfHealthyBudget", "AlwaysAllow"]),
      },
      { default: {} },
    ),
    status: object(
      {
        observedGeneration: int(),
        disruptedPods: map(time()),
        disruptionsAllowed: count,
        currentHealthy: count,
        desiredHealthy: count,
        expectedPods: count,
        conditions: conditionsSchema,
      },
      { default: {} },
    ),
  }),
  validate: budgetErrors,
};

function budgetErrors({ spec = {} }: PodDisruptionBudget): FieldError[] {
  const { minAvailable, maxUnavailable } = spec;
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    return [invalidValue("spec", spec, "minAvailable and maxUnavailable cannot be both set")];
  return (["minAvailable", "maxUnavailable"] as const).flatMap((name) => {
    const value = spec[name];
    const isValid = typeof value === "string" ? /^[0-9]{1,3}%$/.test(value) : value === undefined || value >= 0;
    return isValid
      ? []
      : [invalidValue(`spec.${name}`, value, "must be a non-negative integer, or a percentage (e.g. '25%')")];
  });
}
