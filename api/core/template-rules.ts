/**
 * Rules that every kind with a pod template shares.
 *
 *   kinds with a pod template ─▶ defaultTemplate(), templateErrors()
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/apps/validation/validation.go.
 */
import { defaultPodSpec, podSpecErrors } from "./pod-rules.ts";
import type { PodTemplateSpec } from "./pod.ts";
import type { LabelSelector } from "../meta.ts";
import { type FieldError, invalidValue, notSupported } from "../schema/field-error.ts";
import { isEmptySelector } from "../schema/kind.ts";
import { matchesSelector } from "../selector.ts";

/** The template with the defaults of its pods. */
export function defaultTemplate(template: PodTemplateSpec): PodTemplateSpec {
  return template.spec === undefined ? template : { ...template, spec: defaultPodSpec(template.spec) };
}

/** What is wrong with a selector and the template whose pods it must select. */
export function templateErrors(selector: LabelSelector, template: PodTemplateSpec | undefined): FieldError[] {
  const errors: FieldError[] = [];
  const labels = template?.metadata?.labels ?? {};
  if (isEmptySelector(selector))
    errors.push(invalidValue("spec.selector", selector, "must select by something: an empty selector is invalid"));
  else if (!matchesSelector(selector, labels))
    errors.push(invalidValue("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
  if (template === undefined) return errors;
  // A pod that ended would be counted, but never replaced by its kubelet.
  if (template.spec.restartPolicy !== "Always")
    errors.push(notSupported("spec.template.spec.restartPolicy", template.spec.restartPolicy, ["Always"]));
  return [...errors, ...podSpecErrors(template.spec, "spec.template.spec")];
}
