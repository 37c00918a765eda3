/**
 * The configuration of one sidecar: resources as they come → the snapshot in force.
 *
 *   control plane ─▶ ConfigSource ─▶ apply() ─▶ accepted ─▶ (warm) ─▶ live ─▶ proxy/l7/listener.ts
 *                                   names()  ◀─ what the accepted resources refer to
 *
 * A route goes live when the endpoints of its clusters are known, a listener when its routes are live; until then the
 * one before stays (make before break). After `warmMsMax` it goes live regardless: a name that never comes must not
 * hold up the rest. A cluster that was removed stays while a live route names it. Invariants: apply() takes all of a
 * response or nothing; a cluster starts when it is in force, so that what never is leaves nothing behind; the snapshot
 * is replaced, never changed; unchanged resources keep their compiled object, so that weights, round-robin and
 * connections go on. Source: xDS protocol, "Eventual consistency considerations" and "Resource
 * warming".
 */
import { typeUrls } from "#api/xds/envoy.ts";
import { messageOf } from "#lib/errors.ts";
import { Cluster } from "#proxy/l7/cluster.ts";
import { compileCluster, compileEndpoints } from "#proxy/l7/config/cluster.ts";
import { type CompiledListener, clusterNamesOf, compileListener, routeNamesOf } from "#proxy/l7/config/listener.ts";
import { compileRoutes } from "#proxy/l7/config/route.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import type { LiveConfig } from "#proxy/l7/listener.ts";
import type { RouteTable } from "#proxy/l7/route/table.ts";
import { readCertificates } from "#proxy/l7/tls/certificates.ts";
import type { EngineDeps } from "#proxy/l7/types.ts";
import { SidecarError } from "./errors.ts";
import { duplicateAddresses } from "./listener-addresses.ts";
import { type Place, messageAbout } from "./place.ts";
import { unknownClusters } from "./unknown-clusters.ts";

/** Time for the resources that another one names to come, in ms: Envoy's initial_fetch_timeout. */
export const warmMsMax = 15_000;

export interface NamedResource {
  readonly name: string;
  /** In the JSON form of api/xds/envoy.ts; checked here. */
  readonly resource: unknown;
  /** In the bootstrap; undefined: a control plane sent it. */
  readonly place?: Place | undefined;
}

/** What a ConfigSource calls. */
export interface ConfigConsumer {
  /** One response. Throws an error with the field's path to NACK it; nothing of it is then in force. */
  apply(typeUrl: string, updated: readonly NamedResource[], removed: readonly string[]): void;
}

/** An open subscription. */
export interface ConfigStream {
  /** The names wanted of a type (routes, endpoints); replaces the names before. Called on change, in sorted order. */
  setNames(typeUrl: string, names: readonly string[]): void;
  close(): void;
}

/** Where the configuration comes from. Listeners and clusters are subscribed to as wildcards from the start. */
export interface ConfigSource {
  subscribe(consumer: ConfigConsumer): ConfigStream;
}

export interface ConfigStateOptions {
  readonly deps: EngineDeps;
  /** All clusters are there from the start: nothing waits for another. Default false. */
  readonly hasAllClusters?: boolean;
  /** A different set of names is wanted. */
  readonly onNames: (typeUrl: string, names: readonly string[]) => void;
  /** A new snapshot is in force. */
  readonly onLive: (live: LiveConfig) => void;
}

/** A resource with what it compiled to; kept while its text stays the same. */
interface Accepted<Compiled> {
  readonly text: string;
  readonly place?: Place | undefined;
  readonly compiled: Compiled;
}

type AcceptedMap<Compiled> = Map<string, Accepted<Compiled>>;

export class ConfigState implements ConfigConsumer {
  readonly #options: ConfigStateOptions;
  readonly #listeners: AcceptedMap<CompiledListener> = new Map();
  readonly #routes: AcceptedMap<RouteTable> = new Map();
  readonly #clusters: AcceptedMap<Cluster> = new Map();
  readonly #endpoints: AcceptedMap<readonly EndpointSpec[]> = new Map();
  /** Objects that waited for longer than warmMsMax, and those that wait. */
  readonly #overdue = new WeakSet<object>();
  readonly #waiting = new WeakSet<object>();
  readonly #names = new Map<string, string>();
  readonly #seen = new Set<string>();
  #live: LiveConfig = emptyConfig;

  constructor(options: ConfigStateOptions) {
    this.#options = options;
  }

  get live(): LiveConfig {
    return this.#live;
  }

  /** The accepted listeners, live or not. */
  get listeners(): readonly CompiledListener[] {
    return [...this.#listeners.values()].map(({ compiled }) => compiled);
  }

  /** True when a first whole configuration is in force: listeners and clusters came, and all that they name. */
  get isComplete(): boolean {
    if (!this.#seen.has(typeUrls.listener) || !this.#seen.has(typeUrls.cluster)) return false;
    for (const [name, { compiled }] of this.#listeners) if (this.#live.listeners.get(name) !== compiled) return false;
    return true;
  }

  /** A message for each cluster that inline routes name, that has to be there by validate_clusters, and is not. */
  unknownClusters(): readonly string[] {
    return unknownClusters(this.#listeners, (cluster) => this.#clusters.has(cluster));
  }

  /** Where the listener of this name stands in the bootstrap; undefined: a control plane sent it. */
  placeOf(listener: string): Place | undefined {
    return this.#listeners.get(listener)?.place;
  }

  /** The accepted resources of a type, as they came, for the admin page. */
  resources(typeUrl: string): readonly NamedResource[] {
    const map: ReadonlyMap<string, Accepted<unknown>> | undefined = this.#mapOf(typeUrl);
    return [...(map ?? [])].map(([name, { text }]) => ({ name, resource: JSON.parse(text) as unknown }));
  }

  /** The names that are wanted of a type now. */
  namesOf(typeUrl: string): readonly string[] {
    return JSON.parse(this.#names.get(typeUrl) ?? "[]") as readonly string[];
  }

  /** A cluster became warm by itself (its names are resolved): what waited for it goes live. */
  refresh(): void {
    this.#settle();
  }

  apply(typeUrl: string, updated: readonly NamedResource[], removed: readonly string[]): void {
    switch (typeUrl) {
      case typeUrls.listener:
        update(this.#listeners, { updated, removed, compile: compileWithCertificates, check: duplicateAddresses });
        break;
      case typeUrls.route:
        // A route that is removed while a listener names it stays, as in Envoy: the listener's removal is what ends it.
        update(this.#routes, { updated, removed: [], compile: (resource) => compileRoutes(resource) });
        break;
      case typeUrls.cluster:
        this.#applyClusters(updated, removed);
        break;
      case typeUrls.endpoint:
        this.#applyEndpoints(updated, removed);
        break;
      default:
        throw new SidecarError("UNKNOWN_TYPE", `Cannot apply resources: type ${typeUrl} was not asked for`);
    }
    this.#seen.add(typeUrl);
    this.#settle();
    this.#reportNames();
  }

  #applyClusters(updated: readonly NamedResource[], removed: readonly string[]): void {
    update(this.#clusters, {
      updated,
      removed,
      compile: (resource, path) => {
        const cluster = new Cluster(compileCluster(resource, path), this.#options.deps);
        const endpoints = this.#endpoints.get(cluster.spec.serviceName);
        if (cluster.spec.type === "EDS" && endpoints !== undefined) cluster.update(endpoints.compiled);
        return cluster;
      },
    });
  }

  #applyEndpoints(updated: readonly NamedResource[], removed: readonly string[]): void {
    update(this.#endpoints, { updated, removed: [], compile: (resource) => compileEndpoints(resource) });
    // A name that does not exist has no endpoints; that is known, so it holds nothing up.
    for (const name of removed) this.#endpoints.set(name, { text: "{}", compiled: [] });
    const changed = new Set([...updated.map(({ name }) => name), ...removed]);
    for (const { compiled: cluster } of this.#clusters.values())
      if (cluster.spec.type === "EDS" && changed.has(cluster.spec.serviceName))
        cluster.update(this.#endpoints.get(cluster.spec.serviceName)!.compiled);
  }

  /** Accepted → live. */
  #settle(): void {
    const before = this.#live;
    const { hasAllClusters = false } = this.#options;
    const isWarm = (name: string): boolean => this.#clusters.get(name)?.compiled.isWarm ?? hasAllClusters;
    const isKnown = (name: string): boolean => this.#clusters.has(name);
    // Clusters come before the routes that name them, so one that is optional and unknown is missing for good.
    const routes = this.#choose(this.#routes, before.routes, ({ clusterNames, optionalClusters }) =>
      [...clusterNames].every((name) => isWarm(name) || (optionalClusters.has(name) && !isKnown(name))),
    );
    const listeners = this.#choose(
      this.#listeners,
      before.listeners,
      (listener) =>
        clusterNamesOf(listener).every(isWarm) &&
        routeNamesOf(listener).every(
          (name) => routes.get(name) === this.#routes.get(name)?.compiled && routes.has(name),
        ),
    );
    const wantedRoutes = new Set([...listeners.values()].flatMap(routeNamesOf));
    // Routes that no listener names any more are dropped from both; a listener that waits still needs its own.
    for (const listener of this.#listeners.values())
      for (const name of routeNamesOf(listener.compiled)) wantedRoutes.add(name);
    for (const name of routes.keys()) if (!wantedRoutes.has(name)) routes.delete(name);
    if (this.#seen.has(typeUrls.listener))
      for (const name of this.#routes.keys()) if (!wantedRoutes.has(name)) this.#routes.delete(name);
    this.#replace({
      ...before,
      version: before.version + 1,
      listeners,
      routes,
      clusters: this.#liveClusters(listeners, routes),
    });
  }

  /** Of each accepted object itself when it is warm or overdue, else the one before. */
  #choose<Compiled extends object>(
    accepted: AcceptedMap<Compiled>,
    before: ReadonlyMap<string, Compiled>,
    isWarm: (compiled: Compiled) => boolean,
  ): Map<string, Compiled> {
    const chosen = new Map<string, Compiled>();
    for (const [name, { compiled }] of accepted) {
      const current = before.get(name);
      if (current === compiled || isWarm(compiled) || this.#overdue.has(compiled)) chosen.set(name, compiled);
      else {
        if (current !== undefined) chosen.set(name, current);
        this.#await(compiled, name);
      }
    }
    return chosen;
  }

  #await(compiled: object, name: string): void {
    if (this.#waiting.has(compiled)) return;
    this.#waiting.add(compiled);
    this.#options.deps.after(warmMsMax, () => {
      this.#overdue.add(compiled);
      const isCurrent = [...this.#listeners.values(), ...this.#routes.values()].some((a) => a.compiled === compiled);
      if (!isCurrent || this.#live.listeners.get(name) === compiled || this.#live.routes.get(name) === compiled) return;
      this.#options.deps.log.warn("Resource goes live without all that it names", { name, waitedMs: warmMsMax });
      this.#settle();
    });
  }

  #liveClusters(
    listeners: ReadonlyMap<string, CompiledListener>,
    routes: ReadonlyMap<string, RouteTable>,
  ): ReadonlyMap<string, Cluster> {
    const before = this.#live.clusters;
    const clusters = new Map([...this.#clusters].map(([name, { compiled }]) => [name, compiled] as const));
    const wanted = new Set([
      ...[...listeners.values()].flatMap(clusterNamesOf),
      ...[...routes.values()].flatMap((table) => [...table.clusterNames]),
    ]);
    for (const [name, cluster] of before) {
      const next = clusters.get(name);
      // Make before break: gone or not warm yet, and still in use.
      if (wanted.has(name) && (next === undefined || (!next.isWarm && cluster.isWarm))) clusters.set(name, cluster);
    }
    return clusters;
  }

  #replace(live: Omit<LiveConfig, "listenersByAddress">): void {
    const before = this.#live;
    const listenersByAddress = new Map(
      [...live.listeners.values()].map((listener) => [`${listener.address}:${listener.port}`, listener] as const),
    );
    this.#live = Object.freeze({ ...live, listenersByAddress });
    for (const cluster of live.clusters.values()) cluster.start();
    // Their idle connections; requests in flight keep theirs.
    for (const [name, cluster] of before.clusters) if (live.clusters.get(name) !== cluster) cluster.close();
    this.#options.onLive(this.#live);
  }

  #reportNames(): void {
    const services = [...this.#clusters.values()].map(({ compiled }) => compiled.spec);
    const eds = new Set(services.filter(({ type }) => type === "EDS").map(({ serviceName }) => serviceName));
    for (const name of this.#endpoints.keys()) if (!eds.has(name)) this.#endpoints.delete(name);
    this.#reportIfChanged(typeUrls.endpoint, [...eds]);
    const rds = new Set([...this.#listeners.values()].flatMap(({ compiled }) => routeNamesOf(compiled)));
    this.#reportIfChanged(typeUrls.route, [...rds]);
  }

  #reportIfChanged(typeUrl: string, names: readonly string[]): void {
    const sorted = [...names].sort();
    const key = JSON.stringify(sorted);
    if ((this.#names.get(typeUrl) ?? "[]") === key) return;
    this.#names.set(typeUrl, key);
    this.#options.onNames(typeUrl, sorted);
  }

  #mapOf(typeUrl: string): ReadonlyMap<string, Accepted<unknown>> | undefined {
    switch (typeUrl) {
      case typeUrls.listener:
        return this.#listeners;
      case typeUrls.route:
        return this.#routes;
      case typeUrls.cluster:
        return this.#clusters;
      case typeUrls.endpoint:
        return this.#endpoints;
      default:
        return undefined;
    }
  }
}

/** With its certificates read, so that what cannot be used is refused and not found out by a connection. */
function compileWithCertificates(resource: unknown, path?: string): CompiledListener {
  const listener = compileListener(resource, path);
  readCertificates(listener);
  return listener;
}

const emptyConfig: LiveConfig = Object.freeze({
  version: 0,
  listeners: new Map(),
  listenersByAddress: new Map(),
  routes: new Map(),
  clusters: new Map(),
});

interface Update<Compiled> {
  readonly updated: readonly NamedResource[];
  readonly removed: readonly string[];
  /** `path`: of the resource in the bootstrap, for messages. */
  readonly compile: (resource: unknown, path?: string) => Compiled;
  /** What is wrong with resources that compiled beside one another; `names` are those that came now. */
  readonly check?: (all: ReadonlyMap<string, Accepted<Compiled>>, names: ReadonlySet<string>) => readonly string[];
}

/** Compiles everything before anything is changed; all that is wrong is in one message. */
function update<Compiled>(map: AcceptedMap<Compiled>, { updated, removed, compile, check }: Update<Compiled>): void {
  const problems: string[] = [];
  const next: (readonly [string, Accepted<Compiled>])[] = [];
  for (const { name, resource, place } of updated) {
    const text = JSON.stringify(resource) ?? "null";
    if (map.get(name)?.text === text) continue;
    try {
      next.push([name, { text, place, compiled: compile(resource, place?.path) }]);
    } catch (error) {
      problems.push(messageAbout({ name, place }, messageOf(error)));
    }
  }
  if (check !== undefined && next.length > 0) {
    const after = new Map([...map, ...next]);
    for (const name of removed) after.delete(name);
    problems.push(...check(after, new Set(next.map(([name]) => name))));
  }
  if (problems.length > 0) throw new SidecarError("BAD_RESOURCE", problems.slice(0, 10).join("; "));
  for (const [name, accepted] of next) map.set(name, accepted);
  for (const name of removed) map.delete(name);
}
