/**
 * A compiled RouteConfiguration: request head → route → cluster name.
 *
 *   config/route.ts ─▶ RouteTable ─▶ exchange.ts: find(head) ─▶ Route ─▶ pickCluster(route)
 *
 * Virtual hosts are found in Envoy's order: exact domain, longest "*.suffix", longest "prefix.*", "*"; one map lookup
 * for an exact domain, one for each distinct wildcard length otherwise. Invariant: immutable, but for the weights'
 * credits.
 */
import type { RequestHead } from "../http1/request.ts";
import type { Predicate } from "./match.ts";
import type { SmoothWeighted } from "./weight.ts";

export interface RetryRule {
  /** Retry when no connection came about: nothing was sent. */
  readonly onConnectFailure: boolean;
  /** Retry safe methods when the connection broke before the first byte of the response. */
  readonly onReset: boolean;
  /** Tries after the first, >= 0. */
  readonly retriesMax: number;
}

export type RouteTarget =
  | { readonly kind: "cluster"; readonly name: string }
  | { readonly kind: "weighted"; readonly names: readonly string[]; readonly weights: SmoothWeighted }
  | { readonly kind: "direct"; readonly status: number; readonly body: string };

export interface CompiledRoute {
  readonly name: string;
  readonly matches: Predicate;
  readonly target: RouteTarget;
  /** Whole request with retries, in ms; 0 is none. */
  readonly timeoutMs: number;
  readonly retry: RetryRule | undefined;
  /** The status when its cluster does not exist. Undefined: 503, and the route is held back until the cluster comes. */
  readonly unknownCluster: number | undefined;
}

export interface CompiledVirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly CompiledRoute[];
}

/** Wildcards of one kind: longest first, one map for each length. */
type Wildcards = readonly { readonly length: number; readonly hosts: ReadonlyMap<string, CompiledVirtualHost> }[];

export class RouteTable {
  readonly name: string;
  /** Each cluster that a route names, once. */
  readonly clusterNames: ReadonlySet<string>;
  /** Those of them that may be missing: their routes say what is then answered. */
  readonly optionalClusters: ReadonlySet<string>;
  readonly #ignoresPort: boolean;
  readonly #exact: ReadonlyMap<string, CompiledVirtualHost>;
  readonly #suffixes: Wildcards;
  readonly #prefixes: Wildcards;
  readonly #any: CompiledVirtualHost | undefined;

  /** Domains must be unique over all hosts; config/route.ts checks it. */
  constructor(name: string, hosts: readonly CompiledVirtualHost[], ignoresPort = false) {
    this.name = name;
    this.#ignoresPort = ignoresPort;
    const exact = new Map<string, CompiledVirtualHost>();
    const suffixes = new Map<string, CompiledVirtualHost>();
    const prefixes = new Map<string, CompiledVirtualHost>();
    for (const host of hosts)
      for (const domain of host.domains) {
        if (domain === "*") continue;
        if (domain.startsWith("*")) suffixes.set(domain.slice(1), host);
        else if (domain.endsWith("*")) prefixes.set(domain.slice(0, -1), host);
        else exact.set(domain, host);
      }
    this.#exact = exact;
    this.#suffixes = byLength(suffixes);
    this.#prefixes = byLength(prefixes);
    this.#any = hosts.find((host) => host.domains.includes("*"));
    const routes = hosts.flatMap((host) => host.routes);
    const namesOf = (some: readonly CompiledRoute[]): Set<string> =>
      new Set(some.flatMap((route) => clusterNamesOf(route.target)));
    this.clusterNames = namesOf(routes);
    this.optionalClusters = namesOf(routes.filter((route) => route.unknownCluster !== undefined));
  }

  /** The first route that matches, or undefined: no virtual host or no route for it. */
  find(head: RequestHead): CompiledRoute | undefined {
    const routes = this.hostFor(this.#ignoresPort ? withoutPort(head.host) : head.host)?.routes;
    if (routes === undefined) return undefined;
    for (const route of routes) if (route.matches(head)) return route;
    return undefined;
  }

  /** The virtual host for an authority in lower case. */
  hostFor(authority: string): CompiledVirtualHost | undefined {
    const exact = this.#exact.get(authority);
    if (exact !== undefined) return exact;
    for (const { length, hosts } of this.#suffixes) {
      // The wildcard stands for at least one character.
      if (authority.length <= length) continue;
      const host = hosts.get(authority.slice(-length));
      if (host !== undefined) return host;
    }
    for (const { length, hosts } of this.#prefixes) {
      if (authority.length <= length) continue;
      const host = hosts.get(authority.slice(0, length));
      if (host !== undefined) return host;
    }
    return this.#any;
  }
}

/** The cluster for the next request on a route, or undefined for a direct response. */
export function pickCluster(target: RouteTarget): string | undefined {
  if (target.kind === "cluster") return target.name;
  return target.kind === "weighted" ? target.names[target.weights.pick()] : undefined;
}

function clusterNamesOf(target: RouteTarget): readonly string[] {
  if (target.kind === "cluster") return [target.name];
  return target.kind === "weighted" ? target.names : [];
}

function byLength(hosts: ReadonlyMap<string, CompiledVirtualHost>): Wildcards {
  const lengths = [...new Set([...hosts.keys()].map((text) => text.length))].sort((a, b) => b - a);
  return lengths.map((length) => ({
    length,
    hosts: new Map([...hosts].filter(([text]) => text.length === length)),
  }));
}

/** `host` of `host:port`; an IPv6 address keeps its brackets. */
function withoutPort(authority: string): string {
  const colon = authority.lastIndexOf(":");
  return colon < 0 || authority.endsWith("]") ? authority : authority.slice(0, colon);
}
