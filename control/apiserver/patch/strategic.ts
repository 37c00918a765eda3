/**
 * Strategic merge patch: a merge patch that knows lists. Items of lists are merged by the key that the schema declares.
 *
 *   PATCH application/strategic-merge-patch+json ─▶ strategicMerge(schema, target, patch) ─▶ patched value
 *
 * Directives: `$patch` (delete, replace, merge), `$retainKeys`, `$deleteFromPrimitiveList/<list>`,
 * `$setElementOrder/<list>`. Pure; the result may share parts with both arguments and changes neither.
 * Follows: k8s.io/apimachinery pkg/util/strategicpatch.
 */
import type { ListSchema, Schema } from "#api/schema/schema.ts";
import { StatusError } from "#api/status.ts";
import { mergeItems, orderItems, union } from "./strategic-list.ts";

type JSONObject = Record<string, unknown>;

const deletePrefix = "$deleteFromPrimitiveList/";
const orderPrefix = "$setElementOrder/";

/** `target` with `patch` merged into it as `schema` says. Throws BadRequest for directives that make no sense. */
export function strategicMerge(schema: Schema | undefined, target: unknown, patch: JSONObject): unknown {
  const directive = patch["$patch"];
  if (directive === "delete") return {};
  if (directive === "replace") return withoutDirectives(patch);
  if (directive !== undefined && directive !== "merge")
    throw badPatch(`got $patch ${JSON.stringify(directive)}, wanted delete, replace or merge`);
  // A Map and fromEntries, so that a key such as "__proto__" stays a key.
  const result = new Map(Object.entries(isObject(target) ? target : {}));
  retainKeys(result, patch);
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith("$")) continue;
    if (value === null) result.delete(name);
    else result.set(name, mergeField(fieldOf(schema, name), result.get(name), value));
  }
  for (const [name, value] of Object.entries(patch)) applyListDirective(schema, result, name, value);
  return Object.fromEntries(result);
}

function mergeField(schema: Schema | undefined, current: unknown, value: unknown): unknown {
  if (isObject(value)) {
    if (schema?.patchStrategy === "replace") return withoutDirectives(value);
    return strategicMerge(schema, current, value);
  }
  if (!Array.isArray(value)) return value;
  const list = schema?.type === "list" ? schema : undefined;
  if (list?.patchMergeKey !== undefined)
    return mergeItems(listOf(current), value, {
      key: list.patchMergeKey,
      merge: (item, patch) => strategicMerge(list.items, item, patch),
    });
  return list?.patchStrategy === "merge" ? union(listOf(current), value) : withoutDirectives(value);
}

/** `$retainKeys`: of the current fields only these stay. */
function retainKeys(result: Map<string, unknown>, patch: JSONObject): void {
  const kept = patch["$retainKeys"];
  if (kept === undefined) return;
  if (!Array.isArray(kept)) throw badPatch("$retainKeys: wanted a list of names");
  for (const name of Object.keys(patch))
    if (!name.startsWith("$") && !kept.includes(name))
      throw badPatch(`$retainKeys: the patch sets ${JSON.stringify(name)}, which is not among them`);
  for (const name of result.keys()) if (!kept.includes(name)) result.delete(name);
}

function applyListDirective(
  schema: Schema | undefined,
  result: Map<string, unknown>,
  directive: string,
  value: unknown,
): void {
  const prefix = [deletePrefix, orderPrefix].find((prefix) => directive.startsWith(prefix));
  if (prefix === undefined) return;
  if (!Array.isArray(value)) throw badPatch(`${directive}: wanted a list`);
  const name = directive.slice(prefix.length);
  const current = result.get(name);
  if (!Array.isArray(current)) return;
  if (prefix === deletePrefix)
    result.set(
      name,
      current.filter((item) => !value.includes(item)),
    );
  else result.set(name, orderItems(current, value, mergeKeyOf(fieldOf(schema, name))));
}

function mergeKeyOf(schema: Schema | undefined): string | undefined {
  return schema?.type === "list" ? (schema satisfies ListSchema).patchMergeKey : undefined;
}

function fieldOf(schema: Schema | undefined, name: string): Schema | undefined {
  if (schema?.type === "map") return schema.values;
  return schema?.type === "object" && Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
}

/** A new part of the object: its directives are obeyed by having nothing to act upon. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value))
    return value
      .filter((item) => !isObject(item) || item["$patch"] === undefined)
      .map((item) => withoutDirectives(item));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, child]) => !name.startsWith("$") && child !== null)
      .map(([name, child]) => [name, withoutDirectives(child)]),
  );
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function badPatch(why: string): StatusError {
  return new StatusError("BadRequest", `Cannot apply the strategic merge patch: ${why}`);
}

function isObject(value: unknown): value is JSONObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
