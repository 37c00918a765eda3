/**
 * One watch of one kind: filters the cache's events and queues them for a reader.
 *
 *   watch-cache.ts (offer) ─▶ Watcher: filter, bounded queue ─▶ next() ─▶ verbs/watch.ts, local-client.ts
 *
 * An object that begins to match is ADDED, one that ceases to match is DELETED, whatever happened to it in the store.
 * Full: the queue is dropped and the watch ends with "slow"; the reader resumes from the last revision that it saw.
 * Invariant: what `next()` gives is in revision order, without gaps, up to the end.
 */
import type { WatchEvent } from "#api/client/client.ts";
import type { KubeObject } from "#api/meta.ts";
import type { CacheEvent } from "./event-ring.ts";

/** Why a watch ended. `slow`: the reader fell behind. `closed`: the reader, or the cache, closed it. */
export type WatchEnd = "slow" | "closed";

export interface WatcherConfig {
  /** Whether an object is watched: namespace and selectors. */
  readonly matches: (object: KubeObject) => boolean;
  /** Whether bookmarks are wanted. */
  readonly allowBookmarks: boolean;
  /** Most events that wait for the reader, beside those that the watch began with. */
  readonly queueMax: number;
  /** Called once, when the watch ends. */
  readonly onEnd: (watcher: Watcher, reason: WatchEnd) => void;
}

/** The event as a watcher with this filter sees it; undefined when it concerns it not at all. Pure. */
export function toWatchEvent(event: CacheEvent, matches: (object: KubeObject) => boolean): WatchEvent | undefined {
  const { object, previous, revision } = event;
  const isIn = object !== undefined && matches(object);
  const wasIn = previous !== undefined && matches(previous);
  if (isIn) return { type: wasIn ? "MODIFIED" : "ADDED", object };
  if (!wasIn) return undefined;
  const metadata = { ...previous.metadata, resourceVersion: String(revision) };
  return { type: "DELETED", object: { ...previous, metadata } };
}

/** Made by the cache. Read it with `next()` until that gives undefined, or `close()` it. */
export class Watcher {
  readonly #config: WatcherConfig;
  /** What the watch began with: references to what the cache holds, so not counted against the queue. */
  #queue: WatchEvent[];
  #backlog: number;
  #wake: (() => void) | undefined;
  #end: WatchEnd | undefined;
  #atEnd: (() => void) | undefined;

  constructor(config: WatcherConfig, initial: WatchEvent[]) {
    this.#config = config;
    this.#queue = initial;
    this.#backlog = initial.length;
  }

  /** Why the watch ended; undefined while it goes on. */
  get end(): WatchEnd | undefined {
    return this.#end;
  }

  get allowsBookmarks(): boolean {
    return this.#config.allowBookmarks;
  }

  /** Takes an event of the cache. */
  offer(event: CacheEvent): void {
    const mine = toWatchEvent(event, this.#config.matches);
    if (mine !== undefined) this.#push(mine);
  }

  /** Says that nothing before `bookmark`'s revision is missing. */
  offerBookmark(bookmark: WatchEvent): void {
    // A reader with events waiting learns the revision from them.
    if (this.#queue.length === 0) this.#push(bookmark);
  }

  /** All events that wait, at least one; undefined once the watch has ended. One reader at a time. */
  async next(): Promise<readonly WatchEvent[] | undefined> {
    while (this.#queue.length === 0 && this.#end === undefined)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#queue.length === 0) return undefined;
    const events = this.#queue;
    this.#queue = [];
    this.#backlog = 0;
    return events;
  }

  /** Calls `action` once the watch has ended; at once when it has. For one action at a time. */
  whenEnded(action: () => void): void {
    if (this.#end === undefined) this.#atEnd = action;
    else action();
  }

  close(): void {
    this.#finish("closed");
  }

  #push(event: WatchEvent): void {
    if (this.#end !== undefined) return;
    if (this.#queue.length - this.#backlog >= this.#config.queueMax) return this.#finish("slow");
    this.#queue.push(event);
    this.#notify();
  }

  #finish(reason: WatchEnd): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#queue = [];
    this.#config.onEnd(this, reason);
    this.#atEnd?.();
    this.#notify();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
