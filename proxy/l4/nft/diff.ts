/**
 * What turns one ruleset into another, as one transaction. Pure.
 *
 *   applied Ruleset, desired Ruleset ─▶ diffRulesets ─▶ { text, retired } ─▶ apply.ts
 *
 * Invariants: after the text, the kernel holds what a fresh `renderRuleset(to)` would, apart from empty retired chains. A
 * chain whose rules are equal is not mentioned, so its rotation goes on. Equal rulesets give an empty text.
 */
import { addChain, addElements, addRule, deleteElements, flushChain, renderRuleset } from "./render.ts";
import type { Collection, Ruleset } from "./types.ts";

export interface Transaction {
  /** For `nft -f -`; empty when there is nothing to do. */
  readonly text: string;
  /**
   * Chains emptied but not deleted: kernels before 6.2 take a chain for referenced just after the element that named it
   * is gone. They are deleted in a later transaction.
   */
  readonly retired: readonly string[];
}

/** The transaction from `from` to `to`. When the fixed parts differ, it replaces the table. */
export function diffRulesets(from: Ruleset, to: Ruleset): Transaction {
  if (from === to) return { text: "", retired: [] };
  if (fixedPart(from) !== fixedPart(to)) return { text: renderRuleset(to), retired: [] };
  const lines: string[] = [];
  const ruleLines: string[] = [];
  for (const [name, rules] of to.chains) {
    const before = from.chains.get(name);
    if (before !== undefined && isEqual(before, rules)) continue;
    // A retired chain of this name may still be there, empty: `add` is well with that.
    lines.push(addChain(to.table, name));
    if (before !== undefined) ruleLines.push(flushChain(to.table, name));
    for (const rule of rules) ruleLines.push(addRule(to.table, name, rule));
  }
  lines.push(...ruleLines);
  for (const [index, collection] of to.collections.entries()) {
    const before = from.collections[index];
    if (before !== undefined) lines.push(...diffElements(to.table, before, collection));
  }
  const retired = [...from.chains.keys()].filter((name) => !to.chains.has(name));
  for (const name of retired) lines.push(flushChain(to.table, name));
  return { text: lines.length === 0 ? "" : `${lines.join("\n")}\n`, retired };
}

/** Deletions first: an element whose value changes is deleted and added, and the transaction is atomic. */
function diffElements(table: string, from: Collection, to: Collection): string[] {
  if (from.elements === to.elements) return [];
  const gone: string[] = [];
  for (const [key, value] of from.elements) if (to.elements.get(key) !== value) gone.push(key);
  const added: [string, string][] = [];
  for (const [key, value] of to.elements) if (from.elements.get(key) !== value) added.push([key, value]);
  return [...deleteElements(table, to.name, gone), ...addElements(table, to.name, added)];
}

/** What a change of Services never changes. */
function fixedPart({ table, bases, collections }: Ruleset): string {
  return JSON.stringify([table, bases, collections.map(({ kind, name, type }) => [kind, name, type])]);
}

function isEqual(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((rule, index) => rule === b[index]));
}
