/**
 * The whole cluster state in memory, decoded, kept up to date by one watch of the store.
 *
 *   store.watch() ─▶ decode, freeze ─▶ KindCache (objects, ring, watchers) ─▶ get, list and watch of the API server
 *
 * - Reads are served from here at the newest revision; the server is the store's only writer, and a write is
 *   answered only once its event is here (`reached`), so that a client reads what it wrote.
 * - The cache begins at a revision in the past and replays the log from there, so that the rings reach back over a
 *   restart.
 * - Objects are frozen, all the way down: whoever gets one may keep it.
 *
 * Invariant: `revision` is that of the last event applied; objects, rings and bookmarks are all at it between two
 * events.
 * Follows: kube-apiserver's watch cache (k8s.io/apiserver pkg/storage/cacher), less its per-object locks.
 */
import type { WatchEvent } from "#api/client/client.ts";
import { apiVersionOf, type KindRef } from "#api/kind.ts";
import type { KubeObject, ObjectKey } from "#api/meta.ts";
import { StatusError } from "#api/status.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Entry, Store, StoreEvent, StoreWatch } from "../store/store.ts";
import type { CacheEvent } from "./event-ring.ts";
import { KindCache } from "./kind-cache.ts";
import { keyPrefix, parseStoreKey, resourceOf } from "./keys.ts";
import type { Watcher } from "./watcher.ts";

export interface WatchCacheConfig {
  /** Events kept of each kind. Default 4096. */
  readonly ringCapacity?: number;
  /** Events that may wait for one watcher. Default 2000. */
  readonly queueMax?: number;
  /** Time between bookmarks, in ms. Default 60 000, as kube-apiserver's. */
  readonly bookmarkMs?: number;
  /** Most revisions to replay at the start. Default 10 000. */
  readonly replayMax?: number;
}

export interface WatchCacheOptions {
  readonly store: Store;
  readonly kinds: readonly KindRef[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly config?: WatchCacheConfig;
}

export interface CacheWatchOptions {
  readonly namespace?: string;
  /** Beside the namespace: label and field selectors. Default: everything. */
  readonly matches?: (object: KubeObject) => boolean;
  /** Changes after this revision; undefined: what is there as ADDED, then changes. */
  readonly after?: number;
  readonly allowBookmarks?: boolean;
  /** Whether a bookmark annotated `k8s.io/initial-events-end` follows what is there. */
  readonly markInitialEnd?: boolean;
}

/** Counters for the metrics. */
export interface WatchCounts {
  readonly watchers: number;
  readonly slowTotal: number;
  readonly eventsTotal: number;
  readonly undecodableTotal: number;
}

interface KindState {
  readonly kind: KindRef;
  readonly cache: KindCache;
  readonly listeners: Set<(key: ObjectKey, event: CacheEvent) => void>;
}

export class WatchCache {
  readonly #options: WatchCacheOptions;
  readonly #config: Required<WatchCacheConfig>;
  readonly #states = new Map<string, KindState>();
  readonly #waiting = new Map<() => void, number>();
  #revision = 0;
  #watch: StoreWatch | undefined;
  #timer: Timer | undefined;
  #failure: string | undefined = "not started";
  #slowTotal = 0;
  #eventsTotal = 0;
  #undecodableTotal = 0;

  constructor(options: WatchCacheOptions) {
    this.#options = options;
    this.#config = { ringCapacity: 4096, queueMax: 2000, bookmarkMs: 60_000, replayMax: 10_000, ...options.config };
  }

  /** Loads the state and follows the store from then on. */
  async start(): Promise<void> {
    const { store, kinds } = this.#options;
    const [oldest, newest] = [await store.oldestRevision(), await store.revision()];
    const { revision, entries } = await store.list(keyPrefix, {
      revision: Math.max(oldest, newest - this.#config.replayMax),
    });
    for (const kind of kinds)
      this.#states.set(resourceOf(kind), {
        kind,
        cache: new KindCache(this.#config.ringCapacity, revision),
        listeners: new Set(),
      });
    for (const entry of entries) this.#load(entry);
    this.#revision = revision;
    this.#watch = await store.watch({
      prefix: keyPrefix,
      after: revision,
      onEvents: (events) => this.#apply(events),
      onEnd: (error) => this.#fail(messageOf(error)),
    });
    this.#failure = undefined;
    this.#scheduleBookmarks();
  }

  /** Ends every watch. */
  close(): void {
    this.#watch?.close();
    this.#timer?.cancel();
    this.#fail("closed");
  }

  /** Why the cache does not follow the store; undefined when it does. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The newest revision applied. */
  get revision(): number {
    return this.#revision;
  }

  get counts(): WatchCounts {
    let watchers = 0;
    for (const { cache } of this.#states.values()) watchers += cache.watchers.size;
    return {
      watchers,
      slowTotal: this.#slowTotal,
      eventsTotal: this.#eventsTotal,
      undecodableTotal: this.#undecodableTotal,
    };
  }

  /** How many objects there are of each kind. */
  sizes(): ReadonlyMap<string, number> {
    return new Map([...this.#states.values()].map(({ kind, cache }) => [kind.plural, cache.size]));
  }

  get<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey): T | undefined {
    return this.#state(kind).cache.get(key) as T | undefined;
  }

  /** Objects by namespace, then name. */
  list<T extends KubeObject>(kind: KindRef<T>, namespace?: string): readonly T[] {
    return this.#state(kind).cache.list(namespace) as readonly T[];
  }

  /** Throws StatusError Expired for a revision that the ring has lost, Timeout for one in the future. */
  watch(kind: KindRef, options: CacheWatchOptions): Watcher {
    const { namespace, after, matches } = options;
    if (this.#failure !== undefined) throw new StatusError("ServiceUnavailable", `The watch cache is ${this.#failure}`);
    if (after !== undefined && after > this.#revision)
      throw new StatusError("Timeout", `Too large resource version: ${after}, current: ${this.#revision}`, {
        retryAfterSeconds: 1,
      });
    const isInScope = (object: KubeObject): boolean =>
      namespace === undefined || object.metadata.namespace === namespace;
    return this.#state(kind).cache.watch(
      {
        matches: matches === undefined ? isInScope : (object) => isInScope(object) && matches(object),
        allowBookmarks: options.allowBookmarks ?? false,
        queueMax: this.#config.queueMax,
        onEnd: (_watcher, reason) => {
          if (reason === "slow") this.#slowTotal++;
        },
      },
      namespace,
      {
        after,
        ...(options.markInitialEnd === true ? { endMark: this.#initialEnd(kind) } : {}),
      },
    );
  }

  /** Whether objects of the kind were written or removed after `revision`; true when that is not known. */
  hasChangedSince(kind: KindRef, revision: number): boolean {
    return this.#state(kind).cache.hasChangedSince(revision);
  }

  /** Calls `listener` at once for each object there is, and then in the same turn as each change. It must not throw. */
  observe(kind: KindRef, listener: (key: ObjectKey, event: CacheEvent) => void): void {
    const { cache, listeners } = this.#state(kind);
    listeners.add(listener);
    for (const object of cache.list()) {
      const { namespace, name } = object.metadata;
      const key = namespace === undefined ? { name } : { namespace, name };
      listener(key, { revision: this.#revision, object, previous: undefined });
    }
  }

  /** Resolves once the cache is at `revision`; at once for a store that tells watchers before it answers. */
  reached(revision: number): Promise<void> {
    if (this.#revision >= revision) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.set(resolve, revision));
  }

  #state(kind: KindRef): KindState {
    const state = this.#states.get(resourceOf(kind));
    if (state === undefined) throw new StatusError("NotFound", "the server could not find the requested resource");
    return state;
  }

  #load(entry: Entry): void {
    const place = parseStoreKey(entry.key);
    const state = place === undefined ? undefined : this.#states.get(place.resource);
    const object = state === undefined ? undefined : this.#decode(state.kind, entry);
    if (place !== undefined && object !== undefined) state?.cache.load(place.key, object);
  }

  #apply(events: readonly StoreEvent[]): void {
    for (const event of events) {
      const place = parseStoreKey(event.type === "put" ? event.entry.key : event.key);
      const state = place === undefined ? undefined : this.#states.get(place.resource);
      this.#revision = event.revision;
      if (place === undefined || state === undefined) continue;
      const previous = state.cache.get(place.key);
      const object = event.type === "put" ? this.#decode(state.kind, event.entry) : undefined;
      if (object === undefined && previous === undefined) continue;
      const change: CacheEvent = { revision: event.revision, object, previous };
      this.#eventsTotal++;
      state.cache.apply(place.key, change);
      for (const listener of state.listeners) listener(place.key, change);
    }
    for (const [resolve, revision] of this.#waiting) {
      if (revision > this.#revision) continue;
      this.#waiting.delete(resolve);
      resolve();
    }
  }

  /** The object in an entry. One that cannot be read is left out, counted and logged: it must not keep the rest from being served. */
  #decode(kind: KindRef, entry: Entry): KubeObject | undefined {
    try {
      return decodeObject(kind, entry);
    } catch (error) {
      this.#undecodableTotal++;
      this.#options.log.error("Cannot decode a stored object", { key: entry.key, error: messageOf(error) });
      return undefined;
    }
  }

  #fail(why: string): void {
    this.#failure = why;
    if (why !== "closed") this.#options.log.error("The watch of the store has ended", { error: why });
    for (const { cache } of this.#states.values()) for (const watcher of cache.watchers) watcher.close();
    // Whoever waits for a revision gets on: its write was made, and is only not to be seen here.
    for (const resolve of this.#waiting.keys()) resolve();
    this.#waiting.clear();
  }

  #scheduleBookmarks(): void {
    this.#timer = this.#options.clock.after(this.#config.bookmarkMs, () => {
      for (const { kind, cache } of this.#states.values()) {
        const bookmark = this.bookmark(kind);
        for (const watcher of cache.watchers) if (watcher.allowsBookmarks) watcher.offerBookmark(bookmark);
      }
      this.#scheduleBookmarks();
    });
  }

  /** The bookmark behind the last of the initial events. KEP-3157. */
  #initialEnd(kind: KindRef): WatchEvent {
    const annotations = { "k8s.io/initial-events-end": "true" };
    const metadata = { resourceVersion: String(this.#revision), annotations } as unknown as KubeObject["metadata"];
    return { type: "BOOKMARK", object: { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata } };
  }

  /** A bookmark at the newest revision. */
  bookmark(kind: KindRef): WatchEvent {
    const metadata = { resourceVersion: String(this.#revision) } as KubeObject["metadata"];
    return { type: "BOOKMARK", object: { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata } };
  }
}

/** The text of an object as it is stored: without the resourceVersion, which is the entry's revision. */
export function encodeObject(object: KubeObject): string {
  const { resourceVersion: _version, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

/** The inverse of `encodeObject`, frozen. Throws on anything that is no object. */
export function decodeObject(kind: KindRef, entry: Entry): KubeObject {
  const parsed = JSON.parse(entry.value) as KubeObject;
  if (parsed.kind !== kind.kind || typeof parsed.metadata?.name !== "string")
    throw new Error(`got kind ${JSON.stringify(parsed.kind)}, wanted ${kind.kind} with a name`);
  return deepFreeze({ ...parsed, metadata: { ...parsed.metadata, resourceVersion: String(entry.modRevision) } });
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}
