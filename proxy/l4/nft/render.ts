/**
 * Statements of nft's language, each with what it weighs in a transaction. Pure.
 *
 * One statement a line. There is no `destroy` in nft 1.0.6: `add` then `delete` makes sure that something is gone.
 */
import type { BaseChain, Collection } from "./types.ts";

/** Lines that must be in one transaction. */
export interface Unit {
  readonly text: string;
  /** Bytes of netlink messages, about, on the large side. */
  readonly weight: number;
}

/** Elements in one statement: few enough to read in a log, enough that parsing does not dominate. */
const elementsMax = 64;

/** No element weighs less. */
export const elementWeightMin = 40;

/** Measured with nft 1.0.6, and rounded up: an element is as long as its text, a rule at most five times as long. */
const weigh = {
  statement: (text: string): number => text.length + 100,
  rule: (text: string): number => 5 * text.length + 100,
  element: (text: string): number => text.length + elementWeightMin,
} as const;

export function addTable(table: string): Unit {
  return statement(`add table ${table}`);
}

/** Makes sure that there is no such table. */
export function removeTable(table: string): Unit {
  return statement(`add table ${table}\ndelete table ${table}`);
}

export function addBase(table: string, { name, hook }: BaseChain): Unit {
  return statement(`add chain ${table} ${name} { ${hook} }`);
}

export function addCollection(table: string, { kind, name, type }: Collection): Unit {
  return statement(`add ${kind} ${table} ${name} { ${type} }`);
}

export function deleteSet(table: string, name: string): Unit {
  return statement(`delete set ${table} ${name}`);
}

export function addChain(table: string, name: string): Unit {
  return statement(`add chain ${table} ${name}`);
}

export function flushChain(table: string, name: string): Unit {
  return statement(`flush chain ${table} ${name}`);
}

export function deleteChain(table: string, name: string): Unit {
  return statement(`delete chain ${table} ${name}`);
}

export function addRules(table: string, chain: string, rules: readonly string[]): Unit {
  const texts = rules.map((rule) => `add rule ${table} ${chain} ${rule}`);
  return { text: texts.join("\n"), weight: texts.reduce((sum, text) => sum + weigh.rule(text), 0) };
}

/** Replaces the rules of a chain. */
export function setRules(table: string, chain: string, rules: readonly string[]): Unit {
  return join(flushChain(table, chain), addRules(table, chain, rules));
}

/** Adds elements: pairs of key and value, the value "" in a set. */
export function* addElements(
  table: string,
  name: string,
  elements: readonly (readonly [string, string])[],
): Generator<Unit> {
  for (const group of inGroups(elements)) {
    const texts = group.map(([key, value]) => (value === "" ? key : `${key} : ${value}`));
    yield toUnit(`add element ${table} ${name}`, texts);
  }
}

/** Gives elements of a map other values: deleted and added, in one transaction. */
export function* replaceElements(
  table: string,
  name: string,
  elements: readonly (readonly [string, string])[],
): Generator<Unit> {
  for (const group of inGroups(elements)) {
    const keys = toUnit(
      `delete element ${table} ${name}`,
      group.map(([key]) => key),
    );
    const [added = keys] = addElements(table, name, group);
    yield join(keys, added);
  }
}

export function* deleteElements(table: string, name: string, keys: readonly string[]): Generator<Unit> {
  for (const group of inGroups(keys)) yield toUnit(`delete element ${table} ${name}`, group);
}

function toUnit(head: string, texts: readonly string[]): Unit {
  const weight = texts.reduce((sum, text) => sum + weigh.element(text), weigh.statement(head));
  return { text: `${head} { ${texts.join(", ")} }`, weight };
}

function statement(text: string): Unit {
  return { text, weight: weigh.statement(text) };
}

function join(a: Unit, b: Unit): Unit {
  return { text: b.text === "" ? a.text : `${a.text}\n${b.text}`, weight: a.weight + b.weight };
}

function* inGroups<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += elementsMax) yield items.slice(at, at + elementsMax);
}
