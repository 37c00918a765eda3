/**
 * Field errors in Kubernetes' grammar: `spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535`.
 *
 *   walk.ts, kinds' validate() ─▶ FieldError[] ─▶ invalidError() ─▶ Status 422 with one cause a field
 *
 * Follows: k8s.io/apimachinery util/validation/field and api/errors NewInvalid.
 */
import type { KindRef } from "../kind.ts";
import { StatusError, type StatusCause } from "../status.ts";

export interface FieldError {
  readonly reason: StatusCause["reason"];
  /** `spec.containers[0].image` */
  readonly path: string;
  /** What follows the path and the colon. */
  readonly message: string;
}

/** The field must be there. */
export function requiredError(path: string, detail = ""): FieldError {
  return {
    reason: "FieldValueRequired",
    path,
    message: detail === "" ? "Required value" : `Required value: ${detail}`,
  };
}

/** The field has a value that it may not have. */
export function invalidValue(path: string, value: unknown, detail: string): FieldError {
  return { reason: "FieldValueInvalid", path, message: `Invalid value: ${show(value)}: ${detail}` };
}

/** The field's value is not one of the known ones. */
export function notSupported(path: string, value: unknown, supported: readonly string[]): FieldError {
  const values = [...supported].sort().map(show).join(", ");
  return {
    reason: "FieldValueNotSupported",
    path,
    message: `Unsupported value: ${show(value)}: supported values: ${values}`,
  };
}

/** The value is there twice where it must be unique. */
export function duplicateValue(path: string, value: unknown): FieldError {
  return { reason: "FieldValueDuplicate", path, message: `Duplicate value: ${show(value)}` };
}

/** The field may not be set, or not be changed. */
export function forbidden(path: string, detail: string): FieldError {
  return { reason: "FieldValueForbidden", path, message: `Forbidden: ${detail}` };
}

/** The value has too many characters, bytes or items. */
export function tooLong(path: string, max: number, unit: "bytes" | "characters" | "items"): FieldError {
  return { reason: "FieldValueTooLong", path, message: `Too long: may not be more than ${max} ${unit}` };
}

/** `deployments.apps`, or `pods`: how messages name a resource. */
export function formatResource(kind: KindRef): string {
  return kind.group === "" ? kind.plural : `${kind.plural}.${kind.group}`;
}

/** The 422 answer for an object with errors. */
export function invalidError(kind: KindRef, name: string, errors: readonly FieldError[]): StatusError {
  const subject = kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
  const texts = [...new Set(errors.map((error) => `${error.path}: ${error.message}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new StatusError("Invalid", `${subject} ${JSON.stringify(name)} is invalid: ${list}`, {
    name,
    group: kind.group,
    kind: kind.kind,
    causes: errors.map(({ reason, path, message }) => ({ reason, field: path, message })),
  });
}

/** A value as messages show it: JSON, cut where it gets long. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
}
