/**
 * The recent events of one kind, in a ring: what a watcher that was away can still be sent.
 *
 *   watch-cache.ts (push) ─▶ EventRing ─▶ since(revision) ─▶ watcher.ts
 *
 * Invariant: `since(r)` is complete for every r >= `completeAfter`; older ones are refused, never answered in part.
 * Full: the oldest event goes out, and `completeAfter` moves on to it.
 */
import type { KubeObject } from "#api/meta.ts";

/** A change of one object. Objects are frozen. */
export interface CacheEvent {
  readonly revision: number;
  /** What the key is now; its resourceVersion is `revision`. Undefined: removed. */
  readonly object: KubeObject | undefined;
  /** What the key was before. Undefined: it is new. */
  readonly previous: KubeObject | undefined;
}

/** A ring of at most `capacity` events, complete after revision `start`. */
export class EventRing {
  readonly #capacity: number;
  readonly #events: CacheEvent[] = [];
  /** Where the oldest event is, once the ring is full. */
  #head = 0;
  #completeAfter: number;

  constructor(capacity: number, start: number) {
    this.#capacity = capacity;
    this.#completeAfter = start;
  }

  get completeAfter(): number {
    return this.#completeAfter;
  }

  push(event: CacheEvent): void {
    if (this.#events.length < this.#capacity) {
      this.#events.push(event);
      return;
    }
    this.#completeAfter = this.#at(0)?.revision ?? this.#completeAfter;
    this.#events[this.#head] = event;
    this.#head = (this.#head + 1) % this.#capacity;
  }

  /** The events after `revision`, oldest first; undefined when some of them are gone. */
  since(revision: number): CacheEvent[] | undefined {
    if (revision < this.#completeAfter) return undefined;
    // Revisions only grow: halve the search for the first that is newer.
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#at(middle)?.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    const events: CacheEvent[] = [];
    for (let index = low; index < this.#events.length; index++) {
      const event = this.#at(index);
      if (event !== undefined) events.push(event);
    }
    return events;
  }

  #at(index: number): CacheEvent | undefined {
    return this.#events[(this.#head + index) % this.#capacity];
  }
}
