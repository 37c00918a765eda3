/**
 * The one interpreter of schemas: takes what a client sent, gives it back with defaults, and says all that is wrong
 * with it.
 *
 *   JSON from outside ─▶ walk(schema) ─▶ { value (known fields, defaulted), typeErrors, errors, unknown, unsupported }
 *
 * Pure. The result shares no object with the input except under `free` fields. A null field counts as absent, as in
 * Go's JSON.
 * Invariant: walking a result again changes nothing and finds the same errors.
 */
import { parseQuantity } from "../quantity.ts";
import { duplicateValue, type FieldError, invalidValue, notSupported, requiredError, tooLong } from "./field-error.ts";
import { formatError } from "./format.ts";
import type { IntSchema, ListSchema, MapSchema, ObjectSchema, PlainSchema, Schema, StringSchema } from "./schema.ts";

/** More findings than this of one sort are dropped: the answer must stay readable, and bounded. */
const findingsMax = 50;

export interface Findings {
  /** Sentences: a field has the wrong JSON type, so that the object cannot be read at all (400). */
  readonly typeErrors: string[];
  readonly errors: FieldError[];
  /** Paths of fields that the schema does not know. They are dropped from the result. */
  readonly unknown: string[];
  /** Paths of fields that are kept and not honoured. */
  readonly unsupported: string[];
}

/** Nothing found yet. */
export function noFindings(): Findings {
  return { typeErrors: [], errors: [], unknown: [], unsupported: [] };
}

/** `value` as `schema` has it, with defaults. What is wrong with it is added to `findings`. */
export function walk(schema: Schema, value: unknown, path: string, findings: Findings): unknown {
  switch (schema.type) {
    case "object":
      return walkObject(schema, value, path, findings);
    case "map":
      return walkMap(schema, value, path, findings);
    case "list":
      return walkList(schema, value, path, findings);
    case "string":
      return walkString(schema, value, path, findings);
    case "int":
      return walkInt(schema, value, path, findings);
    case "bool":
    case "number":
    case "intOrString":
    case "quantity":
    case "time":
    case "free":
      return walkPlain(schema, value, path, findings);
  }
}

function walkObject(schema: ObjectSchema, value: unknown, path: string, findings: Findings): unknown {
  if (!isObject(value)) return wrongType("an object", value, path, findings);
  const result: Record<string, unknown> = {};
  for (const [name, child] of Object.entries(value)) {
    const field = Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
    const childPath = path === "" ? name : `${path}.${name}`;
    if (field === undefined) add(findings.unknown, childPath);
    else if (child !== null) {
      const isIgnored =
        field.unsupported === true && !isZero(child) && field.honoured?.some((value) => value === child) !== true;
      if (isIgnored) add(findings.unsupported, childPath);
      result[name] = walk(field, child, childPath, findings);
    }
  }
  fillIn(schema, result, path, findings);
  return result;
}

/** Defaults of absent fields, then complaints about absent fields that are required. */
function fillIn(schema: ObjectSchema, result: Record<string, unknown>, path: string, findings: Findings): void {
  for (const [name, field] of Object.entries(schema.fields)) {
    const childPath = path === "" ? name : `${path}.${name}`;
    if (result[name] === undefined && field.default !== undefined)
      result[name] = walk(field, structuredClone(field.default), childPath, findings);
    const child = result[name];
    if (
      field.required === true &&
      (child === undefined || child === "" || (Array.isArray(child) && child.length === 0))
    )
      add(findings.errors, requiredError(childPath));
  }
}

function walkMap(schema: MapSchema, value: unknown, path: string, findings: Findings): unknown {
  if (!isObject(value)) return wrongType("an object", value, path, findings);
  const entries = Object.entries(value)
    .filter(([, child]) => child !== null)
    .map(([key, child]) => {
      const childPath = schema.flat === true ? path : `${path}[${key}]`;
      const error = schema.keyFormat === undefined ? undefined : formatError(schema.keyFormat, key);
      if (error !== undefined) add(findings.errors, invalidValue(childPath, key, error));
      return [key, walk(schema.values, child, childPath, findings)] as const;
    });
  // fromEntries defines own properties, so that a key such as "__proto__" stays a key.
  return Object.fromEntries(entries);
}

function walkList(schema: ListSchema, value: unknown, path: string, findings: Findings): unknown {
  if (!Array.isArray(value)) return wrongType("a list", value, path, findings);
  if (schema.itemsMax !== undefined && value.length > schema.itemsMax)
    add(findings.errors, tooLong(path, schema.itemsMax, "items"));
  const result = value.map((item, index) => walk(schema.items, item, `${path}[${index}]`, findings));
  if (schema.keys !== undefined) findDuplicates(schema.keys, result, path, findings);
  return result;
}

function findDuplicates(keys: readonly string[], items: readonly unknown[], path: string, findings: Findings): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const identity = keys.length === 0 ? item : keys.map((key) => (isObject(item) ? (item[key] ?? null) : null));
    const text = JSON.stringify(identity) ?? "";
    const single = keys.length === 1 ? keys[0] : undefined;
    const itemPath = `${path}[${index}]${single === undefined ? "" : `.${single}`}`;
    const shown = single === undefined || !isObject(item) ? item : item[single];
    // An absent key is complained about as required, not as a duplicate.
    if (seen.has(text) && shown !== undefined) add(findings.errors, duplicateValue(itemPath, shown));
    seen.add(text);
  }
}

function walkString(schema: StringSchema, value: unknown, path: string, findings: Findings): unknown {
  if (typeof value !== "string") return wrongType("a string", value, path, findings);
  // An empty text is Kubernetes' absent text: only `required` objects to it.
  if (value === "") return value;
  if (schema.enum !== undefined && !schema.enum.includes(value))
    add(findings.errors, notSupported(path, value, schema.enum));
  if (schema.lengthMax !== undefined && value.length > schema.lengthMax)
    add(findings.errors, tooLong(path, schema.lengthMax, "characters"));
  const error = schema.format === undefined ? undefined : formatError(schema.format, value);
  if (error !== undefined) add(findings.errors, invalidValue(path, value, error));
  return value;
}

function walkInt(schema: IntSchema, value: unknown, path: string, findings: Findings): unknown {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) return wrongType("an integer", value, path, findings);
  const { min, max } = schema;
  if (min !== undefined && max !== undefined && (value < min || value > max))
    add(findings.errors, invalidValue(path, value, `must be between ${min} and ${max}, inclusive`));
  else if (min !== undefined && value < min)
    add(findings.errors, invalidValue(path, value, `must be greater than or equal to ${min}`));
  else if (max !== undefined && value > max)
    add(findings.errors, invalidValue(path, value, `must be less than or equal to ${max}`));
  return value;
}

function walkPlain(schema: PlainSchema, value: unknown, path: string, findings: Findings): unknown {
  switch (schema.type) {
    case "free":
      return value;
    case "bool":
      return typeof value === "boolean" ? value : wrongType("a boolean", value, path, findings);
    case "number":
      return typeof value === "number" ? value : wrongType("a number", value, path, findings);
    case "intOrString":
      return typeof value === "string" || Number.isSafeInteger(value)
        ? value
        : wrongType("an integer or a string", value, path, findings);
    case "time":
      if (typeof value !== "string" || !isTime(value))
        return wrongType("an RFC 3339 time such as 2026-01-31T12:00:00Z", value, path, findings);
      return value;
    case "quantity":
      // Kubernetes writes quantities as texts and reads numbers too.
      if (typeof value !== "string" && typeof value !== "number") return wrongType("a quantity", value, path, findings);
      if (parseQuantity(String(value)) === undefined)
        return wrongType("a quantity such as 100m, 2 or 64Mi", value, path, findings);
      return String(value);
  }
}

function wrongType(wanted: string, value: unknown, path: string, findings: Findings): undefined {
  const observed = value === null ? "null" : Array.isArray(value) ? "a list" : describe(value);
  add(findings.typeErrors, `${path === "" ? "the object" : path}: got ${observed}, wanted ${wanted}`);
  return undefined;
}

function describe(value: unknown): string {
  if (typeof value === "object") return "an object";
  if (typeof value === "string") return `the string ${JSON.stringify(value.slice(0, 60))}`;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : "nothing";
}

function add<T>(findings: T[], finding: T): void {
  if (findings.length < findingsMax) findings.push(finding);
}

/** Whether a field says nothing: such a value asks for no behaviour that could be missing. */
function isZero(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isObject(value)) return Object.keys(value).length === 0;
  return value === false || value === "" || value === 0;
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(text) && !Number.isNaN(Date.parse(text));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
