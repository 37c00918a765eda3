/**
 * Where objects are in the store: `/registry/<group>/<plural>/<namespace>/<name>`, without the namespace for
 * cluster-scoped kinds. The core group is written `core`. The version is not in the key: an object is stored once,
 * whatever version it was sent in.
 */
import type { KindRef } from "#api/kind.ts";
import type { ObjectKey } from "#api/meta.ts";

/** What every key starts with. */
export const keyPrefix = "/registry/";

/** The key of one object. */
export function storeKey(kind: KindRef, key: ObjectKey): string {
  const scope = kind.namespaced ? `${key.namespace ?? ""}/` : "";
  return `${keyPrefix}${resourceOf(kind)}/${scope}${key.name}`;
}

/** `apps/deployments`, `core/pods`: the part of the key that names the kind. */
export function resourceOf(kind: KindRef): string {
  return `${kind.group === "" ? "core" : kind.group}/${kind.plural}`;
}

/** The inverse of `storeKey`: which kind's, and which object; undefined for a key of another form. */
export function parseStoreKey(key: string): { readonly resource: string; readonly key: ObjectKey } | undefined {
  if (!key.startsWith(keyPrefix)) return undefined;
  const [group, plural, first, second, ...rest] = key.slice(keyPrefix.length).split("/");
  if (group === undefined || plural === undefined || first === undefined || rest.length > 0) return undefined;
  const resource = `${group}/${plural}`;
  return { resource, key: second === undefined ? { name: first } : { namespace: first, name: second } };
}
