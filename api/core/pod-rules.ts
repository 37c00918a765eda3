/**
 * What the schema of a pod cannot say: defaults that depend on other fields, and rules across fields.
 *
 *   pod.ts, apps/*.ts ─▶ defaultPodSpec(), podSpecErrors(), podUpdateErrors()
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/core/{v1/defaults.go,validation/validation.go}.
 */
import { isIP } from "node:net";
import { type FieldError, duplicateValue, forbidden, invalidValue, notSupported } from "../schema/field-error.ts";
import { isEqual } from "../schema/read.ts";
import { containerErrors, isSidecarContainer } from "./container-rules.ts";
import type { Container, Pod, PodSpec } from "./pod.ts";
import { volumeErrors } from "./volume-rules.ts";

/** The spec with image pull policies, resource requests and the old name of the service account filled in. */
export function defaultPodSpec(spec: PodSpec): PodSpec {
  const serviceAccountName = spec.serviceAccountName ?? spec.serviceAccount;
  return {
    ...spec,
    ...(spec.containers === undefined ? {} : { containers: spec.containers.map(defaultContainer) }),
    ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(defaultContainer) }),
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
  const all = [...(spec.initContainers ?? []), ...spec.containers].map(({ resources }) => resources ?? {});
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
  const all: readonly (readonly [Container, string])[] = [
    ...spec.containers.map((container, at) => [container, `${path}.containers[${at}]`] as const),
    ...(spec.initContainers ?? []).map((container, at) => [container, `${path}.initContainers[${at}]`] as const),
  ];
  return [
    ...refusedFields(spec, path),
    ...all.flatMap(([container, at]) => containerErrors(container, spec, at)),
    ...(spec.initContainers ?? []).flatMap((container, at) =>
      initContainerErrors(container, spec, `${path}.initContainers[${at}]`),
    ),
    ...spec.containers.flatMap(({ restartPolicy }, at) =>
      restartPolicy === undefined
        ? []
        : [forbidden(`${path}.containers[${at}].restartPolicy`, "may not be set for non-init containers")],
    ),
    ...volumeErrors(spec, path),
    ...(spec.hostAliases ?? []).flatMap(({ ip }, at) =>
      isIP(ip) === 0
        ? [
            invalidValue(
              `${path}.hostAliases[${at}].ip`,
              ip,
              "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ),
          ]
        : [],
    ),
  ];
}

/** Fields without which a pod would be wrong, not only different, and that no kubelet here honours. */
function refusedFields(spec: PodSpec, path: string): FieldError[] {
  const {
    ephemeralContainers = [],
    hostNetwork,
    setHostnameAsFQDN,
  } = spec as {
    readonly ephemeralContainers?: readonly unknown[];
    readonly hostNetwork?: boolean;
    readonly setHostnameAsFQDN?: boolean;
  };
  return [
    ...(ephemeralContainers.length > 0
      ? [forbidden(`${path}.ephemeralContainers`, "ephemeral containers are not supported")]
      : []),
    ...(hostNetwork === true
      ? [forbidden(`${path}.hostNetwork`, "the network of the node is not supported: every pod has its own")]
      : []),
    ...(setHostnameAsFQDN === true
      ? [forbidden(`${path}.setHostnameAsFQDN`, "a fully qualified host name is not supported")]
      : []),
  ];
}

function initContainerErrors(container: Container, spec: PodSpec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { name, restartPolicy, lifecycle, livenessProbe, readinessProbe, startupProbe } = container;
  if (spec.containers.some((other) => other.name === name)) errors.push(duplicateValue(`${path}.name`, name));
  if (isSidecarContainer(container)) return errors;
  if (restartPolicy !== undefined) errors.push(notSupported(`${path}.restartPolicy`, restartPolicy, ["Always"]));
  const without = Object.entries({ lifecycle, livenessProbe, readinessProbe, startupProbe });
  for (const [field, value] of without) {
    if (value !== undefined)
      errors.push(forbidden(`${path}.${field}`, "may not be set for init containers without restartPolicy=Always"));
  }
  return errors;
}

const updateRule =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

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
  const { tolerations: _tolerations, containers, initContainers = [], ...rest } = spec;
  const { activeDeadlineSeconds: _deadline, ...fixed } = rest as Record<string, unknown>;
  // The pull policy's default follows the image, so it may move with it.
  const withoutImage = ({ image: _image, imagePullPolicy: _policy, ...container }: Container): unknown => container;
  return { ...fixed, containers: containers.map(withoutImage), initContainers: initContainers.map(withoutImage) };
}
