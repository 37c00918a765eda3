/**
 * What `wherry apply` sends: the strategic merge patch that sets what a file says and deletes what only the file before
 * said. Pure.
 *
 *   last applied, wanted, Schema ─▶ planPatch() ─▶ application/strategic-merge-patch+json
 *
 * Items of lists are named by their merge key, so that what others added to them stays: volume mounts that admission
 * gives to containers, ports that were defaulted. Follows: k8s.io/apimachinery pkg/util/strategicpatch.
 */
import type { ListSchema, Schema } from "#api/schema/schema.ts";

type JSONObject = Record<string, unknown>;

/** `schema` says which lists have keys; a list that it does not know is sent as a whole. */
export function planPatch(schema: Schema | undefined, before: JSONObject, wanted: JSONObject): JSONObject {
  const patch: JSONObject = {};
  for (const [name, value] of Object.entries(wanted)) {
    const [field, former] = [fieldOf(schema, name), before[name]];
    if (isObject(value)) patch[name] = planPatch(field, isObject(former) ? former : {}, value);
    else if (Array.isArray(value))
      Object.assign(patch, planList(name, field, { before: listOf(former), wanted: value }));
    else patch[name] = value;
  }
  for (const name of Object.keys(before)) if (!Object.hasOwn(wanted, name)) patch[name] = null;
  return patch;
}

interface Lists {
  readonly before: readonly unknown[];
  readonly wanted: readonly unknown[];
}

function planList(name: string, schema: Schema | undefined, { before, wanted }: Lists): JSONObject {
  const list = schema?.type === "list" ? schema : undefined;
  const key = list?.patchMergeKey;
  if (key !== undefined && isKeyed(before, key) && isKeyed(wanted, key))
    return planItems(name, { ...list!, patchMergeKey: key }, { before, wanted });
  // Items that share a key cannot be told apart: the list becomes what the file says.
  if (key !== undefined) return { [name]: [...wanted, { $patch: "replace" }] };
  if (list?.patchStrategy !== "merge") return { [name]: wanted };
  const gone = before.filter((item) => !wanted.includes(item));
  return { [name]: wanted, ...(gone.length === 0 ? {} : { [`$deleteFromPrimitiveList/${name}`]: gone }) };
}

function planItems(
  name: string,
  { items, patchMergeKey: key }: ListSchema & { readonly patchMergeKey: string },
  lists: { readonly before: readonly JSONObject[]; readonly wanted: readonly JSONObject[] },
): JSONObject {
  const former = new Map(lists.before.map((item) => [item[key], item]));
  const wanted = new Set(lists.wanted.map((item) => item[key]));
  const merged = lists.wanted.map((item) => planPatch(items, former.get(item[key]) ?? {}, item));
  const gone = [...former.keys()].filter((id) => !wanted.has(id));
  return {
    [name]: [...merged, ...gone.map((id) => ({ [key]: id, $patch: "delete" }))],
    [`$setElementOrder/${name}`]: lists.wanted.map((item) => ({ [key]: item[key] })),
  };
}

/** Whether all items are objects, each with a key of its own. */
function isKeyed(items: readonly unknown[], key: string): items is readonly JSONObject[] {
  const ids = items.map((item) => (isObject(item) ? item[key] : undefined));
  return !ids.includes(undefined) && new Set(ids).size === ids.length;
}

function fieldOf(schema: Schema | undefined, name: string): Schema | undefined {
  if (schema?.type === "map") return schema.values;
  return schema?.type === "object" && Object.hasOwn(schema.fields, name) ? schema.fields[name] : undefined;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

function isObject(value: unknown): value is JSONObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
