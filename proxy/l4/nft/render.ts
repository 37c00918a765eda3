/**
 * Statements of nft's language, and a whole ruleset as one transaction.
 *
 *   Ruleset ─▶ renderRuleset ─▶ text for `nft -f -`
 *
 * Order matters to nft 1.0.6: chains before the maps that name them, collections before the rules that look them up.
 * One statement a line. There is no `destroy` yet: `add` then `delete` makes sure that something is gone.
 */
import type { BaseChain, Collection, Ruleset } from "./types.ts";

/** Elements in one statement: few enough to read in a log, enough that parsing does not dominate. */
const elementsMax = 64;

/** Replaces the table, whatever it holds, atomically: connections keep their translation, for conntrack holds it. */
export function renderRuleset(ruleset: Ruleset): string {
  const { table, bases, chains, collections } = ruleset;
  const lines = [`add table ${table}`, `delete table ${table}`, `add table ${table}`];
  for (const base of bases) lines.push(addBase(table, base));
  for (const name of chains.keys()) lines.push(addChain(table, name));
  for (const collection of collections) lines.push(addCollection(table, collection));
  for (const { name, rules } of bases) for (const rule of rules) lines.push(addRule(table, name, rule));
  for (const [name, rules] of chains) for (const rule of rules) lines.push(addRule(table, name, rule));
  for (const { name, elements } of collections) lines.push(...addElements(table, name, [...elements]));
  return `${lines.join("\n")}\n`;
}

function addBase(table: string, { name, hook }: BaseChain): string {
  return `add chain ${table} ${name} { ${hook} }`;
}

function addCollection(table: string, { kind, name, type }: Collection): string {
  return `add ${kind} ${table} ${name} { ${type} }`;
}

export function addChain(table: string, name: string): string {
  return `add chain ${table} ${name}`;
}

export function flushChain(table: string, name: string): string {
  return `flush chain ${table} ${name}`;
}

export function deleteChain(table: string, name: string): string {
  return `delete chain ${table} ${name}`;
}

export function addRule(table: string, chain: string, rule: string): string {
  return `add rule ${table} ${chain} ${rule}`;
}

/** Statements that add elements: pairs of key and value, the value "" in a set. */
export function addElements(table: string, name: string, elements: readonly (readonly [string, string])[]): string[] {
  const texts = elements.map(([key, value]) => (value === "" ? key : `${key} : ${value}`));
  return inGroups(texts).map((group) => `add element ${table} ${name} { ${group} }`);
}

export function deleteElements(table: string, name: string, keys: readonly string[]): string[] {
  return inGroups(keys).map((group) => `delete element ${table} ${name} { ${group} }`);
}

function inGroups(texts: readonly string[]): string[] {
  const groups: string[] = [];
  for (let at = 0; at < texts.length; at += elementsMax) groups.push(texts.slice(at, at + elementsMax).join(", "));
  return groups;
}
