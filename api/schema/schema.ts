/**
 * A small schema language: what the fields of an API object are, as plain values.
 *
 *   api/core/*.ts, … (describe) ─▶ Schema ─▶ walk.ts (defaults, validates, finds unknown fields)
 *
 * Invariant: a schema is data; it holds no functions, so it can also be printed, compared or published as OpenAPI.
 * Follows: the structural schemas of apiextensions v1, less what no kind here needs.
 */
import type { Format } from "./format.ts";

export type JSONValue = string | number | boolean | null | readonly JSONValue[] | { readonly [key: string]: JSONValue };

/** What every field may carry beside its type. */
export interface FieldOptions {
  /** Absent, "" and [] are errors. */
  readonly required?: boolean;
  /** Filled in when the field is absent. */
  readonly default?: JSONValue;
  /** How a strategic merge patch treats an object or a list: lists are replaced and objects merged unless this says otherwise. */
  readonly patchStrategy?: "merge" | "replace";
  /** Known to Kubernetes, accepted and kept, not honoured: its use is reported as a warning. */
  readonly unsupported?: boolean;
  /** The values of an otherwise unsupported field that are honoured after all. */
  readonly honoured?: readonly JSONValue[];
}

export interface StringSchema extends FieldOptions {
  readonly type: "string";
  readonly format?: Format;
  readonly enum?: readonly string[];
  /** Longest text, in characters. */
  readonly lengthMax?: number;
}

export interface IntSchema extends FieldOptions {
  readonly type: "int";
  /** Default: the range of int64 that JSON carries exactly. */
  readonly min?: number;
  readonly max?: number;
}

export interface PlainSchema extends FieldOptions {
  /** `intOrString` is a port number or name, or a number or percentage; `time` is RFC 3339; `free` is any JSON. */
  readonly type: "bool" | "number" | "intOrString" | "quantity" | "time" | "free";
}

export interface ListSchema extends FieldOptions {
  readonly type: "list";
  readonly items: Schema;
  /** Fields that together are unique among the items; an empty list: the items themselves are unique. */
  readonly keys?: readonly string[];
  readonly itemsMax?: number;
  /** The field by which a strategic merge patch finds the item to merge with. Implies the strategy `merge`. */
  readonly patchMergeKey?: string;
}

export interface MapSchema extends FieldOptions {
  readonly type: "map";
  readonly keyFormat?: Format;
  readonly values: Schema;
  /** Errors name the map, not the entry, as Kubernetes does for labels. */
  readonly flat?: boolean;
}

export interface ObjectSchema extends FieldOptions {
  readonly type: "object";
  readonly fields: Readonly<Record<string, Schema>>;
}

export type Schema = StringSchema | IntSchema | PlainSchema | ListSchema | MapSchema | ObjectSchema;

type Options<T extends Schema> = Partial<Omit<T, "type" | "items" | "values" | "fields">>;

/** A text. */
export function string(options: Options<StringSchema> = {}): StringSchema {
  return { type: "string", ...options };
}

/** One of the given texts. */
export function oneOf(values: readonly string[], options: Options<StringSchema> = {}): StringSchema {
  return { type: "string", enum: values, ...options };
}

/** A whole number. */
export function int(options: Options<IntSchema> = {}): IntSchema {
  return { type: "int", ...options };
}

/** A port number, 1 to 65535. */
export function port(options: Options<IntSchema> = {}): IntSchema {
  return { type: "int", min: 1, max: 65_535, ...options };
}

/** True or false. */
export function bool(options: FieldOptions = {}): PlainSchema {
  return { type: "bool", ...options };
}

/** A whole number or a text. */
export function intOrString(options: FieldOptions = {}): PlainSchema {
  return { type: "intOrString", ...options };
}

/** An amount such as `100m`, `2`, `64Mi`. */
export function quantity(options: FieldOptions = {}): PlainSchema {
  return { type: "quantity", ...options };
}

/** A moment, RFC 3339. */
export function time(options: FieldOptions = {}): PlainSchema {
  return { type: "time", ...options };
}

/** Any JSON, kept as it is. */
export function free(options: FieldOptions = {}): PlainSchema {
  return { type: "free", ...options };
}

/** Any JSON that Kubernetes knows here and Wherry does not honour. */
export function unsupported(): PlainSchema {
  return { type: "free", unsupported: true };
}

/** A list of `items`. */
export function list(items: Schema, options: Options<ListSchema> = {}): ListSchema {
  return { type: "list", items, ...options };
}

/** An object with keys of the user's choice. */
export function map(values: Schema, options: Options<MapSchema> = {}): MapSchema {
  return { type: "map", values, ...options };
}

/** An object with known fields. */
export function object(fields: Readonly<Record<string, Schema>>, options: FieldOptions = {}): ObjectSchema {
  return { type: "object", fields, ...options };
}

/** A reference to another object: core/v1 ObjectReference. */
export function objectReference(options: FieldOptions = {}): ObjectSchema {
  const fields = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
  return object(Object.fromEntries(fields.map((name) => [name, string()])), options);
}
