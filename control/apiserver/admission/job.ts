/**
 * Jobs: a new one selects its pods by its own uid, so that two Jobs of one template never count each other's pods.
 *
 * Follows: kube-apiserver pkg/registry/batch/job (generateSelector).
 */
import type { Job } from "#api/batch/job.ts";
import type { AdmissionPlugin } from "./admission.ts";

/** Fills in the selector and the labels that it selects, unless the user takes care of both. */
export const jobDefaults: AdmissionPlugin = {
  name: "JobDefaults",
  resource: "batch/jobs",
  onUpdate: false,
  admit({ object }): Job {
    const job = object as Job;
    const { metadata, spec } = job;
    // Validation, which comes later, complains about a template that is missing.
    if (spec?.template === undefined || spec.manualSelector === true) return job;
    const uid = metadata.uid ?? "";
    const labels = {
      "batch.kubernetes.io/controller-uid": uid,
      "batch.kubernetes.io/job-name": metadata.name,
      "controller-uid": uid,
      "job-name": metadata.name,
    };
    const template = {
      ...spec.template,
      metadata: { ...spec.template.metadata, labels: { ...spec.template.metadata?.labels, ...labels } },
    };
    const selector = { matchLabels: { "batch.kubernetes.io/controller-uid": uid } };
    return { ...job, spec: { ...spec, template, selector: spec.selector ?? selector } };
  },
};
