/**
 * Who wants what in a table: fragments of Services become one set of chains, sets and elements.
 *
 *   put(owner, fragment) ─▶ Change (only what differs) ─▶ nft/table.ts
 *
 * Several Services may claim one thing: an endpoint's hairpin, a shared chain, or by mistake one address and port. It
 * stays while anybody claims it, and of different values that of the first owner by name holds, whatever the order in
 * which they came. Cost follows the two fragments, not the table.
 */
import type { Change, Fragment } from "./nft/types.ts";

type Value = string | readonly string[];

/** One claimant, as nearly always; or several, counted by what they want. */
type Claim<V extends Value> =
  | { readonly kind: "one"; readonly owner: string; readonly value: V }
  | { readonly kind: "many"; readonly owners: Map<string, V>; readonly counts: Map<string, number> };

const none: ReadonlyMap<string, never> = new Map<string, never>();
const nothing: Fragment = { chains: none, sets: none, elements: none };

export class Claims {
  readonly #fragments = new Map<string, Fragment>();
  readonly #chains = new Map<string, Claim<readonly string[]>>();
  readonly #sets = new Map<string, Claim<string>>();
  readonly #elements = new Map<string, Map<string, Claim<string>>>();

  /** Replaces what `owner` wants; undefined is nothing. */
  put(owner: string, fragment: Fragment | undefined): Change {
    const before = this.#fragments.get(owner) ?? nothing;
    const after = fragment === undefined || isEmpty(fragment) ? nothing : fragment;
    if (before === after) return nothing;
    if (after === nothing) this.#fragments.delete(owner);
    else this.#fragments.set(owner, after);
    const elements = new Map<string, ReadonlyMap<string, string | undefined>>();
    const moveElements = (collection: string): void => {
      let claims = this.#elements.get(collection);
      if (claims === undefined) this.#elements.set(collection, (claims = new Map()));
      const change = move(
        claims,
        owner,
        before.elements.get(collection) ?? none,
        after.elements.get(collection) ?? none,
      );
      if (change.size > 0) elements.set(collection, change);
    };
    for (const collection of before.elements.keys()) moveElements(collection);
    for (const collection of after.elements.keys()) if (!before.elements.has(collection)) moveElements(collection);
    return {
      chains: move(this.#chains, owner, before.chains, after.chains),
      sets: move(this.#sets, owner, before.sets, after.sets),
      elements,
    };
  }

  /** Whose element holds; undefined when nobody claims it. */
  holderOf(collection: string, key: string): string | undefined {
    const claim = this.#elements.get(collection)?.get(key);
    return claim === undefined ? undefined : firstOwner(claim);
  }

  /** Who claims an element, where it is more than one. */
  rivalsFor(collection: string, key: string): Iterable<string> {
    const claim = this.#elements.get(collection)?.get(key);
    return claim?.kind === "many" ? claim.owners.keys() : [];
  }
}

function move<V extends Value>(
  claims: Map<string, Claim<V>>,
  owner: string,
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
): ReadonlyMap<string, V | undefined> {
  if (before.size + after.size === 0) return none;
  if (before.size === 0 && isUnclaimed(claims, after)) {
    for (const [key, value] of after) claims.set(key, { kind: "one", owner, value });
    return after;
  }
  const change = new Map<string, V | undefined>();
  const touch = (key: string, value: V | undefined): void => {
    const old = claims.get(key);
    const oldValue = valueOf(old);
    const next = put(old, owner, value);
    if (next === undefined) claims.delete(key);
    else claims.set(key, next);
    const nextValue = valueOf(next);
    if (!isEqual(oldValue, nextValue)) change.set(key, nextValue);
  };
  for (const [key, value] of before) {
    const later = after.get(key);
    if (later === undefined || !isEqual(value, later)) touch(key, later);
  }
  for (const [key, value] of after) if (!before.has(key)) touch(key, value);
  return change;
}

/** As nearly always of a Service that is new: nobody wants any of it. */
function isUnclaimed(claims: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): boolean {
  for (const key of after.keys()) if (claims.has(key)) return false;
  return true;
}

/** What holds: what all want, or else what the first owner by name wants. */
function valueOf<V extends Value>(claim: Claim<V> | undefined): V | undefined {
  if (claim === undefined || claim.kind === "one") return claim?.value;
  if (claim.counts.size === 1) return claim.owners.values().next().value;
  return claim.owners.get(firstOwner(claim));
}

function firstOwner<V extends Value>(claim: Claim<V>): string {
  if (claim.kind === "one") return claim.owner;
  let first: string | undefined;
  for (const owner of claim.owners.keys()) if (first === undefined || owner < first) first = owner;
  return first ?? "";
}

/** The claim with what `owner` wants now. Changes `claim` where there are many. */
function put<V extends Value>(claim: Claim<V> | undefined, owner: string, value: V | undefined): Claim<V> | undefined {
  if (claim === undefined || (claim.kind === "one" && claim.owner === owner))
    return value === undefined ? undefined : { kind: "one", owner, value };
  if (claim.kind === "one") {
    if (value === undefined) return claim;
    const many: Claim<V> = { kind: "many", owners: new Map(), counts: new Map() };
    return put(put(many, claim.owner, claim.value), owner, value);
  }
  const { owners, counts } = claim;
  const old = owners.get(owner);
  if (old !== undefined) {
    const left = (counts.get(String(old)) ?? 1) - 1;
    if (left === 0) counts.delete(String(old));
    else counts.set(String(old), left);
    owners.delete(owner);
  }
  if (value !== undefined) {
    owners.set(owner, value);
    counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
  }
  return owners.size === 0 ? undefined : claim;
}

function isEmpty({ chains, sets, elements }: Fragment): boolean {
  return chains.size + sets.size + elements.size === 0;
}

function isEqual(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object") return false;
  return a.length === b.length && a.every((rule, index) => rule === b[index]);
}
