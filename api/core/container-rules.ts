/**
 * What the schema of a container cannot say: rules across its fields, and between it and its pod.
 *
 *   pod-rules.ts ─▶ containerErrors()
 *
 * Pure. Follows: k8s.io/kubernetes pkg/apis/core/validation/validation.go.
 */
import { type FieldError, duplicateValue, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import { envFieldErrors, resourceFieldErrors } from "./downward-rules.ts";
import type { EnvVar } from "./env.ts";
import type { Container, PodSpec } from "./pod.ts";
import type { LifecycleHandler, Probe } from "./probe.ts";

/** Whether an init container runs on beside the pod's containers. */
export function isSidecarContainer(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** What is wrong with one container of `spec`, which lies at `path`. */
export function containerErrors(container: Container, spec: PodSpec, path: string): FieldError[] {
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
  errors.push(...(container.env ?? []).flatMap((variable, at) => variableErrors(variable, `${path}.env[${at}]`)));
  errors.push(...probeErrors(container.livenessProbe, `${path}.livenessProbe`, "once"));
  errors.push(...probeErrors(container.readinessProbe, `${path}.readinessProbe`, "often"));
  errors.push(...probeErrors(container.startupProbe, `${path}.startupProbe`, "once"));
  const graceSeconds = spec.terminationGracePeriodSeconds ?? 30;
  const { postStart, preStop } = container.lifecycle ?? {};
  errors.push(...handlerErrors(postStart, `${path}.lifecycle.postStart`, graceSeconds));
  errors.push(...handlerErrors(preStop, `${path}.lifecycle.preStop`, graceSeconds));
  return errors;
}

function variableErrors({ value, valueFrom }: EnvVar, path: string): FieldError[] {
  if (valueFrom === undefined) return [];
  const at = `${path}.valueFrom`;
  if (value !== undefined && value !== "")
    return [invalidValue(at, "", "may not be specified when `value` is not empty")];
  const sources = Object.keys(valueFrom).length;
  if (sources === 0)
    return [
      invalidValue(at, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"),
    ];
  if (sources > 1) return [invalidValue(at, "", "may not have more than one field specified at a time")];
  return [
    ...(valueFrom.fieldRef === undefined ? [] : envFieldErrors(valueFrom.fieldRef, `${at}.fieldRef`)),
    ...(valueFrom.resourceFieldRef === undefined
      ? []
      : resourceFieldErrors(valueFrom.resourceFieldRef, `${at}.resourceFieldRef`)),
  ];
}

/** `once`: one success is enough, more cannot be asked for. */
function probeErrors(probe: Probe | undefined, path: string, successes: "once" | "often"): FieldError[] {
  if (probe === undefined) return [];
  const errors = oneHandler(Object.keys(probe), ["httpGet", "tcpSocket", "exec", "grpc"], path);
  const { successThreshold = 1, terminationGracePeriodSeconds } = probe;
  if (successes === "once" && successThreshold !== 1)
    errors.push(invalidValue(`${path}.successThreshold`, successThreshold, "must be 1"));
  if (successes === "often" && terminationGracePeriodSeconds !== undefined)
    errors.push(
      invalidValue(
        `${path}.terminationGracePeriodSeconds`,
        terminationGracePeriodSeconds,
        "must not be set for readinessProbes",
      ),
    );
  return errors;
}

function handlerErrors(handler: LifecycleHandler | undefined, path: string, graceSeconds: number): FieldError[] {
  if (handler === undefined) return [];
  const errors = oneHandler(Object.keys(handler), ["exec", "httpGet", "tcpSocket", "sleep"], path);
  // Deprecated in Kubernetes, where it always fails: refused, so that nobody waits for it.
  if (Object.hasOwn(handler, "tcpSocket"))
    errors.push(forbidden(`${path}.tcpSocket`, "is not supported as a lifecycle handler"));
  const seconds = handler.sleep?.seconds;
  if (seconds !== undefined && seconds > graceSeconds)
    errors.push(
      invalidValue(
        `${path}.sleep`,
        seconds,
        `must be non-negative and less than terminationGracePeriodSeconds (${graceSeconds})`,
      ),
    );
  return errors;
}

function oneHandler(present: readonly string[], known: readonly string[], path: string): FieldError[] {
  const handlers = known.filter((name) => present.includes(name));
  if (handlers.length === 0) return [requiredError(path, "must specify a handler type")];
  return handlers.slice(1).map((name) => forbidden(`${path}.${name}`, "may not specify more than 1 handler type"));
}
