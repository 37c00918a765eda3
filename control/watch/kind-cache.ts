/**
 * All objects of one kind, by namespace and name, with their recent events and their watchers.
 *
 *   watch-cache.ts (one event at a time) ─▶ KindCache ─▶ get(), list(), watch()
 *
 * Invariant: the objects are the fold of all events so far; a watcher that joins at revision r gets what is after r,
 * once.
 */
import type { WatchEvent } from "#api/client/client.ts";
import type { KubeObject, ObjectKey } from "#api/meta.ts";
import { StatusError } from "#api/status.ts";
import { type CacheEvent, EventRing } from "./event-ring.ts";
import { Watcher, type WatcherConfig, toWatchEvent } from "./watcher.ts";

interface NamespaceObjects {
  readonly byName: Map<string, KubeObject>;
  /** In order of name; undefined until it is asked for. */
  sorted: readonly KubeObject[] | undefined;
}

/** Where a watch begins. */
export interface WatchStart {
  /** Events after this revision; undefined: what is there comes first. */
  readonly after: number | undefined;
  /** Sent behind what the watch begins with. */
  readonly endMark?: WatchEvent;
}

export class KindCache {
  readonly #byNamespace = new Map<string, NamespaceObjects>();
  readonly #ring: EventRing;
  readonly #watchers = new Set<Watcher>();
  #size = 0;

  constructor(ringCapacity: number, startRevision: number) {
    this.#ring = new EventRing(ringCapacity, startRevision);
  }

  get size(): number {
    return this.#size;
  }

  get watchers(): ReadonlySet<Watcher> {
    return this.#watchers;
  }

  get(key: ObjectKey): KubeObject | undefined {
    return this.#byNamespace.get(key.namespace ?? "")?.byName.get(key.name);
  }

  /** Objects by namespace, then name. */
  list(namespace?: string): readonly KubeObject[] {
    if (namespace !== undefined) return this.#sorted(namespace);
    return [...this.#byNamespace.keys()].sort().flatMap((name) => this.#sorted(name));
  }

  /** Puts an object there without an event: the state that the cache begins with. */
  load(key: ObjectKey, object: KubeObject): void {
    this.#set(key, object);
  }

  /** Applies a change and tells the watchers. */
  apply(key: ObjectKey, event: CacheEvent): void {
    this.#set(key, event.object);
    this.#ring.push(event);
    for (const watcher of this.#watchers) watcher.offer(event);
  }

  /** Whether there were events after `revision`; true when that is not known any more. */
  hasChangedSince(revision: number): boolean {
    const events = this.#ring.since(revision);
    return events === undefined || events.length > 0;
  }

  /** Watches from now, with what is there as ADDED, or from a revision. Throws Expired. */
  watch(config: WatcherConfig, namespace: string | undefined, { after, endMark }: WatchStart): Watcher {
    const initial = after === undefined ? this.#state(config, namespace) : this.#missed(config, after);
    if (endMark !== undefined) initial.push(endMark);
    const watcher = new Watcher(
      {
        ...config,
        onEnd: (ended, reason) => {
          this.#watchers.delete(ended);
          config.onEnd(ended, reason);
        },
      },
      initial,
    );
    this.#watchers.add(watcher);
    return watcher;
  }

  #state(config: WatcherConfig, namespace: string | undefined): WatchEvent[] {
    return this.list(namespace)
      .filter((object) => config.matches(object))
      .map((object) => ({ type: "ADDED", object }));
  }

  #missed(config: WatcherConfig, after: number): WatchEvent[] {
    const events = this.#ring.since(after);
    if (events === undefined)
      throw new StatusError("Expired", `too old resource version: ${after} (${this.#ring.completeAfter})`);
    return events.flatMap((event) => toWatchEvent(event, config.matches) ?? []);
  }

  #sorted(namespace: string): readonly KubeObject[] {
    const objects = this.#byNamespace.get(namespace);
    if (objects === undefined) return [];
    objects.sorted ??= [...objects.byName.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    return objects.sorted;
  }

  #set(key: ObjectKey, object: KubeObject | undefined): void {
    const namespace = key.namespace ?? "";
    const objects = this.#byNamespace.get(namespace) ?? { byName: new Map<string, KubeObject>(), sorted: undefined };
    this.#size -= objects.byName.size;
    if (object === undefined) objects.byName.delete(key.name);
    else objects.byName.set(key.name, object);
    this.#size += objects.byName.size;
    objects.sorted = undefined;
    if (objects.byName.size === 0) this.#byNamespace.delete(namespace);
    else this.#byNamespace.set(namespace, objects);
  }
}
