/**
 * One table as it shall be, in memory, and what of it the kernel has not got yet.
 *
 *   Change ─▶ update() ─▶ take() ─▶ transactions.ts ─▶ kernel-table.ts
 *
 * Invariant: `take()` costs what changed since the last one, whatever the size of the table. A thing that changed there
 * and back is not in it.
 */
import type { Change, Skeleton } from "./types.ts";

/** The values of something that differs: undefined before is new, undefined after is gone. */
export interface Step<V> {
  readonly before: V | undefined;
  readonly after: V | undefined;
}

export interface Delta {
  readonly chains: ReadonlyMap<string, Step<readonly string[]>>;
  readonly sets: ReadonlyMap<string, Step<string>>;
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, Step<string>>>;
}

export class Table {
  readonly skeleton: Skeleton;
  readonly #chains = new Tracked<readonly string[]>();
  readonly #sets = new Tracked<string>();
  /** By collection: those of the skeleton, and sets that came later and have elements. */
  readonly #elements: Map<string, Tracked<string>>;
  /** Maps that have elements in sets (see Collection). */
  readonly #withSets: ReadonlySet<string>;

  constructor(skeleton: Skeleton) {
    this.skeleton = skeleton;
    this.#elements = new Map(skeleton.collections.map(({ name }) => [name, new Tracked<string>()]));
    this.#withSets = new Set(skeleton.collections.flatMap(({ map }) => map ?? []));
  }

  /** Wants the change from now on. */
  update({ chains, sets, elements }: Change): void {
    this.#chains.update(chains);
    this.#sets.update(sets);
    for (const [collection, change] of elements) {
      let tracked = this.#elements.get(collection);
      if (tracked === undefined) this.#elements.set(collection, (tracked = new Tracked()));
      tracked.update(change);
    }
  }

  /** Whether anything differs from the last `take()`. */
  get isChanged(): boolean {
    return [this.#chains, this.#sets, ...this.#elements.values()].some(({ isChanged }) => isChanged);
  }

  /** Whether nothing of any Service is in it. */
  get isEmpty(): boolean {
    return [this.#chains, this.#sets, ...this.#elements.values()].every(({ now }) => now.size === 0);
  }

  /** Whether it has sets beside those of the skeleton. */
  get hasSets(): boolean {
    return this.#sets.now.size > 0;
  }

  /** What changed since the last time. */
  take(): Delta {
    return this.#delta((tracked) => tracked.take());
  }

  /** Everything, as from nothing; also takes. */
  takeAll(): Delta {
    return this.#delta((tracked) => tracked.takeAll());
  }

  #delta(read: <V>(tracked: Tracked<V>) => ReadonlyMap<string, Step<V>>): Delta {
    const elements = new Map<string, ReadonlyMap<string, Step<string>>>();
    for (const [collection, tracked] of this.#elements) {
      const steps = read(tracked);
      if (steps.size === 0) continue;
      if (!this.#withSets.has(collection)) elements.set(collection, steps);
      else for (const [home, some] of byHome(collection, steps)) elements.set(home, some);
    }
    return { chains: read(this.#chains), sets: read(this.#sets), elements };
  }
}

/** Steps of a map, as those of the collections that have the elements: what moves from one to another goes and comes. */
function byHome(map: string, steps: ReadonlyMap<string, Step<string>>): ReadonlyMap<string, Map<string, Step<string>>> {
  const homes = new Map<string, Map<string, Step<string>>>();
  const put = (home: string, key: string, step: Step<string>): void => {
    const known = homes.get(home);
    if (known === undefined) homes.set(home, new Map([[key, step]]));
    else known.set(key, step);
  };
  const placeOf = (value: string | undefined): { readonly home: string; readonly value: string } | undefined => {
    if (value === undefined) return undefined;
    return value.startsWith("@") ? { home: value.slice(1), value: "" } : { home: map, value };
  };
  for (const [key, { before, after }] of steps) {
    const [from, to] = [placeOf(before), placeOf(after)];
    if (from?.home !== to?.home && from !== undefined) put(from.home, key, { before: from.value, after: undefined });
    if (to !== undefined)
      put(to.home, key, { before: from?.home === to.home ? from.value : undefined, after: to.value });
  }
  return homes;
}

class Tracked<V> {
  readonly now: Map<string, V> = new Map();
  /** What was there at the last `take()`, of the keys that were touched since; undefined before the first. */
  #before: Map<string, V | undefined> | undefined;

  get isChanged(): boolean {
    return (this.#before ?? this.now).size > 0;
  }

  update(change: ReadonlyMap<string, V | undefined>): void {
    for (const [key, value] of change) {
      if (this.#before !== undefined && !this.#before.has(key)) this.#before.set(key, this.now.get(key));
      if (value === undefined) this.now.delete(key);
      else this.now.set(key, value);
    }
  }

  take(): ReadonlyMap<string, Step<V>> {
    if (this.#before === undefined) return this.takeAll();
    const steps = new Map<string, Step<V>>();
    for (const [key, before] of this.#before) {
      const after = this.now.get(key);
      if (before !== after) steps.set(key, { before, after });
    }
    this.#before = new Map();
    return steps;
  }

  takeAll(): ReadonlyMap<string, Step<V>> {
    this.#before = new Map();
    return new Map([...this.now].map(([key, after]) => [key, { before: undefined, after }]));
  }
}
