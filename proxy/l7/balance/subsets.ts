/**
 * Subsets of a cluster by the metadata of its endpoints.
 *
 *   route's metadata_match ─▶ Subsets.find() ─▶ HostSet, or the fallback
 *
 * Source: envoy.config.cluster.v3.Cluster.LbSubsetConfig.
 */
import type { Endpoint } from "../endpoint.ts";
import type { EngineDeps } from "../types.ts";
import { HostSet, type HostSetOptions } from "./host-set.ts";

export interface SubsetSpec {
  readonly fallback: "none" | "any" | "default";
  /** For the fallback "default": key → JSON text. */
  readonly defaultSubset: ReadonlyMap<string, string>;
  /** The sets of keys that subsets are made by, each sorted. */
  readonly selectors: readonly (readonly string[])[];
}

export class Subsets {
  readonly #spec: SubsetSpec;
  readonly #options: HostSetOptions;
  readonly #deps: EngineDeps;
  readonly #sets = new Map<string, HostSet>();
  #default: HostSet | undefined;

  constructor(spec: SubsetSpec, options: HostSetOptions, deps: EngineDeps) {
    this.#spec = spec;
    this.#options = options;
    this.#deps = deps;
  }

  update(endpoints: readonly Endpoint[]): void {
    const members = new Map<string, Endpoint[]>();
    for (const keys of this.#spec.selectors)
      for (const endpoint of endpoints) {
        const key = keyOf(keys, endpoint.metadata);
        if (key !== undefined) members.set(key, [...(members.get(key) ?? []), endpoint]);
      }
    for (const key of this.#sets.keys()) if (!members.has(key)) this.#sets.delete(key);
    for (const [key, of] of members) this.#setOf(key).update(of);
    if (this.#spec.fallback !== "default") return;
    this.#default ??= new HostSet(this.#options, this.#deps);
    this.#default.update(endpoints.filter(({ metadata }) => isWithin(this.#spec.defaultSubset, metadata)));
  }

  /** The endpoints for `match`; `all` where the fallback is any; undefined: there are none. */
  find(match: ReadonlyMap<string, string> | undefined, all: HostSet): HostSet | undefined {
    const keys = match === undefined ? [] : [...match.keys()].sort();
    if (match !== undefined && keys.length > 0) {
      const isSelector = this.#spec.selectors.some((selector) => selector.join("\0") === keys.join("\0"));
      const found = isSelector ? this.#sets.get(keyOf(keys, match) ?? "") : undefined;
      if (found !== undefined) return found;
    }
    if (this.#spec.fallback === "any") return all;
    return this.#spec.fallback === "default" ? this.#default : undefined;
  }

  #setOf(key: string): HostSet {
    let set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, (set = new HostSet(this.#options, this.#deps)));
    return set;
  }
}

/** Undefined: a key is missing. */
function keyOf(keys: readonly string[], metadata: ReadonlyMap<string, string>): string | undefined {
  const parts: string[] = [];
  for (const key of keys) {
    const value = metadata.get(key);
    if (value === undefined) return undefined;
    parts.push(`${key}\0${value}`);
  }
  return parts.join("\0\0");
}

function isWithin(wanted: ReadonlyMap<string, string>, metadata: ReadonlyMap<string, string>): boolean {
  return [...wanted].every(([key, value]) => metadata.get(key) === value);
}
