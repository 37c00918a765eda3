/**
 * The routes of one virtual host, found by their path: time does not grow with the number of routes.
 *
 *   CompiledRoute[] (pathKey) ─▶ RouteIndex.find(head) ─▶ the first in order that matches
 *
 * Exact paths and prefixes are looked up, one map lookup for each distinct length of a prefix; what is left are the
 * routes whose matcher is neither (regular expressions, templates). Invariant: the same route as looking at all of them
 * in order would find; a property test says so.
 */
import type { RequestHead } from "../http1/request.ts";
import type { CompiledRoute, RouteInfo } from "./types.ts";

export class RouteIndex {
  readonly #routes: readonly CompiledRoute[];
  readonly #exact = new Map<string, number[]>();
  readonly #prefixes = new Map<string, number[]>();
  readonly #lengths: readonly number[];
  readonly #other: readonly number[];

  constructor(routes: readonly CompiledRoute[]) {
    this.#routes = routes;
    const other: number[] = [];
    for (const [at, { pathKey }] of routes.entries())
      if (pathKey.kind === "exact") put(this.#exact, pathKey.path, at);
      else if (pathKey.kind === "prefix") put(this.#prefixes, pathKey.prefix, at);
      else other.push(at);
    this.#other = other;
    this.#lengths = [...new Set([...this.#prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b);
  }

  find(head: RequestHead, info: RouteInfo): CompiledRoute | undefined {
    const { path } = head;
    let best = this.#firstOf(this.#exact.get(path), { head, info, below: this.#routes.length });
    for (const length of this.#lengths) {
      if (length > path.length) break;
      best = this.#firstOf(this.#prefixes.get(path.slice(0, length)), { head, info, below: best });
    }
    best = this.#firstOf(this.#other, { head, info, below: best });
    return this.#routes[best];
  }

  /** The first route of `list` that matches and stands before `below`; `below` when there is none. */
  #firstOf(
    list: readonly number[] | undefined,
    { head, info, below }: { head: RequestHead; info: RouteInfo; below: number },
  ): number {
    if (list === undefined) return below;
    for (const at of list) {
      if (at >= below) return below;
      if (this.#routes[at]!.matches(head, info)) return at;
    }
    return below;
  }
}

function put(map: Map<string, number[]>, key: string, at: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [at]);
  else list.push(at);
}
