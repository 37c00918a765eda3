/**
 * Which objects a controller owns, by the owner's uid; and whether the cache has seen one's own writes.
 *
 * A cache that lags by a moment must not make a controller create what it has just created. So each owner's last
 * written revision is remembered, and its objects count only once the cache has reached it.
 */
import type { Informer } from "#api/client/informer.ts";
import { type KubeObject, controllerOf, formatKey, keyOf } from "#api/meta.ts";

export class OwnedIndex<T extends KubeObject> {
  readonly #informer: Informer<T>;
  readonly #byOwner = new Map<string, Set<string>>();
  readonly #written = new Map<string, number>();

  /** `changed` is called with the owner's namespace and name when something it owns changed. */
  constructor(informer: Informer<T>, ownerKind: string, changed: (ownerKey: string) => void) {
    this.#informer = informer;
    const owner = (object: T): { uid: string; key: string } | undefined => {
      const reference = controllerOf(object);
      if (reference?.kind !== ownerKind) return undefined;
      return { uid: reference.uid, key: formatKey({ ...keyOf(object), name: reference.name }) };
    };
    const put = (object: T): void => {
      const found = owner(object);
      if (found === undefined) return;
      const keys = this.#byOwner.get(found.uid) ?? new Set();
      keys.add(formatKey(keyOf(object)));
      this.#byOwner.set(found.uid, keys);
      changed(found.key);
    };
    informer.addHandler({
      added: put,
      updated: put,
      deleted: (object) => {
        const found = owner(object);
        if (found === undefined) return;
        const keys = this.#byOwner.get(found.uid);
        keys?.delete(formatKey(keyOf(object)));
        if (keys?.size === 0) this.#byOwner.delete(found.uid);
        changed(found.key);
      },
    });
  }

  /** What `owner` controls, as the cache has it. */
  of(owner: KubeObject): T[] {
    const keys = this.#byOwner.get(owner.metadata.uid ?? "") ?? [];
    const objects = [...keys].map((key) => {
      const slash = key.indexOf("/");
      return this.#informer.get({ namespace: key.slice(0, slash), name: key.slice(slash + 1) });
    });
    return objects.filter((object) => object !== undefined);
  }

  /** Remembers a write, by what the API server answered. */
  wrote(owner: KubeObject, answer: KubeObject): void {
    const uid = owner.metadata.uid ?? "";
    this.#written.set(uid, Math.max(this.#written.get(uid) ?? 0, Number(answer.metadata.resourceVersion ?? 0)));
  }

  /** Whether the cache shows everything written for `owner`. */
  isCurrent(owner: KubeObject): boolean {
    const uid = owner.metadata.uid ?? "";
    const written = this.#written.get(uid);
    if (written === undefined) return true;
    if (this.#informer.revision < written) return false;
    this.#written.delete(uid);
    return true;
  }
}

/** How long to wait before looking at the cache again, in ms. */
export const lagMs = 5;
