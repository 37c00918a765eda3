/** A ServicePlan while it is being made: the only thing here that changes, and only until `done()`. */
import type { Target } from "./categories.ts";
import type { TableFamily } from "./nft/types.ts";
import type { ServicePlan } from "./service-plan.ts";

export class Draft {
  readonly family: TableFamily;
  readonly flows: Map<string, ReadonlySet<string>> = new Map();
  readonly orders: Map<string, readonly Target[]> = new Map();
  readonly noLocal: { internal: boolean; external: boolean } = { internal: false, external: false };
  readonly #chains = new Map<string, readonly string[]>();
  readonly #sets = new Map<string, string>();
  readonly #elements = new Map<string, Map<string, string>>();
  readonly #problems: string[] = [];

  constructor(family: TableFamily) {
    this.family = family;
  }

  /** Adds a chain, and returns its name. */
  chain(name: string, rules: readonly string[]): string {
    this.#chains.set(name, rules);
    return name;
  }

  set(name: string, type: string): string {
    this.#sets.set(name, type);
    return name;
  }

  element(collection: string, key: string, value = ""): void {
    let elements = this.#elements.get(collection);
    if (elements === undefined) this.#elements.set(collection, (elements = new Map()));
    elements.set(key, value);
  }

  problem(sentence: string): void {
    this.#problems.push(sentence);
  }

  done(): ServicePlan {
    return {
      fragment: { chains: this.#chains, sets: this.#sets, elements: this.#elements },
      flows: this.flows,
      orders: this.orders,
      noLocal: this.noLocal,
      problems: this.#problems,
    };
  }
}
