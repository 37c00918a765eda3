/**
 * Which objects a controller owns, by the owner's uid, and which nobody controls; and whether the cache has seen
 * one's own writes.
 *
 * A cache that lags by a moment must not make a controller create what it has just created. So each owner's last
 * written revision is remembered, and its objects count only once the cache has reached it.
 */
import type { Informer } from "#api/client/informer.ts";
import { type KubeObject, controllerOf, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";

export interface OwnedIndexOptions<T extends KubeObject> {
  readonly informer: Informer<T>;
  readonly ownerKind: string;
  /** Called with the owner's namespace and name when something it owns changed. */
  readonly changed: (ownerKey: string) => void;
  /** Called with an object without controller that is new, or that has other labels than before. */
  readonly orphaned?: (object: T) => void;
}

/** Owners whose last write is remembered before those that the cache has seen are dropped. */
const writtenMax = 1000;

/** The last revision written for each owner, against the revision that a cache has reached. */
export class WriteFence {
  readonly #cache: { readonly revision: number };
  readonly #written = new Map<string, number>();

  constructor(cache: { readonly revision: number }) {
    this.#cache = cache;
  }

  wrote(owner: KubeObject, answer: KubeObject): void {
    const uid = owner.metadata.uid ?? "";
    this.#written.set(uid, Math.max(this.#written.get(uid) ?? 0, Number(answer.metadata.resourceVersion ?? 0)));
    if (this.#written.size <= writtenMax) return;
    for (const [other, revision] of this.#written) if (revision <= this.#cache.revision) this.#written.delete(other);
  }

  isCurrent(owner: KubeObject): boolean {
    const uid = owner.metadata.uid ?? "";
    const written = this.#written.get(uid);
    if (written === undefined) return true;
    if (this.#cache.revision < written) return false;
    this.#written.delete(uid);
    return true;
  }
}

export class OwnedIndex<T extends KubeObject> {
  readonly #options: OwnedIndexOptions<T>;
  readonly #byOwner = new Map<string, Set<string>>();
  readonly #orphans = new Map<string, Set<string>>();
  readonly #writes: WriteFence;

  constructor(options: OwnedIndexOptions<T>) {
    this.#writes = new WriteFence(options.informer);
    this.#options = options;
    options.informer.addHandler({
      added: (object) => {
        this.#put(object);
        this.#tell(object, undefined);
      },
      updated: (object, before) => {
        this.#drop(before);
        this.#put(object);
        this.#tell(object, before);
      },
      deleted: (object) => {
        this.#drop(object);
        const owner = this.#ownerOf(object);
        if (owner !== undefined) options.changed(owner.key);
      },
    });
  }

  /** What `owner` controls, as the cache has it. */
  of(owner: KubeObject): T[] {
    return this.#resolve(this.#byOwner.get(owner.metadata.uid ?? ""));
  }

  /** What nobody controls in a namespace. */
  orphans(namespace: string | undefined): T[] {
    return this.#resolve(this.#orphans.get(namespace ?? ""));
  }

  /** Remembers a write, by what the API server answered. */
  wrote(owner: KubeObject, answer: KubeObject): void {
    this.#writes.wrote(owner, answer);
  }

  /** Whether the cache shows everything written for `owner`. */
  isCurrent(owner: KubeObject): boolean {
    return this.#writes.isCurrent(owner);
  }

  /** The former owner hears of it, too: it has one object fewer. */
  #tell(object: T, before: T | undefined): void {
    const [owner, former] = [this.#ownerOf(object), before === undefined ? undefined : this.#ownerOf(before)];
    if (owner !== undefined) this.#options.changed(owner.key);
    if (former !== undefined && former.uid !== owner?.uid) this.#options.changed(former.key);
    if (controllerOf(object) !== undefined) return;
    const isNews = before === undefined || controllerOf(before) !== undefined;
    if (isNews || !isEqual(object.metadata.labels, before.metadata.labels)) this.#options.orphaned?.(object);
  }

  #put(object: T): void {
    const place = this.#placeOf(object);
    if (place === undefined) return;
    const keys = place.index.get(place.key) ?? new Set();
    keys.add(formatKey(keyOf(object)));
    place.index.set(place.key, keys);
  }

  #drop(object: T): void {
    const place = this.#placeOf(object);
    if (place === undefined) return;
    const keys = place.index.get(place.key);
    keys?.delete(formatKey(keyOf(object)));
    if (keys?.size === 0) place.index.delete(place.key);
  }

  #placeOf(object: T): { readonly index: Map<string, Set<string>>; readonly key: string } | undefined {
    if (controllerOf(object) === undefined) return { index: this.#orphans, key: object.metadata.namespace ?? "" };
    const owner = this.#ownerOf(object);
    return owner === undefined ? undefined : { index: this.#byOwner, key: owner.uid };
  }

  #ownerOf(object: T): { readonly uid: string; readonly key: string } | undefined {
    const reference = controllerOf(object);
    if (reference?.kind !== this.#options.ownerKind) return undefined;
    return { uid: reference.uid, key: formatKey({ ...keyOf(object), name: reference.name }) };
  }

  #resolve(keys: ReadonlySet<string> | undefined): T[] {
    return [...(keys ?? [])].flatMap((key) => this.#options.informer.get(parseKey(key)) ?? []);
  }
}

/** How long to wait before looking at the cache again, in ms. */
export const lagMs = 5;
