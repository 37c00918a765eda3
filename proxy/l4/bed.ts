/** A planner and its table, without a kernel: Services in, nft's lines out. Only tests import this. */
import type { ServiceResource } from "#api/wire/service.ts";
import { defaultFacts } from "../config.ts";
import type { NodeFacts } from "./facts.ts";
import type { Family } from "./ip.ts";
import { Retired } from "./nft/retired.ts";
import { Table } from "./nft/table.ts";
import { planChange, planSweep, planWhole } from "./nft/transactions.ts";
import { Planner } from "./planner.ts";
import { planSkeleton, tableFamilyOf } from "./skeleton.ts";

export class Bed {
  readonly planner: Planner;
  readonly table: Table;
  /** nft's name of the table. */
  readonly name: string;
  #retired = new Retired();

  constructor(facts: NodeFacts = defaultFacts, family: Family = "IPv4") {
    this.planner = new Planner(facts, family);
    this.table = new Table(planSkeleton(facts, family));
    this.name = `${tableFamilyOf(family)} t`;
  }

  put(...services: readonly ServiceResource[]): this {
    for (const each of services) this.table.update(this.planner.put(`${each.namespace}/${each.name}`, each));
    return this;
  }

  remove(name: string): this {
    this.table.update(this.planner.put(name, undefined));
    return this;
  }

  whole(): readonly string[] {
    return [...planWhole(this.name, [], this.table.skeleton, this.table.takeAll())];
  }

  change(): readonly string[] {
    return linesOf(this.changeTexts());
  }

  changeTexts(): readonly string[] {
    const { collections } = this.table.skeleton;
    return planChange(this.name, collections, this.#retired.hold(collections, this.table.take()));
  }

  sweep(): readonly string[] {
    const texts = [...planSweep(this.name, this.#retired)];
    this.#retired = new Retired();
    return texts;
  }
}

/** What the texts say, a statement a line. */
export function linesOf(texts: readonly string[]): readonly string[] {
  return texts
    .join("")
    .split("\n")
    .filter((line) => line !== "");
}
