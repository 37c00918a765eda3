/**
 * What the schema of a pod's volumes cannot say: one source each, of a kind that nodes here can mount, names where they
 * are needed, paths that stay inside.
 *
 *   pod-rules.ts ─▶ volumeErrors()
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/core/validation/validation.go.
 */
import { type FieldError, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import { resourceFieldErrors, volumeFieldErrors } from "./downward-rules.ts";
import type { DownwardAPIFile, KeyToPath, PodSpec, Volume, VolumeProjection } from "./pod.ts";

/** The sources that a node here can mount. A pod with another one would wait for ever: it is refused instead. */
const mountable: readonly string[] = ["emptyDir", "configMap", "secret", "downwardAPI", "projected"];
const projectable: readonly string[] = ["configMap", "secret", "downwardAPI", "serviceAccountToken"];

function unmountable(names: readonly string[], known: readonly string[], at: string): FieldError[] {
  const wanted = `${known.slice(0, -1).join(", ")} or ${known.at(-1)}`;
  return names
    .filter((name) => !known.includes(name))
    .map((name) => forbidden(`${at}.${name}`, `this volume type is not supported: wanted ${wanted}`));
}

/** What is wrong with the volumes of `spec`, which lies at `path`. */
export function volumeErrors(spec: PodSpec, path: string): FieldError[] {
  return (spec.volumes ?? []).flatMap((volume, index) => {
    const sources = Object.keys(volume).filter((name) => name !== "name");
    const at = `${path}.volumes[${index}]`;
    if (sources.length === 0) return [requiredError(at, "must specify a volume type")];
    return [
      ...unmountable(sources, mountable, at),
      ...sources.slice(1).map((name) => forbidden(`${at}.${name}`, "may not specify more than 1 volume type")),
      ...sourceErrors(volume, at),
    ];
  });
}

function sourceErrors({ configMap, secret, downwardAPI, projected }: Volume, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (configMap !== undefined) {
    if (!configMap.name) errors.push(requiredError(`${at}.configMap.name`));
    errors.push(...itemErrors(configMap.items, `${at}.configMap`));
  }
  if (secret !== undefined) {
    if (!secret.secretName) errors.push(requiredError(`${at}.secret.secretName`));
    errors.push(...itemErrors(secret.items, `${at}.secret`));
  }
  errors.push(...downwardErrors(downwardAPI?.items, `${at}.downwardAPI`));
  for (const [index, source] of (projected?.sources ?? []).entries())
    errors.push(...projectionErrors(source, `${at}.projected.sources[${index}]`));
  return errors;
}

function projectionErrors(source: VolumeProjection, at: string): FieldError[] {
  const names = Object.keys(source);
  const errors = names
    .slice(1)
    .map((name) => forbidden(`${at}.${name}`, "may not specify more than 1 volume type per source"));
  if (names.length === 0) return [requiredError(at, "must specify a volume type")];
  errors.push(...unmountable(names, projectable, at));
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap !== undefined && !configMap.name) errors.push(requiredError(`${at}.configMap.name`));
  if (secret !== undefined && !secret.name) errors.push(requiredError(`${at}.secret.name`));
  errors.push(...itemErrors(configMap?.items, `${at}.configMap`), ...itemErrors(secret?.items, `${at}.secret`));
  errors.push(...downwardErrors(downwardAPI?.items, `${at}.downwardAPI`));
  if (serviceAccountToken !== undefined)
    errors.push(...pathErrors(serviceAccountToken.path, `${at}.serviceAccountToken.path`));
  return errors;
}

function itemErrors(items: readonly KeyToPath[] | undefined, at: string): FieldError[] {
  return (items ?? []).flatMap(({ path }, index) => pathErrors(path, `${at}.items[${index}].path`));
}

function downwardErrors(items: readonly DownwardAPIFile[] | undefined, at: string): FieldError[] {
  return (items ?? []).flatMap(({ path, fieldRef, resourceFieldRef }, index) => {
    const item = `${at}.items[${index}]`;
    const errors = pathErrors(path, `${item}.path`);
    if (fieldRef !== undefined && resourceFieldRef !== undefined)
      errors.push(invalidValue(item, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"));
    else if (fieldRef !== undefined) errors.push(...volumeFieldErrors(fieldRef, `${item}.fieldRef`));
    else if (resourceFieldRef === undefined)
      errors.push(requiredError(item, "one of fieldRef and resourceFieldRef is required"));
    else {
      if (!resourceFieldRef.containerName) errors.push(requiredError(`${item}.resourceFieldRef.containerName`));
      errors.push(...resourceFieldErrors(resourceFieldRef, `${item}.resourceFieldRef`));
    }
    return errors;
  });
}

/** A path that stays inside its volume and does not meet the names that atomic updates use. */
function pathErrors(path: string, at: string): FieldError[] {
  if (path === "") return [requiredError(at)];
  if (path.startsWith("/")) return [invalidValue(at, path, "must be a relative path")];
  if (path.split("/").includes("..")) return [invalidValue(at, path, "must not contain '..'")];
  return path.startsWith("..") ? [invalidValue(at, path, "must not start with '..'")] : [];
}
