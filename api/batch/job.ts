/** Job: runs pods until enough of them have succeeded. */
import { podTemplateSchema } from "../core/pod-schema.ts";
import { podSpecErrors } from "../core/pod-rules.ts";
import type { PodTemplateSpec } from "../core/pod.ts";
import { defaultTemplate } from "../core/template-rules.ts";
import type { Condition, KubeObject, LabelSelector } from "../meta.ts";
import { type FieldError, notSupported, requiredError } from "../schema/field-error.ts";
import { conditionsSchema, type Kind, labelSelector } from "../schema/kind.ts";
import { bool, int, list, object, oneOf, string, time, unsupported } from "../schema/schema.ts";

export interface Job extends KubeObject {
  readonly spec: {
    readonly parallelism?: number;
    readonly completions?: number;
    readonly activeDeadlineSeconds?: number;
    readonly backoffLimit?: number;
    readonly selector?: LabelSelector;
    readonly manualSelector?: boolean;
    readonly template: PodTemplateSpec;
    readonly ttlSecondsAfterFinished?: number;
    readonly completionMode?: "NonIndexed" | "Indexed";
    readonly suspend?: boolean;
  };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly startTime?: string;
    readonly completionTime?: string;
    readonly active?: number;
    readonly ready?: number;
    readonly terminating?: number;
    readonly succeeded?: number;
    readonly failed?: number;
    /** `0-2,5`: indexes with a pod that succeeded. */
    readonly completedIndexes?: string;
    /** Uids of pods that ended and are counted once their finalizer is gone. */
    readonly uncountedTerminatedPods?: { readonly succeeded?: readonly string[]; readonly failed?: readonly string[] };
  };
}

export const jobs: Kind<Job> = {
  group: "batch",
  version: "v1",
  kind: "Job",
  plural: "jobs",
  singular: "job",
  shortNames: [],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        parallelism: int({ min: 0 }),
        completions: int({ min: 0 }),
        activeDeadlineSeconds: int({ min: 1 }),
        backoffLimit: int({ min: 0, default: 6 }),
        selector: labelSelector(),
        manualSelector: bool(),
        template: podTemplateSchema,
        ttlSecondsAfterFinished: int({ min: 0 }),
        completionMode: oneOf(["NonIndexed", "Indexed"], { default: "NonIndexed" }),
        suspend: bool({ default: false }),
        podReplacementPolicy: oneOf(["TerminatingOrFailed", "Failed"], {
          default: "TerminatingOrFailed",
          unsupported: true,
          honoured: ["TerminatingOrFailed"],
        }),
        podFailurePolicy: unsupported(),
        successPolicy: unsupported(),
        backoffLimitPerIndex: int({ min: 0, unsupported: true }),
        maxFailedIndexes: int({ min: 0, unsupported: true }),
        managedBy: string({ unsupported: true }),
      },
      { required: true },
    ),
    status: object(
      {
        conditions: conditionsSchema,
        startTime: time(),
        completionTime: time(),
        active: int({ min: 0 }),
        ready: int({ min: 0 }),
        terminating: int({ min: 0 }),
        succeeded: int({ min: 0 }),
        failed: int({ min: 0 }),
        completedIndexes: string(),
        failedIndexes: string(),
        uncountedTerminatedPods: object({ succeeded: list(string()), failed: list(string()) }),
      },
      { default: {} },
    ),
  }),
  immutable: [
    ["spec", "completionMode"],
    ["spec", "completions"],
    ["spec", "selector"],
    ["spec", "template"],
  ],
  fieldSelectors: { "status.successful": ({ status }) => String(status?.succeeded ?? 0) },
  default: defaultJob,
  validate: jobErrors,
};

/** One pod, once, unless the Job says more. */
function defaultJob(job: Job): Job {
  const { spec } = job;
  if (spec?.template === undefined) return job;
  const isBare = spec.parallelism === undefined && spec.completions === undefined;
  return {
    ...job,
    spec: {
      ...spec,
      parallelism: spec.parallelism ?? 1,
      ...(isBare ? { completions: 1 } : {}),
      template: defaultTemplate(spec.template),
    },
  };
}

function jobErrors({ spec }: Job): FieldError[] {
  const { restartPolicy } = spec.template.spec;
  const errors = [...podSpecErrors(spec.template.spec, "spec.template.spec"), ...indexErrors(spec)];
  // A pod that is started again for ever never completes.
  return restartPolicy === "OnFailure" || restartPolicy === "Never"
    ? errors
    : [notSupported("spec.template.spec.restartPolicy", restartPolicy, ["OnFailure", "Never"]), ...errors];
}

function indexErrors({ completionMode, completions }: Job["spec"]): FieldError[] {
  return completionMode === "Indexed" && completions === undefined
    ? [requiredError("spec.completions", "when completion mode is Indexed")]
    : [];
}
