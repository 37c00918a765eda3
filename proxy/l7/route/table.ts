/**
 * A compiled RouteConfiguration: request head → route → cluster name.
 *
 *   config/route.ts ─▶ RouteTable ─▶ exchange.ts: find(head) ─▶ Route ─▶ pickCluster(route)
 *
 * Virtual hosts are found in Envoy's order: exact domain, longest "*.suffix", longest "prefix.*", "*"; one map lookup
 * for an exact domain, one for each distinct wildcard length otherwise. Routes of a host with many are found by an
 * index (route-index.ts). Invariant: immutable, but for the weights' credits.
 */
import type { RequestHead } from "../http1/request.ts";
import { RouteIndex } from "./route-index.ts";
import { plainInfo } from "./match.ts";
import { tlsRedirect } from "./tls-redirect.ts";
import type { CompiledRoute, RouteInfo, RouteTarget } from "./types.ts";

export type { CompiledRoute } from "./types.ts";

export interface CompiledVirtualHost {
  readonly name: string;
  readonly domains: readonly string[];
  readonly routes: readonly CompiledRoute[];
  /** Plain-text requests are redirected to https: all, or those that come from outside. */
  readonly requireTLS: "NONE" | "EXTERNAL_ONLY" | "ALL";
}

/** Wildcards of one kind: longest first, one map for each length. */
type Wildcards = readonly { readonly length: number; readonly hosts: ReadonlyMap<string, CompiledVirtualHost> }[];

/** Routes of one host up to this many are looked at one after the other. */
const scannedMax = 8;

export interface TableOptions {
  /** Where the table stands in the configuration, for messages. */
  readonly path: string;
  /** Whether the port of a request's host is left out of account. */
  readonly ignoresPort: boolean;
  /** Envoy's validate_clusters. */
  readonly validatesClusters: boolean;
}

export class RouteTable {
  readonly name: string;
  readonly path: string;
  readonly hosts: readonly CompiledVirtualHost[];
  /** Each cluster that a route names, once. */
  readonly clusterNames: ReadonlySet<string>;
  /** Those of them that may be missing: their routes say what is then answered. */
  readonly optionalClusters: ReadonlySet<string>;
  /** Whether all the others have to be there from the start. */
  readonly validatesClusters: boolean;
  readonly #ignoresPort: boolean;
  readonly #exact: ReadonlyMap<string, CompiledVirtualHost>;
  readonly #suffixes: Wildcards;
  readonly #prefixes: Wildcards;
  readonly #any: CompiledVirtualHost | undefined;
  /** Of hosts with many routes. */
  readonly #indexes = new Map<CompiledVirtualHost, RouteIndex>();

  /** Domains must be unique over all hosts; config/route.ts checks it. */
  constructor(name: string, hosts: readonly CompiledVirtualHost[], options: TableOptions) {
    const { path, ignoresPort, validatesClusters } = options;
    this.name = name;
    this.path = path;
    this.hosts = hosts;
    this.validatesClusters = validatesClusters;
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
    for (const host of hosts) if (host.routes.length > scannedMax) this.#indexes.set(host, new RouteIndex(host.routes));
    const routes = hosts.flatMap((host) => host.routes);
    const namesOf = (some: readonly CompiledRoute[]): Set<string> =>
      new Set(some.flatMap((route) => clusterNamesOf(route.target)));
    this.clusterNames = namesOf(routes);
    this.optionalClusters = namesOf(routes.filter((route) => route.unknownCluster !== undefined));
  }

  /** The first route that matches, or undefined: no virtual host or no route for it. */
  find(head: RequestHead, info: RouteInfo = plainInfo): CompiledRoute | undefined {
    const host = this.hostFor(this.#ignoresPort ? withoutPort(head.host) : head.host);
    if (host === undefined) return undefined;
    if (host.requireTLS !== "NONE") {
      const redirect = tlsRedirect(head, host);
      if (redirect !== undefined) return redirect;
    }
    if (head.method === "CONNECT")
      return host.routes.find(({ pathKey, matches }) => pathKey.kind === "connect" && matches(head, info));
    const index = this.#indexes.get(host);
    if (index !== undefined) return index.find(head, info);
    for (const route of host.routes) if (route.pathKey.kind !== "connect" && route.matches(head, info)) return route;
    return undefined;
  }

  /** The virtual host for an authority in lower case. */
  hostFor(authority: string): CompiledVirtualHost | undefined {
    const exact = this.#exact.size === 0 ? undefined : this.#exact.get(authority);
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
