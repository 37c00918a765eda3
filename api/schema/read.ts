/**
 * Reads an object that came from outside: checks its JSON types, fills in defaults, drops and reports unknown fields,
 * and validates it against its kind.
 *
 *   body ─▶ readObject() ─▶ { object, unknown, unsupported } ─▶ admission ─▶ validateObject(), validateUpdate()
 *
 * Pure. Reading comes before admission and validation after it, as in kube-apiserver: admission may still fill in
 * what is required.
 */
import { apiVersionOf } from "../kind.ts";
import type { KubeObject } from "../meta.ts";
import { StatusError } from "../status.ts";
import { type FieldError, forbidden, invalidValue, requiredError, tooLong } from "./field-error.ts";
import { formatError } from "./format.ts";
import { type Kind, wholeSchema } from "./kind.ts";
import { noFindings, walk } from "./walk.ts";

/** All annotations together, in bytes: k8s.io/apimachinery TotalAnnotationSizeLimitB. */
const annotationBytesMax = 256 * 1024;

export interface ReadResult {
  readonly object: KubeObject;
  /** Paths that the kind does not know; they are not in `object`. */
  readonly unknown: readonly string[];
  /** Paths that are kept and not honoured. */
  readonly unsupported: readonly string[];
}

/** The object in `value`, defaulted. Throws BadRequest when it is not an object of that kind. */
export function readObject(kind: Kind, value: unknown): ReadResult {
  checkType(kind, value);
  const findings = noFindings();
  const read = walk(wholeSchema(kind), value, "", findings) as KubeObject;
  if (findings.typeErrors.length > 0) {
    const wrong = findings.typeErrors.join("; ");
    throw new StatusError(
      "BadRequest",
      `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${wrong}`,
    );
  }
  const {
    managedFields: _managed,
    selfLink: _link,
    ...metadata
  } = (read.metadata ?? {}) as unknown as Record<string, unknown>;
  // A name may still be generated; validation complains when none is.
  const withMeta = { ...read, metadata: { ...metadata, name: read.metadata?.name ?? "" } };
  return {
    object: kind.default === undefined ? withMeta : kind.default(withMeta),
    unknown: findings.unknown,
    unsupported: findings.unsupported,
  };
}

/** What is wrong with a whole object. */
export function validateObject(kind: Kind, value: KubeObject): readonly FieldError[] {
  const findings = noFindings();
  walk(wholeSchema(kind), value, "", findings);
  const errors = [...metaErrors(kind, value), ...findings.errors];
  return errors.length > 0 ? errors : (kind.validate?.(value) ?? []);
}

/** What is wrong with replacing `previous` by `next`. */
export function validateUpdate(kind: Kind, next: KubeObject, previous: KubeObject): readonly FieldError[] {
  const errors: FieldError[] = (kind.immutable ?? [])
    .filter((path) => valueAt(previous, path) !== undefined && !isEqual(valueAt(next, path), valueAt(previous, path)))
    .map((path) => invalidValue(path.join("."), valueAt(next, path) ?? null, "field is immutable"));
  if (previous.metadata.deletionTimestamp !== undefined) {
    const added = (next.metadata.finalizers ?? []).filter(
      (name) => previous.metadata.finalizers?.includes(name) !== true,
    );
    if (added.length > 0)
      errors.push(
        forbidden(
          "metadata.finalizers",
          `no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
        ),
      );
  }
  return [...errors, ...(kind.validateUpdate?.(next, previous) ?? [])];
}

/** Whether two JSON values are equal; the order of keys does not matter, an absent key equals an undefined one. */
export function isEqual(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  if (Array.isArray(left) !== Array.isArray(right)) return false;
  const [a, b] = [left as Record<string, unknown>, right as Record<string, unknown>];
  for (const key of Object.keys(a)) if (!isEqual(a[key], b[key])) return false;
  return Object.keys(b).every((key) => b[key] === undefined || a[key] !== undefined);
}

function checkType(kind: Kind, value: unknown): asserts value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new StatusError(
      "BadRequest",
      `Cannot read ${kind.kind}: got ${JSON.stringify(value)?.slice(0, 60)}, wanted a JSON object`,
    );
  const { apiVersion, kind: name } = value as Record<string, unknown>;
  if (apiVersion !== apiVersionOf(kind) || name !== kind.kind)
    throw new StatusError(
      "BadRequest",
      `Cannot read ${kind.kind}: got apiVersion ${JSON.stringify(apiVersion)} and kind ${JSON.stringify(name)}, wanted ${apiVersionOf(kind)} and ${kind.kind}`,
    );
}

function metaErrors(kind: Kind, { metadata }: KubeObject): FieldError[] {
  const errors: FieldError[] = [];
  if (metadata.name === "") errors.push(requiredError("metadata.name", "name or generateName is required"));
  else {
    const error = formatError(kind.nameFormat, metadata.name);
    if (error !== undefined) errors.push(invalidValue("metadata.name", metadata.name, error));
  }
  let annotationBytes = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {}))
    annotationBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  if (annotationBytes > annotationBytesMax) errors.push(tooLong("metadata.annotations", annotationBytesMax, "bytes"));
  return errors;
}

function valueAt(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const name of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
