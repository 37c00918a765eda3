/**
 * Lists in a strategic merge patch: merged by key, united, brought into order. Pure.
 *
 *   strategic.ts ─▶ mergeItems(), union(), orderItems()
 */
import { StatusError } from "#api/status.ts";

export interface ItemMerge {
  /** The field that identifies an item: `name`. */
  readonly key: string;
  readonly merge: (item: unknown, patch: Record<string, unknown>) => unknown;
}

/** `current` with each item of `patch` merged into the item of the same key, or appended. */
export function mergeItems(
  current: readonly unknown[],
  patch: readonly unknown[],
  { key, merge }: ItemMerge,
): unknown[] {
  const patches = patch.map(asObject);
  // One item that says `$patch: replace` replaces the whole list by the others, as they are.
  if (patches.some((item) => item["$patch"] === "replace"))
    return patches
      .filter((item) => item[key] !== undefined && item["$patch"] !== "delete")
      .map((item) => merge({}, item["$patch"] === "replace" ? { ...item, $patch: "merge" } : item));
  const result = [...current];
  for (const item of patches) {
    const id = item[key];
    if (id === undefined || id === null)
      throw new StatusError(
        "BadRequest",
        `Cannot apply the strategic merge patch: an item of a list has no ${key}, by which items are merged`,
      );
    const at = result.findIndex((candidate) => keyOf(candidate, key) === id);
    if (item["$patch"] === "delete") {
      if (at >= 0) result.splice(at, 1);
    } else if (at >= 0) result[at] = merge(result[at], item);
    else result.push(merge({}, item));
  }
  return result;
}

/** The values of both, each once. */
export function union(current: readonly unknown[], added: readonly unknown[]): unknown[] {
  return [...new Set([...current, ...added])];
}

/**
 * `$setElementOrder`: the items that it names come in its order; the others stay where they were between them.
 * Without a merge key items are compared themselves.
 */
export function orderItems(items: readonly unknown[], order: readonly unknown[], key: string | undefined): unknown[] {
  const idOf = (item: unknown): unknown => (key === undefined ? item : keyOf(item, key));
  const rank = new Map(order.map((item, index) => [idOf(item), index]));
  const named = items.filter((item) => rank.has(idOf(item)));
  const sorted = [...named].sort((left, right) => (rank.get(idOf(left)) ?? 0) - (rank.get(idOf(right)) ?? 0));
  const others = items.filter((item) => !rank.has(idOf(item)));
  const position = new Map(items.map((item, index) => [item, index]));
  const result: unknown[] = [];
  for (const item of sorted) {
    while (others.length > 0 && (position.get(others[0]) ?? 0) < (position.get(item) ?? 0)) result.push(others.shift());
    result.push(item);
  }
  return [...result, ...others];
}

function asObject(item: unknown): Record<string, unknown> {
  if (typeof item === "object" && item !== null && !Array.isArray(item)) return item as Record<string, unknown>;
  throw new StatusError(
    "BadRequest",
    "Cannot apply the strategic merge patch: an item of a list that is merged by key is not an object",
  );
}

function keyOf(item: unknown, key: string): unknown {
  return typeof item === "object" && item !== null ? (item as Record<string, unknown>)[key] : undefined;
}
