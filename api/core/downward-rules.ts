/**
 * The fields of a pod that its containers can ask for (the downward API): which there are, and rules about them.
 *
 *   container-rules.ts, volume-rules.ts ─▶ …Errors()        kubelet/downward.ts reads their values
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/core/validation/validation.go.
 */
import { parseQuantity } from "../quantity.ts";
import { type FieldError, invalidValue, notSupported, requiredError } from "../schema/field-error.ts";
import type { ObjectFieldSelector, ResourceFieldSelector } from "./env.ts";

const envFields: readonly string[] = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];

const volumeFields: readonly string[] = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];

const resources: readonly string[] = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

/** Name and key of `metadata.labels['KEY']` and `metadata.annotations['KEY']`; undefined for another path. */
export function splitSubscript(
  path: string,
): { readonly map: "labels" | "annotations"; readonly key: string } | undefined {
  const found = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  return found === null ? undefined : { map: found[1] as "labels" | "annotations", key: found[2] ?? "" };
}

/** What is wrong with a field that an environment variable asks for. */
export function envFieldErrors({ fieldPath }: ObjectFieldSelector, path: string): FieldError[] {
  return fieldErrors(fieldPath, envFields, path);
}

/** What is wrong with a field that a file of a volume asks for. */
export function volumeFieldErrors({ fieldPath }: ObjectFieldSelector, path: string): FieldError[] {
  return fieldErrors(fieldPath, volumeFields, path);
}

function fieldErrors(fieldPath: string, known: readonly string[], path: string): FieldError[] {
  if (fieldPath === "") return [requiredError(`${path}.fieldPath`)];
  if (splitSubscript(fieldPath) !== undefined || known.includes(fieldPath)) return [];
  if (envFields.includes(fieldPath) || volumeFields.includes(fieldPath))
    return [notSupported(`${path}.fieldPath`, fieldPath, known)];
  const detail = `error converting fieldPath: field label not supported: ${fieldPath}`;
  return [invalidValue(`${path}.fieldPath`, fieldPath, detail)];
}

/** What is wrong with a request or limit that is asked for. */
export function resourceFieldErrors({ resource, divisor = "0" }: ResourceFieldSelector, path: string): FieldError[] {
  if (!resources.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource))
    return [notSupported(`${path}.resource`, resource, resources)];
  const divisors = resource.endsWith(".cpu") ? ["0", "1", "1m"] : memoryDivisors;
  // Zero stands for one.
  if (parseQuantity(divisor) === 0 || divisors.includes(divisor)) return [];
  const unit = resource.endsWith(".cpu") ? "1m and 1" : divisors.filter((text) => text !== "0").join(", ");
  return [invalidValue(`${path}.divisor`, divisor, `only divisor's values ${unit} are supported with the resource`)];
}

const memoryDivisors: readonly string[] = ["0", ..."1 1k 1M 1G 1T 1P 1E 1Ki 1Mi 1Gi 1Ti 1Pi 1Ei".split(" ")];
