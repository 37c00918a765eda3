/**
 * OpenAPI v2 in protobuf: what kubectl before 1.27 validates by, and what any kubectl computes the patches of
 * `apply` by.
 *
 *   GET /openapi/v2 ─▶ openAPIV2() ─▶ bytes of openapi.v2.Document, with definitions and without paths
 *
 * Pure; made once, when first asked for. Field numbers are those of github.com/google/gnostic
 * openapiv2/OpenAPIv2.proto.
 */
import { kinds } from "#api/scheme.ts";
import { Writer } from "#api/xds/wire.ts";
import { kindSchema, schemaName } from "./schemas.ts";

/** The media type that clients ask for; JSON is not among what they take. */
export const openAPIV2Accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/** The media type of the answer: with a dot, because Go's parser refuses the @ that its clients send. */
export const openAPIV2Type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

type Document = Readonly<Record<string, unknown>>;

const bytesType = 2;

const documentFields = { swagger: 1, info: 2, paths: 8, definitions: 9 } as const;
const schemaFields = {
  format: 2,
  description: 4,
  required: 19,
  additionalProperties: 21,
  type: 22,
  items: 23,
  properties: 25,
  extension: 31,
} as const;

let made: Buffer | undefined;

/** The whole document. */
export function openAPIV2(): Buffer {
  made ??= makeDocument();
  return made;
}

function makeDocument(): Buffer {
  const info = message([1, text("Wherry")], [2, text("v1")]);
  const definitions = kinds.map((kind) => [1, named(schemaName(kind), encodeSchema(kindSchema(kind)))] as const);
  return message(
    [documentFields.swagger, text("2.0")],
    [documentFields.info, info],
    [documentFields.paths, message()],
    [documentFields.definitions, message(...definitions)],
  );
}

function encodeSchema(schema: Document): Buffer {
  const fields: (readonly [number, Buffer])[] = [];
  const { type, format, description, required, properties, items, additionalProperties } = schema;
  if (schema["x-kubernetes-int-or-string"] === true)
    return message([schemaFields.format, text("int-or-string")], [schemaFields.type, message([1, text("string")])]);
  if (typeof format === "string") fields.push([schemaFields.format, text(format)]);
  if (typeof description === "string") fields.push([schemaFields.description, text(description)]);
  if (Array.isArray(required))
    for (const name of required as string[]) fields.push([schemaFields.required, text(name)]);
  // A map's values: AdditionalPropertiesItem.schema=1. A list's items: ItemsItem.schema=1.
  if (additionalProperties !== undefined)
    fields.push([schemaFields.additionalProperties, message([1, encodeSchema(additionalProperties as Document)])]);
  if (typeof type === "string") fields.push([schemaFields.type, message([1, text(type)])]);
  if (items !== undefined) fields.push([schemaFields.items, message([1, encodeSchema(items as Document)])]);
  if (properties !== undefined) fields.push([schemaFields.properties, encodeProperties(properties as Document)]);
  for (const [name, value] of Object.entries(schema))
    if (name.startsWith("x-kubernetes-")) fields.push([schemaFields.extension, encodeExtension(name, value)]);
  return message(...fields);
}

function encodeProperties(properties: Document): Buffer {
  const entries = Object.entries(properties).map(
    ([name, schema]) => [1, named(name, encodeSchema(schema as Document))] as const,
  );
  return message(...entries);
}

/** NamedAny: name=1, value=2 (Any: yaml=2). JSON is YAML. */
function encodeExtension(name: string, value: unknown): Buffer {
  return named(name, message([2, text(JSON.stringify(value))]));
}

/** NamedSchema, NamedAny: name=1, value=2. */
function named(name: string, value: Buffer): Buffer {
  return message([1, text(name)], [2, value]);
}

function text(value: string): Buffer {
  return Buffer.from(value);
}

function message(...fields: readonly (readonly [number, Buffer])[]): Buffer {
  const writer = new Writer();
  for (const [id, value] of fields) {
    writer.tag(id, bytesType);
    writer.bytes(value);
  }
  return writer.finish();
}
