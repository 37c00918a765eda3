/**
 * All resources, by scope, type and name, and what changed since it was last asked.
 *
 *   index.ts replaces what one owner makes ─▶ table ─▶ views read, push asks for the changes
 *
 * An owner is the object that resources were made from ("service:default/reviews"). Two owners may make one name (a cluster
 * IP passes from one Service to another): the owner that sorts first is served.
 * Invariant: what is served depends on the last `replace` of each owner alone, not on the order of the calls.
 */
import type { Placed, Resource } from "./resource.ts";

/** scope → type URL → names that were added, changed or removed. */
export type Changes = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

interface Owned {
  readonly owner: string;
  readonly resource: Resource;
}

export class ResourceTable {
  /** "scope\ntype" → name → by owner, sorted; never empty. */
  readonly #tables = new Map<string, Map<string, readonly Owned[]>>();
  readonly #byOwner = new Map<string, readonly Placed[]>();
  #changes = new Map<string, Map<string, Set<string>>>();

  /** From now on `owner` makes exactly `resources`. */
  replace(owner: string, resources: readonly Placed[]): void {
    const old = this.#byOwner.get(owner) ?? [];
    const kept = new Set(resources.map(placeOf));
    for (const placed of old) if (!kept.has(placeOf(placed))) this.#remove(owner, placed);
    for (const placed of resources) this.#put(owner, placed);
    if (resources.length === 0) this.#byOwner.delete(owner);
    else this.#byOwner.set(owner, resources);
  }

  get(scope: string, typeUrl: string, name: string): Resource | undefined {
    return this.#tables.get(tableKey(scope, typeUrl))?.get(name)?.[0]?.resource;
  }

  names(scope: string, typeUrl: string): Iterable<string> {
    return this.#tables.get(tableKey(scope, typeUrl))?.keys() ?? [];
  }

  /** Says that clients of `scope` see `name` differently although no resource of the scope changed. */
  touch(scope: string, typeUrl: string, name: string): void {
    const types = this.#changes.get(scope) ?? new Map<string, Set<string>>();
    this.#changes.set(scope, types);
    const names = types.get(typeUrl) ?? new Set<string>();
    types.set(typeUrl, names);
    names.add(name);
  }

  /** The changes since the last call. */
  takeChanges(): Changes {
    const changes = this.#changes;
    this.#changes = new Map();
    return changes;
  }

  #put(owner: string, { scope, resource }: Placed): void {
    const key = tableKey(scope, resource.typeUrl);
    const table = this.#tables.get(key) ?? new Map<string, readonly Owned[]>();
    this.#tables.set(key, table);
    const owned = table.get(resource.name) ?? [];
    const same = owned.find((entry) => entry.owner === owner);
    if (same?.resource.version === resource.version) return;
    const others = owned.filter((entry) => entry.owner !== owner);
    const entries = [...others, { owner, resource }].sort((a, b) => (a.owner < b.owner ? -1 : 1));
    table.set(resource.name, entries);
    if (entries[0]?.resource.version !== owned[0]?.resource.version) this.touch(scope, resource.typeUrl, resource.name);
  }

  #remove(owner: string, { scope, resource }: Placed): void {
    const key = tableKey(scope, resource.typeUrl);
    const table = this.#tables.get(key);
    const owned = table?.get(resource.name) ?? [];
    const others = owned.filter((entry) => entry.owner !== owner);
    if (others.length > 0) table?.set(resource.name, others);
    else table?.delete(resource.name);
    if (table?.size === 0) this.#tables.delete(key);
    if (others[0]?.resource.version !== owned[0]?.resource.version) this.touch(scope, resource.typeUrl, resource.name);
  }
}

function tableKey(scope: string, typeUrl: string): string {
  return `${scope}\n${typeUrl}`;
}

function placeOf({ scope, resource }: Placed): string {
  return `${scope}\n${resource.typeUrl}\n${resource.name}`;
}
