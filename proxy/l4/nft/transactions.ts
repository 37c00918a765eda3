/**
 * What brings the kernel from one state to another, as transactions small enough for it. Pure.
 *
 *   Delta ─▶ planChange ─▶ texts for `nft -f -`          Table ─▶ planWhole ─▶ texts, the last one switches
 *
 * One transaction is atomic, but the kernel takes no more than a socket's send buffer in one: 208 KiB for whoever is
 * not root on the host (net.core.wmem_default). So a large change is several, in an order in which each leaves a table
 * that works: slots come before the chains and verdicts that pick them, and go after. What moves from a set to its map
 * leaves the set in a transaction of its own: packets ask the map first, and one that did so before the move would find
 * it in neither.
 * A whole table is built beside the one that is there, without base chains, so that no packet sees it: its elements may
 * come in any order. The last transaction adds the base chains and deletes the other table; where packets must not pass
 * without it (Skeleton.isBarrier) the other one goes in a transaction more.
 *
 * The last rule of each base chain leads to an empty chain that nothing else names, its sentinel: the kernel refuses to
 * delete it for as long as that base chain has its rules. So whether rules are there is asked without listing them.
 */
import {
  addBase,
  addChain,
  addCollection,
  addElements,
  addRules,
  addTable,
  deleteChain,
  deleteElements,
  deleteSet,
  elementWeightMin,
  flushChain,
  removeTable,
  replaceElements,
  setRules,
  type Unit,
} from "./render.ts";
import type { Retired } from "./retired.ts";
import type { Delta } from "./table.ts";
import type { BaseChain, Collection, Skeleton } from "./types.ts";

/** What one transaction may weigh, in bytes. net.core.wmem_default is 212 992. */
const weightMax = 190_000;

/** The transactions that make a change in a table that is there; chains and sets that go are emptied (retired.ts). */
export function planChange(table: string, collections: readonly Collection[], delta: Delta): readonly string[] {
  const units: Unit[] = [];
  for (const [name, { before, after }] of delta.sets)
    if (before === undefined && after !== undefined)
      units.push(addCollection(table, { kind: "set", name, type: after }));
  for (const [name, { before, after }] of delta.chains)
    if (before === undefined && after !== undefined) units.push(addChain(table, name));
  const [data, verdicts] = [collections.filter((each) => !isVerdict(each)), collections.filter(isVerdict)];
  const later = laterSets(collections, delta);
  for (const name of [...later, ...data.map(({ name }) => name)]) units.push(...addAndReplace(table, name, delta));
  // A chain that was retired and comes back may still be there, empty: hence always the flush.
  for (const [name, { after }] of delta.chains) if (after !== undefined) units.push(setRules(table, name, after));
  // The kernel decides what rules a packet meets when it enters, and reads elements as they are asked for: one that
  // entered before a new chain had its rules would be led to it, and meet none. So the rules are committed first.
  const isNew = [...delta.chains.values()].some(({ before, after }) => before === undefined && after !== undefined);
  const first = isNew ? [...pack(units.splice(0))] : [];
  for (const { name } of verdicts) units.push(...addAndReplace(table, name, delta));
  const last: Unit[] = [];
  for (const { name, map } of collections.toReversed()) {
    const deleted = deletedFrom(name, delta);
    const isMoved = (key: string): boolean =>
      map !== undefined && delta.elements.get(map)?.get(key)?.after !== undefined;
    const gone = deleted.filter((key) => !isMoved(key));
    units.push(...deleteElements(table, name, gone));
    last.push(...deleteElements(table, name, deleted.filter(isMoved)));
  }
  // Of a retired set, too: should it come back, it is empty.
  for (const name of later) units.push(...deleteElements(table, name, deletedFrom(name, delta)));
  for (const [name, { after }] of delta.chains) if (after === undefined) units.push(flushChain(table, name));
  return [...first, ...pack(units), ...pack(last)];
}

/** Deletes what was retired. */
export function planSweep(table: string, { chains, sets, elements }: Retired): Iterable<string> {
  const units = [
    ...[...elements].flatMap(([name, keys]) => [...deleteElements(table, name, [...keys])]),
    ...[...chains].map((name) => flushChain(table, name)),
    ...[...chains].map((name) => deleteChain(table, name)),
    ...[...sets].map((name) => deleteSet(table, name)),
  ];
  return pack(units);
}

/** A transaction that the kernel refuses as a whole; `refusals` times, when every base chain has its rules. */
export function planCheck(table: string, skeleton: Skeleton): { readonly text: string; readonly refusals: number } {
  const lines = ruledBases(skeleton).map(({ name }) => deleteChain(table, sentinelOf(name)).text);
  return { text: `${lines.join("\n")}\n`, refusals: lines.length };
}

/** Makes sure that there are no such tables. */
export function planClear(tables: readonly string[]): string {
  return tables.map((table) => `${removeTable(table).text}\n`).join("");
}

/**
 * The transactions that put the whole table into the kernel as `table`, in place of `others`; each is rendered when it is
 * asked for. With more than one, `table` must not be the one that serves; nor where the table is a barrier. Then what
 * served goes in a transaction of its own: a packet that entered before the new rules were in force meets the old ones,
 * and one that enters before those go meets both.
 */
export function* planWhole(
  table: string,
  others: readonly string[],
  skeleton: Skeleton,
  whole: Delta,
): Generator<string> {
  const head = [removeTable(table), addTable(table), ...declare(table, skeleton, whole)];
  const elements = addAll(table, skeleton, whole);
  const rules = [...ruleAll(table, skeleton, whole)];
  const bases = switchOn(table, skeleton);
  const removal = others.map(removeTable);
  const isBarrier = skeleton.isBarrier ?? false;
  const last = isBarrier ? bases : [...bases, ...removal];
  if (isSmall(table, skeleton, whole)) yield* pack([...head, ...elements, ...rules, ...last]);
  else for (const part of [head, elements, rules, last]) yield* pack(part);
  if (isBarrier) yield* pack(removal);
}

/** Whether one transaction takes a whole table of that name, and what it takes to be rid of others. */
export function isSmall(table: string, skeleton: Skeleton, whole: Delta): boolean {
  // One of many elements is not rendered to find out.
  let elements = 0;
  for (const each of whole.elements.values()) elements += each.size;
  if (elements * elementWeightMin > weightMax) return false;
  // Less what it takes to be rid of a table before.
  const units = [
    ...declare(table, skeleton, whole),
    ...addAll(table, skeleton, whole),
    ...ruleAll(table, skeleton, whole),
    ...switchOn(table, skeleton),
  ];
  return weigh(units) < weightMax - 5000;
}

function* declare(table: string, skeleton: Skeleton, whole: Delta): Generator<Unit> {
  const { chains, collections } = skeleton;
  for (const { name } of ruledBases(skeleton)) yield addChain(table, sentinelOf(name));
  for (const name of chains.keys()) yield addChain(table, name);
  for (const name of whole.chains.keys()) yield addChain(table, name);
  for (const collection of collections) yield addCollection(table, collection);
  for (const [name, { after }] of whole.sets)
    if (after !== undefined) yield addCollection(table, { kind: "set", name, type: after });
}

/** Elements come before the rules that look them up: the kernel checks each element against each such rule. */
function* addAll(table: string, { collections }: Skeleton, whole: Delta): Generator<Unit> {
  const names = [...laterSets(collections, whole), ...collections.map(({ name }) => name)];
  for (const name of names) yield* addAndReplace(table, name, whole);
}

function* ruleAll(table: string, { chains }: Skeleton, whole: Delta): Generator<Unit> {
  for (const [name, rules] of chains) yield addRules(table, name, rules);
  for (const [name, { after }] of whole.chains)
    if (after !== undefined && after.length > 0) yield addRules(table, name, after);
}

function switchOn(table: string, skeleton: Skeleton): Unit[] {
  return [
    ...skeleton.bases.map((base) => addBase(table, base)),
    ...ruledBases(skeleton).map(({ name, rules }) => addRules(table, name, [...rules, `jump ${sentinelOf(name)}`])),
  ];
}

function ruledBases({ bases }: Skeleton): readonly BaseChain[] {
  return bases.filter(({ rules }) => rules.length > 0);
}

function sentinelOf(base: string): string {
  return `in-force/${base}`;
}

/** Sets with elements that are none of the skeleton's. */
function laterSets(collections: readonly Collection[], { elements }: Delta): readonly string[] {
  return [...elements.keys()].filter((name) => !collections.some((known) => known.name === name));
}

function* addAndReplace(table: string, collection: string, { elements }: Delta): Generator<Unit> {
  const added: [string, string][] = [];
  const replaced: [string, string][] = [];
  for (const [key, { before, after }] of elements.get(collection) ?? [])
    if (after !== undefined) (before === undefined ? added : replaced).push([key, after]);
  yield* replaceElements(table, collection, replaced);
  yield* addElements(table, collection, added);
}

function deletedFrom(collection: string, { elements }: Delta): readonly string[] {
  const gone: string[] = [];
  for (const [key, { after }] of elements.get(collection) ?? []) if (after === undefined) gone.push(key);
  return gone;
}

function isVerdict({ type }: Collection): boolean {
  return type.includes(": verdict");
}

function weigh(units: readonly Unit[]): number {
  return units.reduce((sum, { weight }) => sum + weight, 0);
}

/** Texts of at most `weightMax`, each unit whole. */
function* pack(units: Iterable<Unit>): Generator<string> {
  let lines: string[] = [];
  let weight = 0;
  for (const unit of units) {
    if (lines.length > 0 && weight + unit.weight > weightMax) {
      yield `${lines.join("\n")}\n`;
      lines = [];
      weight = 0;
    }
    lines.push(unit.text);
    weight += unit.weight;
  }
  if (lines.length > 0) yield `${lines.join("\n")}\n`;
}
