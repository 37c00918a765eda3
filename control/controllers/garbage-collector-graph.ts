/**
 * Who depends on whom, by uid: the garbage collector's picture of all ownerReferences.
 *
 *   informers ─ put(), remove() ─▶ OwnerGraph ─▶ dependentsOf(uid), itemOf(uid) ─▶ garbage-collector.ts
 *
 * It only says whom to look at: what is deleted is decided by what the API server says at that moment. It holds an
 * entry an object and one an ownerReference.
 */
import type { KindRef } from "#api/kind.ts";
import {
  foregroundFinalizer,
  orphanFinalizer,
  formatKey,
  type KubeObject,
  keyOf,
  type ObjectKey,
  parseKey,
} from "#api/meta.ts";

/** An object of a kind as one word of a work queue: `apps/replicasets default/web`. */
export function formatItem(kind: KindRef, key: ObjectKey): string {
  return `${kind.group}/${kind.plural} ${formatKey(key)}`;
}

/** The inverse of `formatItem`, as far as text goes. */
export function parseItem(item: string): { readonly resource: string; readonly key: ObjectKey } {
  const blank = item.indexOf(" ");
  return { resource: item.slice(0, blank), key: parseKey(item.slice(blank + 1)) };
}

/** Whether `object` goes when its dependents have gone. */
export function isForeground({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(foregroundFinalizer) === true;
}

/** Whether `object` goes when its dependents have forgotten it. */
export function isOrphaning({ metadata }: KubeObject): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(orphanFinalizer) === true;
}

/** The uids of all owners of `object`. */
export function ownerUids({ metadata }: KubeObject): string[] {
  return (metadata.ownerReferences ?? []).map(({ uid }) => uid);
}

export class OwnerGraph {
  readonly #items = new Map<string, string>();
  readonly #dependents = new Map<string, Set<string>>();

  /** Takes in an object, or its new form in place of `before`. */
  put(kind: KindRef, object: KubeObject, before?: KubeObject): void {
    const item = formatItem(kind, keyOf(object));
    const { uid } = object.metadata;
    if (uid !== undefined) this.#items.set(uid, item);
    const owners = new Set(ownerUids(object));
    for (const owner of before === undefined ? [] : ownerUids(before))
      if (!owners.has(owner)) this.#disown(owner, item);
    for (const owner of owners) {
      const known = this.#dependents.get(owner);
      if (known === undefined) this.#dependents.set(owner, new Set([item]));
      else known.add(item);
    }
  }

  /** Forgets an object; what depends on it stays known. */
  remove(kind: KindRef, object: KubeObject): void {
    const item = formatItem(kind, keyOf(object));
    this.#items.delete(object.metadata.uid ?? "");
    for (const owner of ownerUids(object)) this.#disown(owner, item);
  }

  /** The items of what has an ownerReference to this uid. */
  dependentsOf(uid: string | undefined): readonly string[] {
    return [...(this.#dependents.get(uid ?? "") ?? [])];
  }

  /** The item of the object with this uid; undefined when no cache has it. */
  itemOf(uid: string): string | undefined {
    return this.#items.get(uid);
  }

  #disown(owner: string, item: string): void {
    const known = this.#dependents.get(owner);
    known?.delete(item);
    if (known?.size === 0) this.#dependents.delete(owner);
  }
}
