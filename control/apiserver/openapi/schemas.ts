/**
 * OpenAPI schemas of the served kinds, made from the schemas that the server itself reads by. Pure.
 *
 *   Kind ─▶ schemaName(), toOpenAPI() ─▶ components.schemas of documents.ts
 *
 * Follows: OpenAPI 3.0, with Kubernetes' extensions for lists and merge keys.
 */
import type { KindRef } from "#api/kind.ts";
import { type Kind, wholeSchema } from "#api/schema/kind.ts";
import type { ListSchema, ObjectSchema, Schema } from "#api/schema/schema.ts";

type Document = Readonly<Record<string, unknown>>;

/** `io.k8s.api.apps.v1.Deployment`: how Kubernetes names the schema of a kind. */
export function schemaName(kind: KindRef): string {
  if (kind.group === "") return `io.k8s.api.core.${kind.version}.${kind.kind}`;
  const isForeign = kind.group.split(".").length > 1 && !/^[a-z]+\.k8s\.io$/.test(kind.group);
  if (!isForeign) return `io.k8s.api.${kind.group.split(".", 1)[0]}.${kind.version}.${kind.kind}`;
  return `${kind.group.split(".").reverse().join(".")}.${kind.version}.${kind.kind}`;
}

/** The extension that says which kind a schema or an operation is about. */
export function groupVersionKind({ group, version, kind }: KindRef): Document {
  return { group, version, kind };
}

/** The schema of whole objects of a kind. */
export function kindSchema(kind: Kind): Document {
  return {
    ...toOpenAPI(wholeSchema(kind)),
    description: `${kind.kind} in group ${kind.group === "" ? "core" : kind.group}, as this cluster serves it.`,
    "x-kubernetes-group-version-kind": [groupVersionKind(kind)],
  };
}

/** One schema as OpenAPI has it. */
export function toOpenAPI(schema: Schema): Document {
  const shared = {
    ...(schema.default === undefined ? {} : { default: schema.default }),
    ...(schema.unsupported === true ? { description: "Accepted and kept, but not honoured by this cluster." } : {}),
  };
  switch (schema.type) {
    case "object":
      return { ...shared, ...objectSchema(schema) };
    case "map":
      return { ...shared, type: "object", additionalProperties: toOpenAPI(schema.values) };
    case "list":
      return { ...shared, ...listSchema(schema) };
    case "string":
      return { ...shared, type: "string", ...(schema.enum === undefined ? {} : { enum: schema.enum }) };
    case "int": {
      const { min, max } = schema;
      const bounds = { ...(min === undefined ? {} : { minimum: min }), ...(max === undefined ? {} : { maximum: max }) };
      return { ...shared, type: "integer", format: "int64", ...bounds };
    }
    case "number":
      return { ...shared, type: "number", format: "double" };
    case "bool":
      return { ...shared, type: "boolean" };
    case "time":
      return { ...shared, type: "string", format: "date-time" };
    case "intOrString":
      return { ...shared, "x-kubernetes-int-or-string": true, oneOf: [{ type: "integer" }, { type: "string" }] };
    case "quantity":
      return { ...shared, oneOf: [{ type: "string" }, { type: "number" }] };
    case "free":
      return { ...shared, "x-kubernetes-preserve-unknown-fields": true };
  }
}

function objectSchema({ fields }: ObjectSchema): Document {
  const required = Object.entries(fields)
    .filter(([, field]) => field.required === true)
    .map(([name]) => name);
  return {
    type: "object",
    properties: Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, toOpenAPI(field)])),
    ...(required.length === 0 ? {} : { required }),
  };
}

function listSchema({ items, keys, patchMergeKey, patchStrategy }: ListSchema): Document {
  const isMap = keys !== undefined && keys.length > 0;
  return {
    type: "array",
    items: toOpenAPI(items),
    ...(isMap ? { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys } : {}),
    ...(patchMergeKey === undefined ? {} : { "x-kubernetes-patch-merge-key": patchMergeKey }),
    ...(patchMergeKey !== undefined || patchStrategy === "merge" ? { "x-kubernetes-patch-strategy": "merge" } : {}),
  };
}
