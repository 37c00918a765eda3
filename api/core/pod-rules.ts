/**
 * What the schema of a pod cannot say: defaults that depend on other fields, and rules across fields.
 *
 *   pod.ts, apps/*.ts ─▶ defaultPodSpec(), podSpecErrors(), podUpdateErrors()
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/core/{v1/defaults.go,validation/validation.go}.
 */
import { type FieldError, duplicateValue, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import { isEqual } from "../schema/read.ts";
import type { Container, Pod, PodSpec, Probe } from "./pod.ts";

/** The spec with image pull policies, resource requests and the old name of the service account filled in. */
export function defaultPodSpec(spec: PodSpec): PodSpec {
  const serviceAccountName = spec.serviceAccountName ?? spec.serviceAccount;
  return {
    ...spec,
    ...(spec.containers === undefined ? {} : { containers: spec.containers.map(defaultContainer) }),
    ...(serviceAccountName === undefined ? {} : { serviceAccountName, serviceAccount: serviceAccountName }),
  };
}

function defaultContainer(container: Container): Container {
  const { image = "", resources } = container;
  const tag = /:([^/@:]+)(?:@|$)/.exec(image)?.[1];
  const isMoving = !image.includes("@") && (tag === undefined || tag === "latest");
  const requests = { ...resources?.limits, ...resources?.requests };
  return {
    ...container,
    imagePullPolicy: container.imagePullPolicy ?? (isMoving ? "Always" : "IfNotPresent"),
    ...(resources?.limits === undefined ? {} : { resources: { ...resources, requests } }),
  };
}

/** Quality of service: `Guaranteed`, `Burstable` or `BestEffort`, from requests and limits of CPU and memory. */
export function qosClassOf(spec: PodSpec): string {
  const all = spec.containers.map(({ resources }) => resources ?? {});
  const names = ["cpu", "memory"];
  if (all.every(({ requests, limits }) => names.every((name) => !requests?.[name] && !limits?.[name])))
    return "BestEffort";
  const isGuaranteed = all.every(({ requests, limits }) =>
    names.every((name) => limits?.[name] !== undefined && (requests?.[name] ?? limits[name]) === limits[name]),
  );
  return isGuaranteed ? "Guaranteed" : "Burstable";
}

/** What is wrong across the fields of a pod's spec. `path` is `spec` or `spec.template.spec`. */
export function podSpecErrors(spec: PodSpec, path: string): FieldError[] {
  // Started without its init containers a pod would be wrong, not only different.
  const { initContainers } = spec as { readonly initContainers?: readonly unknown[] };
  const refused =
    (initContainers ?? []).length > 0 ? [forbidden(`${path}.initContainers`, "init containers are not supported")] : [];
  return [
    ...refused,
    ...spec.containers.flatMap((container, index) => containerErrors(container, spec, `${path}.containers[${index}]`)),
    ...volumeErrors(spec, path),
  ];
}

function containerErrors(container: Container, spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, { name }] of (container.volumeMounts ?? []).entries()) {
    if (spec.volumes?.some((volume) => volume.name === name) !== true)
      errors.push({
        reason: "FieldValueInvalid",
        path: `${path}.volumeMounts[${index}].name`,
        message: `Not found: ${JSON.stringify(name)}`,
      });
  }
  const names = new Set<string>();
  for (const [index, { name }] of (container.ports ?? []).entries()) {
    if (name !== undefined && names.has(name)) errors.push(duplicateValue(`${path}.ports[${index}].name`, name));
    if (name !== undefined) names.add(name);
  }
  for (const [index, { value, valueFrom }] of (container.env ?? []).entries()) {
    if (valueFrom === undefined) continue;
    const at = `${path}.env[${index}].valueFrom`;
    if (value !== undefined && value !== "")
      errors.push(invalidValue(at, "", "may not be specified when `value` is not empty"));
    const sources = Object.keys(valueFrom).length;
    if (sources === 0)
      errors.push(
        invalidValue(
          at,
          "",
          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
      );
    if (sources > 1) errors.push(invalidValue(at, "", "may not have more than one field specified at a time"));
  }
  errors.push(...probeErrors(container.livenessProbe, `${path}.livenessProbe`));
  errors.push(...probeErrors(container.readinessProbe, `${path}.readinessProbe`));
  if ((container.livenessProbe?.successThreshold ?? 1) !== 1)
    errors.push(
      invalidValue(`${path}.livenessProbe.successThreshold`, container.livenessProbe?.successThreshold, "must be 1"),
    );
  return errors;
}

function probeErrors(probe: Probe | undefined, path: string): FieldError[] {
  if (probe === undefined) return [];
  const handlers = ["httpGet", "tcpSocket", "exec", "grpc"].filter((name) => Object.hasOwn(probe, name));
  if (handlers.length === 0) return [requiredError(path, "must specify a handler type")];
  return handlers.slice(1).map((name) => forbidden(`${path}.${name}`, "may not specify more than 1 handler type"));
}

function volumeErrors(spec: PodSpec, path: string): FieldError[] {
  return (spec.volumes ?? []).flatMap((volume, index) => {
    const sources = Object.keys(volume).filter((name) => name !== "name");
    const at = `${path}.volumes[${index}]`;
    if (sources.length === 0) return [requiredError(at, "must specify a volume type")];
    const errors = sources
      .slice(1)
      .map((name) => forbidden(`${at}.${name}`, "may not specify more than 1 volume type"));
    if (volume.configMap !== undefined && !volume.configMap.name) errors.push(requiredError(`${at}.configMap.name`));
    if (volume.secret !== undefined && !volume.secret.secretName) errors.push(requiredError(`${at}.secret.secretName`));
    return errors;
  });
}

const updateRule =
  "pod updates may not change fields other than `spec.containers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations)";

/** What a change of a pod's spec does wrong: nearly all of it is fixed once the pod exists. */
export function podUpdateErrors(next: Pod, previous: Pod): FieldError[] {
  if (next.spec.containers.length !== previous.spec.containers.length)
    return [forbidden("spec.containers", "pod updates may not add or remove containers")];
  const kept = (previous.spec.tolerations ?? []).every((old) =>
    (next.spec.tolerations ?? []).some((toleration) => isEqual(toleration, old)),
  );
  return kept && isEqual(fixedPart(next.spec), fixedPart(previous.spec)) ? [] : [forbidden("spec", updateRule)];
}

function fixedPart(spec: PodSpec): unknown {
  const { tolerations: _tolerations, containers, ...rest } = spec;
  const { activeDeadlineSeconds: _deadline, ...fixed } = rest as Record<string, unknown>;
  // The pull policy's default follows the image, so it may move with it.
  return {
    ...fixed,
    containers: containers.map(({ image: _image, imagePullPolicy: _policy, ...container }) => container),
  };
}
