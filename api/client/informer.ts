/**
 * A local cache of one kind, kept current by list and watch.
 *
 *   KubeClient.list, .watch ─▶ Informer ─▶ handlers, lookups (`get`, `list`)
 *
 * Promised: for each object its changes reach every handler in order and eventually; `synced` resolves after the first
 * list is in. A handler that joins later is first told of everything that is there.
 * Not promised: order between objects, or every intermediate state: after a lost watch the differences between the
 * cache and a new list are what is told.
 *
 * Listing => Watching (list applied) => Watching (watch ended: again from the last revision)
 *                                    => Listing (Expired, or an error that is no Status: after the back-off)
 */
import { type BackoffConfig, backoffMs } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { KindRef } from "../kind.ts";
import { type KubeObject, type ObjectKey, formatKey, keyOf } from "../meta.ts";
import type { KubeClient, ListOptions } from "./client.ts";

export interface Handler<T extends KubeObject> {
  added?(object: T): void;
  updated?(object: T, before: T): void;
  deleted?(object: T): void;
}

export interface InformerOptions {
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly selector?: Pick<ListOptions, "namespace" | "labelSelector" | "fieldSelector">;
}

/** A watch that ends sooner did not serve its purpose, in ms. */
const briefMs = 1000;
const backoff: BackoffConfig = { baseMs: 50, maxMs: 2000, jitterRatio: 0.2 };

export class Informer<T extends KubeObject> {
  readonly kind: KindRef<T>;
  /** Resolves once the first list is in the cache and the handlers know it. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions;
  readonly #objects = new Map<string, T>();
  readonly #handlers: Handler<T>[] = [];
  #markSynced: () => void = () => {};
  #revision: string | undefined;
  #lastRevision = "0";

  constructor(kind: KindRef<T>, options: InformerOptions) {
    this.kind = kind;
    this.#options = options;
    this.synced = new Promise((resolve) => (this.#markSynced = resolve));
  }

  get(key: ObjectKey): T | undefined {
    return this.#objects.get(formatKey(key));
  }

  /** The revision that the cache has reached; 0 before the first list. To wait for one's own writes. */
  get revision(): number {
    return Number(this.#revision ?? this.#lastRevision);
  }

  /** Everything in the cache, in no particular order. */
  list(): T[] {
    return [...this.#objects.values()];
  }

  addHandler(handler: Handler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.#objects.values()) handler.added?.(object);
  }

  /** Keeps the cache current until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        if (this.#revision === undefined) await this.#relist();
        const startMs = clock.monotonicMs();
        await this.#watch(signal);
        failures = 0;
        // A server that ends watches at once must not be asked in a busy loop.
        if (clock.monotonicMs() - startMs < briefMs) await clock.sleep(backoff.baseMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        // Whatever went wrong, a fresh list is right; only a clean end of a watch resumes.
        this.#lastRevision = this.#revision ?? this.#lastRevision;
        this.#revision = undefined;
        const delayMs = backoffMs(failures++, backoff, random);
        log.debug("Watch ended", { kind: this.kind.kind, error: messageOf(error), delayMs: Math.round(delayMs) });
        await clock.sleep(delayMs, signal).catch(() => undefined);
      }
    }
  }

  async #relist(): Promise<void> {
    const { client, selector } = this.#options;
    const list = await client.list(this.kind, { ...selector });
    const listed = new Set<string>();
    for (const object of list.items) {
      listed.add(formatKey(keyOf(object)));
      this.#store(object);
    }
    for (const [key, object] of this.#objects) if (!listed.has(key)) this.#remove(object);
    this.#revision = list.metadata.resourceVersion;
    this.#markSynced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, selector } = this.#options;
    const from = { ...selector, resourceVersion: this.#revision ?? "0" };
    for await (const event of client.watch(this.kind, from, signal)) {
      if (event.type === "ERROR") throw new Error(event.object.message);
      this.#revision = event.object.metadata.resourceVersion;
      if (event.type === "DELETED") this.#remove(event.object);
      else if (event.type !== "BOOKMARK") this.#store(event.object);
    }
  }

  #store(object: T): void {
    const key = formatKey(keyOf(object));
    const before = this.#objects.get(key);
    if (before?.metadata.resourceVersion === object.metadata.resourceVersion && before !== undefined) return;
    this.#objects.set(key, object);
    // A new uid under an old name is another object: the deletion was missed.
    const replaced = before !== undefined && before.metadata.uid !== object.metadata.uid;
    for (const handler of this.#handlers) {
      if (replaced) handler.deleted?.(before);
      if (before === undefined || replaced) handler.added?.(object);
      else handler.updated?.(object, before);
    }
  }

  #remove(object: T): void {
    if (!this.#objects.delete(formatKey(keyOf(object)))) return;
    for (const handler of this.#handlers) handler.deleted?.(object);
  }
}
