/** A ServicePlan while it is being made: the only thing here that changes, and only until `done()`. */
import type { Target } from "./categories.ts";
import type { TableFamily } from "./nft/types.ts";
import type { ServicePlan } from "./service-plan.ts";

/** What a Service wants of which it says nothing: one for all, for there are many Services and most say little. */
const none: ReadonlyMap<string, never> = new Map<string, never>();
const nowhere: ServicePlan["noLocal"] = { internal: false, external: false };

/** The plan of a Service that has nothing to do with a family. */
export const emptyPlan: ServicePlan = {
  fragment: { chains: none, sets: none, elements: none },
  flows: none,
  orders: none,
  noLocal: nowhere,
  problems: [],
};

export class Draft {
  readonly family: TableFamily;
  #noLocal = nowhere;
  #flows: Map<string, ReadonlySet<string>> | undefined;
  #orders: Map<string, readonly Target[]> | undefined;
  #chains: Map<string, readonly string[]> | undefined;
  #sets: Map<string, string> | undefined;
  #elements: Map<string, Map<string, string>> | undefined;
  #problems: string[] | undefined;

  constructor(family: TableFamily) {
    this.family = family;
  }

  /** Adds a chain, and returns its name. */
  chain(name: string, rules: readonly string[]): string {
    (this.#chains ??= new Map()).set(name, rules);
    return name;
  }

  set(name: string, type: string): string {
    (this.#sets ??= new Map()).set(name, type);
    return name;
  }

  element(collection: string, key: string, value = ""): void {
    const collections = (this.#elements ??= new Map<string, Map<string, string>>());
    let elements = collections.get(collection);
    if (elements === undefined) collections.set(collection, (elements = new Map()));
    elements.set(key, value);
  }

  /** Whether it is as it began: a Service that nothing was planned for, and nothing is wrong with. */
  get isEmpty(): boolean {
    return this.#elements === undefined && this.#problems === undefined;
  }

  problem(sentence: string): void {
    (this.#problems ??= []).push(sentence);
  }

  /** Flows to `at` may go to `keeping`. */
  keepFlows(at: string, keeping: ReadonlySet<string>): void {
    (this.#flows ??= new Map()).set(at, keeping);
  }

  keepOrder(key: string, targets: readonly Target[]): void {
    (this.#orders ??= new Map()).set(key, targets);
  }

  /** A policy Local finds no endpoint here. */
  missesLocal(policy: "internal" | "external"): void {
    this.#noLocal = { ...this.#noLocal, [policy]: true };
  }

  done(): ServicePlan {
    return {
      fragment: { chains: this.#chains ?? none, sets: this.#sets ?? none, elements: this.#elements ?? none },
      flows: this.#flows ?? none,
      orders: this.#orders ?? none,
      noLocal: this.#noLocal,
      problems: this.#problems ?? emptyPlan.problems,
    };
  }
}
