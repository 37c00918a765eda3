/**
 * What is deleted a little later than it is no longer wanted.
 *
 *   Delta ─▶ Retired.hold() ─▶ Delta without it ─▶ transactions.ts;   a second later: planSweep()
 *
 * Chains and sets that go are emptied at once: kernels before 6.2 take a chain for referenced just after the element
 * that named it is gone. Elements of a collection that `isChosen` stay as they are: a packet whose slot was chosen by
 * the rule before a change looks it up in the collection after it, and would be rejected if nothing were there.
 */
import type { Delta, Step } from "./table.ts";
import type { Collection } from "./types.ts";

export class Retired {
  readonly chains: Set<string> = new Set();
  readonly sets: Set<string> = new Set();
  /** Collection → keys. */
  readonly elements: Map<string, Set<string>> = new Map();

  get isEmpty(): boolean {
    return [this.chains, this.sets, ...this.elements.values()].every(({ size }) => size === 0);
  }

  /** Takes what retires by `delta`, and gives back what comes again. Returns what of it is to be done now. */
  hold(collections: readonly Collection[], delta: Delta): Delta {
    keep(this.chains, delta.chains);
    keep(this.sets, delta.sets);
    const elements = new Map(delta.elements);
    for (const { name, isChosen = false } of collections) {
      const steps = delta.elements.get(name);
      if (isChosen && steps !== undefined) elements.set(name, this.#holdElements(name, steps));
    }
    return { ...delta, elements };
  }

  #holdElements(name: string, steps: ReadonlyMap<string, Step<string>>): ReadonlyMap<string, Step<string>> {
    const held = this.elements.get(name) ?? new Set();
    this.elements.set(name, held);
    const now = new Map<string, Step<string>>();
    for (const [key, step] of steps) {
      // The kernel has it: what comes again replaces it.
      if (step.after !== undefined) now.set(key, held.has(key) ? { ...step, before: step.before ?? "" } : step);
    }
    keep(held, steps);
    return now;
  }
}

function keep(held: Set<string>, steps: ReadonlyMap<string, Step<unknown>>): void {
  for (const [name, { after }] of steps)
    if (after === undefined) held.add(name);
    else held.delete(name);
}
