/** GET of one object, from the cache at its newest revision. */
import type { KubeObject, ObjectKey } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { mustGet, type Registry } from "../registry.ts";

/** The object, or 404. */
export function get(registry: Registry, kind: Kind, key: ObjectKey): KubeObject {
  return mustGet(registry, kind, key);
}
