/**
 * The routes of one virtual host, found by their path and an exact header: time does not grow with their number.
 *
 *   CompiledRoute[] (pathKey, headerKey) ─▶ RouteIndex.find(head) ─▶ the first in order that matches
 *
 * Exact paths and prefixes are looked up, one map lookup for each distinct length of a prefix; regular expressions
 * count by the text that they start with. Where many routes have the same path, those that want an exact value of a
 * header are looked up by it. What is left is looked at one by one. Invariant: the same route as looking at all of them
 * in order would find; a property test says so.
 */
import type { RequestHead } from "../http1/request.ts";
import type { CompiledRoute, HeaderKey, RouteInfo } from "./types.ts";

/** Routes of the same path up to this many are looked at one after the other. */
const scannedMax = 8;

/** Routes, by their numbers in ascending order. */
type Numbers = readonly number[];

/** Routes that differ by more than their path. */
interface Bucket {
  readonly rest: Numbers;
  /** By name and value of a header; undefined when there are few. */
  readonly byHeader: ReadonlyMap<string, ReadonlyMap<string, Numbers>> | undefined;
}

interface Asked {
  readonly head: RequestHead;
  readonly info: RouteInfo;
}

export class RouteIndex {
  readonly #routes: readonly CompiledRoute[];
  readonly #exact: ReadonlyMap<string, Bucket>;
  readonly #prefixes: ReadonlyMap<string, Bucket>;
  readonly #lengths: readonly number[];
  readonly #other: Bucket;

  constructor(routes: readonly CompiledRoute[]) {
    this.#routes = routes;
    const exact = new Map<string, number[]>();
    const prefixes = new Map<string, number[]>();
    const other: number[] = [];
    for (const [at, { pathKey }] of routes.entries())
      if (pathKey.kind === "exact") put(exact, pathKey.path, at);
      else if (pathKey.kind === "prefix") put(prefixes, pathKey.prefix, at);
      // CONNECT is looked for without the index.
      else if (pathKey.kind !== "connect") other.push(at);
    const bucketOf = (numbers: Numbers): Bucket => toBucket(numbers, routes);
    this.#exact = mapped(exact, bucketOf);
    this.#prefixes = mapped(prefixes, bucketOf);
    this.#other = bucketOf(other);
    this.#lengths = [...new Set([...prefixes.keys()].map((prefix) => prefix.length))].sort((a, b) => a - b);
  }

  find(head: RequestHead, info: RouteInfo): CompiledRoute | undefined {
    const { path } = head;
    const asked = { head, info };
    let best = this.#firstOf(this.#exact.get(path), asked, this.#routes.length);
    for (const length of this.#lengths) {
      if (length > path.length) break;
      best = this.#firstOf(this.#prefixes.get(path.slice(0, length)), asked, best);
    }
    best = this.#firstOf(this.#other, asked, best);
    return this.#routes[best];
  }

  /** The first route of a bucket that matches and stands before `below`; `below` when there is none. */
  #firstOf(bucket: Bucket | undefined, asked: Asked, below: number): number {
    if (bucket === undefined) return below;
    const best = this.#scan(bucket.rest, asked, below);
    return bucket.byHeader === undefined ? best : this.#firstByHeader(bucket.byHeader, asked, best);
  }

  #firstByHeader(byHeader: NonNullable<Bucket["byHeader"]>, asked: Asked, below: number): number {
    const { keys, values } = asked.head.headers;
    let best = below;
    for (let at = 0; at < keys.length; at++) {
      const found = byHeader.get(keys[at]!)?.get(values[at]!);
      if (found !== undefined) best = this.#scan(found, asked, best);
    }
    return best;
  }

  #scan(numbers: Numbers, { head, info }: Asked, below: number): number {
    for (const at of numbers) {
      if (at >= below) return below;
      if (this.#routes[at]!.matches(head, info)) return at;
    }
    return below;
  }
}

function toBucket(numbers: Numbers, routes: readonly CompiledRoute[]): Bucket {
  if (numbers.length <= scannedMax) return { rest: numbers, byHeader: undefined };
  const rest: number[] = [];
  const byHeader = new Map<string, Map<string, number[]>>();
  for (const at of numbers) {
    const key: HeaderKey | undefined = routes[at]!.headerKey;
    if (key === undefined) {
      rest.push(at);
      continue;
    }
    const values = byHeader.get(key.key) ?? new Map<string, number[]>();
    byHeader.set(key.key, values);
    put(values, key.value, at);
  }
  return { rest, byHeader: byHeader.size > 0 ? byHeader : undefined };
}

function mapped(map: ReadonlyMap<string, Numbers>, make: (numbers: Numbers) => Bucket): ReadonlyMap<string, Bucket> {
  return new Map([...map].map(([key, numbers]) => [key, make(numbers)]));
}

function put(map: Map<string, number[]>, key: string, at: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [at]);
  else list.push(at);
}
