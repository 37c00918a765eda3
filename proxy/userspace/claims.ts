/**
 * Which Service is served where two want the same address and port: the first by name. No I/O.
 *
 *   frontends of each Service ─▶ Claims.put ─▶ keys to look at again ─▶ Claims.winnerOf
 */
import type { Frontend } from "./frontends.ts";

export interface Claim {
  readonly owner: string;
  readonly frontend: Frontend;
}

export class Claims {
  readonly #wanted = new Map<string, ReadonlyMap<string, Frontend>>();
  /** By `tcp 10.96.0.1:80`: the Services that want it. */
  readonly #claimants = new Map<string, Set<string>>();

  /** Takes what a Service wants from now on, nothing for one that is gone. Returns the keys that this is about. */
  put(name: string, frontends: ReadonlyMap<string, Frontend>): readonly string[] {
    const before = this.#wanted.get(name) ?? new Map<string, Frontend>();
    if (frontends.size === 0) this.#wanted.delete(name);
    else this.#wanted.set(name, frontends);
    for (const key of before.keys()) if (!frontends.has(key)) this.#leave(key, name);
    for (const key of frontends.keys()) {
      const claimants = this.#claimants.get(key);
      if (claimants === undefined) this.#claimants.set(key, new Set([name]));
      else claimants.add(name);
    }
    return [...new Set([...before.keys(), ...frontends.keys()])];
  }

  winnerOf(key: string): Claim | undefined {
    const [owner] = this.#sorted(key);
    const frontend = owner === undefined ? undefined : this.#wanted.get(owner)?.get(key);
    return owner === undefined || frontend === undefined ? undefined : { owner, frontend };
  }

  losersOf(key: string): readonly string[] {
    return this.#sorted(key).slice(1);
  }

  #sorted(key: string): readonly string[] {
    return [...(this.#claimants.get(key) ?? [])].toSorted();
  }

  #leave(key: string, name: string): void {
    const claimants = this.#claimants.get(key);
    if (claimants?.delete(name) === true && claimants.size === 0) this.#claimants.delete(key);
  }
}
