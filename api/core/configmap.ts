/** ConfigMap: configuration as keys and values. */
import type { KubeObject } from "../meta.ts";
import { duplicateValue, type FieldError, forbidden } from "../schema/field-error.ts";
import type { Kind } from "../schema/kind.ts";
import { isEqual } from "../schema/read.ts";
import { bool, map, object, string } from "../schema/schema.ts";

export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
  /** Base64. */
  readonly binaryData?: Readonly<Record<string, string>>;
  readonly immutable?: boolean;
}

export const configMaps: Kind<ConfigMap> = {
  group: "",
  version: "v1",
  kind: "ConfigMap",
  plural: "configmaps",
  singular: "configmap",
  shortNames: ["cm"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    data: map(string(), { keyFormat: "configKey" }),
    binaryData: map(string({ format: "base64" }), { keyFormat: "configKey" }),
    immutable: bool(),
  }),
  validate: (configMap) =>
    Object.keys(configMap.binaryData ?? {})
      .filter((key) => configMap.data !== undefined && Object.hasOwn(configMap.data, key))
      .map((key) => duplicateValue(`data[${key}]`, key)),
  validateUpdate: (next, previous) => immutableErrors(next, previous, ["data", "binaryData"]),
};

interface Immutable {
  readonly immutable?: boolean;
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}

/** What a ConfigMap or Secret that says `immutable` forbids to change. */
export function immutableErrors(
  next: Immutable,
  previous: Immutable,
  fields: readonly ("data" | "binaryData")[],
): FieldError[] {
  if (previous.immutable !== true) return [];
  const errors = fields
    .filter((field) => !isEqual(next[field] ?? {}, previous[field] ?? {}))
    .map((field) => forbidden(field, "field is immutable when `immutable` is set"));
  return next.immutable === true
    ? errors
    : [...errors, forbidden("immutable", "field is immutable when `immutable` is set")];
}
