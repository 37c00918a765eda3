/**
 * The snapshot: API objects in, xDS resources out, incrementally.
 *
 *   informers ─▶ onEvent() marks what is touched ─▶ (debounce) ─▶ flush() makes exactly that ─▶ Changes ─▶ push
 *
 * Readers see the state of the last flush; between flushes nothing that a View returns changes. Resources are
 * immutable.
 * Invariant: after a flush the table holds what a new Snapshot fed with the same objects would hold (property test).
 * An object that cannot be translated keeps its last good resources and is listed in `problems`.
 */
import type { Pod } from "#api/core/pod.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { httpRoutes, type HTTPRoute } from "#api/gateway/httproute.ts";
import type { KindRef } from "#api/kind.ts";
import { controllerOf, formatKey, keyOf, type KubeObject } from "#api/meta.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import type { NodeId } from "#api/xds/node-id.ts";
import { messageOf } from "#lib/errors.ts";
import { IngressRoutes } from "./ingress.ts";
import {
  configOf,
  endpointResourcesOf,
  gatewayPlacedOf,
  routeResourcesOf,
  sidecarResourcesOf,
  staticResources,
  workloadResourcesOf,
  type SidecarPlace,
} from "./make.ts";
import { kindNameOf, snapshotKinds } from "./kinds.ts";
import { Objects, parentKeysOf, serviceKeyOfSlice, type KindName } from "./objects.ts";
import type { Placed } from "./resource.ts";
import { ResourceTable, type Changes } from "./table.ts";
import { gatewayView, scopedView, type View } from "./view.ts";
import { workloadOf } from "./workload.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED";

/** A client's view, held while it is connected. */
export interface Connection {
  readonly view: View;
  release(): void;
}

interface ConnectedSidecar extends SidecarPlace {
  connections: number;
}

export class Snapshot {
  /** What the snapshot was made from, for status.ts and the dashboard. */
  readonly objects: Objects = new Objects();
  /** Owner ("service:default/a") → why its last change could not be translated. */
  readonly problems: ReadonlyMap<string, string>;
  readonly #problems = new Map<string, string>();
  readonly #table = new ResourceTable();
  readonly #ingresses = new IngressRoutes(this.objects.services);
  readonly #sidecars = new Map<string, ConnectedSidecar>();
  readonly #gatewayClusters = new Map<string, ReadonlySet<string>>();
  readonly #unsynced = new Set(snapshotKinds.map(({ plural }) => plural));
  readonly #listeners = new Set<() => void>();
  /** What to make again: "what:key". A set, so bounded by the number of objects. */
  readonly #marked = new Set<string>();
  #revision = 0;

  constructor() {
    this.problems = this.#problems;
    this.#table.replace("static:", staticResources());
  }

  /** Grows with each flush that changed something. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether every kind was listed once. */
  get isSynced(): boolean {
    return this.#unsynced.size === 0;
  }

  /** `listener` runs whenever there is something to flush, and when the last kind has synced. Call the result to stop it. */
  onDirty(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** One change of an object, from an informer. Kinds that the snapshot does not read are passed over. */
  onEvent(kind: KindRef, type: EventType, object: KubeObject): void {
    const isRemoved = type === "DELETED";
    this.#put(kind, isRemoved, object);
    for (const change of this.#ingresses.onEvent(kind, isRemoved, object))
      this.#put(httpRoutes, change.type === "DELETED", change.route);
    if (this.#marked.size > 0) this.#notify();
  }

  /** The first list of `kind` was given to `onEvent` completely. */
  synced(kind: KindRef): void {
    if (this.#unsynced.delete(kind.plural)) this.#notify();
  }

  /** The view of a client. A sidecar's inbound side is made from now until the last `release`. */
  connect(id: NodeId): Connection {
    switch (id.kind) {
      case "node":
        return { view: scopedView(this.#table, ["node"]), release: () => undefined };
      case "router": {
        const clusters = (): ReadonlySet<string> => this.#gatewayClusters.get(id.gateway) ?? new Set();
        return { view: gatewayView(this.#table, `gateway:${id.gateway}`, clusters), release: () => undefined };
      }
      case "sidecar":
        return this.#connectSidecar(`${id.namespace}/${id.podName}`, id.podIP, id.namespace);
    }
  }

  /** Makes what was marked again. What clients may see differently since the last flush. */
  flush(): Changes {
    const marked = [...this.#marked].sort();
    this.#marked.clear();
    for (const mark of marked) {
      const colon = mark.indexOf(":");
      this.#make(mark.slice(0, colon), mark.slice(colon + 1));
    }
    const changes = this.#table.takeChanges();
    if (changes.size > 0) this.#revision++;
    return changes;
  }

  #put(kind: KindRef, isRemoved: boolean, object: KubeObject): void {
    const name = kindNameOf(kind);
    if (name === undefined) return;
    const key = formatKey(keyOf(object));
    const old = isRemoved ? this.objects.remove(name, key) : this.objects.put(name, object);
    this.#markFor(name, old, isRemoved ? undefined : object);
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #connectSidecar(podKey: string, podIP: string, namespace: string): Connection {
    const scope = `pod:${podKey}@${podIP}`;
    const sidecar = this.#sidecars.get(scope) ?? { scope, podKey, podIP, connections: 0 };
    sidecar.connections++;
    this.#sidecars.set(scope, sidecar);
    // Made at once: the client asks for it now, and nobody else is concerned.
    if (sidecar.connections === 1) this.#make("sidecar", scope);
    let held = true;
    return {
      view: scopedView(this.#table, [scope, `namespace:${namespace}`, "mesh"]),
      release: () => {
        if (!held) return;
        held = false;
        sidecar.connections--;
        if (sidecar.connections > 0) return;
        this.#sidecars.delete(scope);
        this.#table.replace(`sidecar:${scope}`, []);
      },
    };
  }

  /** Marks what `old` becoming `now` touches; undefined is absent. */
  #markFor(kind: KindName, old: KubeObject | undefined, now: KubeObject | undefined): void {
    const object = now ?? old;
    if (object === undefined) return;
    const key = formatKey(keyOf(object));
    switch (kind) {
      case "services":
        return this.#markService(key, object.metadata.namespace ?? "");
      case "endpointslices":
        for (const slice of [old, now] as readonly (EndpointSlice | undefined)[]) {
          const service = slice === undefined ? undefined : serviceKeyOfSlice(slice);
          if (service === undefined) continue;
          this.#marked.add(`endpoints:${service}`);
          // The first slice of a Service, or the last: routes wait for it (http-route.ts mustWait).
          if (old === undefined || now === undefined)
            for (const route of this.objects.routesOfBackend(service)) this.#markParents(route);
        }
        return;
      case "pods":
        return this.#markPod(key, old as Pod | undefined, now as Pod | undefined);
      case "replicasets":
        if (deploymentOf(old) !== deploymentOf(now))
          for (const pod of this.objects.podsOfReplicaSet(key)) this.#markWorkload(pod);
        return;
      case "httproutes":
        for (const route of [old, now] as readonly (HTTPRoute | undefined)[])
          if (route !== undefined) this.#markParents(route);
        return;
      case "gateways":
        this.#marked.add(`gateway:${key}`);
        return;
      case "namespaces":
        if (sameLabels(old, now)) return;
        this.#markAllGateways();
        return;
      case "gatewayclasses":
        this.#markAllGateways();
        return;
    }
  }

  #markService(key: string, namespace: string): void {
    for (const what of ["service", "endpoints", "routes"]) this.#marked.add(`${what}:${key}`);
    for (const route of this.objects.routesOfBackend(key)) this.#markParents(route);
    for (const { scope, podKey } of this.#sidecars.values())
      if (podKey.startsWith(`${namespace}/`)) this.#marked.add(`sidecar:${scope}`);
  }

  #markPod(key: string, old: Pod | undefined, now: Pod | undefined): void {
    const before = old === undefined ? undefined : workloadOf(old, this.objects);
    const after = now === undefined ? undefined : workloadOf(now, this.objects);
    if (JSON.stringify(before) !== JSON.stringify(after)) this.#markWorkload(key);
    // A pod has few sidecars: one, or two while it is replaced.
    for (const { scope, podKey } of this.#sidecars.values()) if (podKey === key) this.#marked.add(`sidecar:${scope}`);
  }

  #markWorkload(podKey: string): void {
    this.#marked.add(`workload:${podKey}`);
    for (const service of this.objects.servicesOfPod(podKey)) this.#marked.add(`endpoints:${service}`);
  }

  #markParents(route: HTTPRoute): void {
    for (const parent of parentKeysOf(route)) {
      const [kind, key] = parent.split(":") as [string, string];
      this.#marked.add(kind === "Service" ? `routes:${key}` : `gateway:${key}`);
    }
  }

  #markAllGateways(): void {
    for (const key of this.objects.gateways.keys()) this.#marked.add(`gateway:${key}`);
  }

  #make(what: string, key: string): void {
    const owner = `${what}:${key}`;
    try {
      this.#table.replace(owner, this.#resourcesOf(what, key));
      this.#problems.delete(owner);
    } catch (error) {
      // One bad object must not keep the others from being served; its last good resources stay.
      this.#problems.set(owner, messageOf(error));
    }
  }

  #resourcesOf(what: string, key: string): readonly Placed[] {
    const service = this.objects.services.get(key);
    switch (what) {
      case "service":
        return service === undefined ? [] : configOf(service);
      case "endpoints":
        return service === undefined ? [] : endpointResourcesOf(service, this.objects);
      case "routes":
        return service === undefined ? [] : routeResourcesOf(service, this.objects);
      case "workload": {
        const pod = this.objects.pods.get(key);
        return pod === undefined ? [] : workloadResourcesOf(pod, this.objects);
      }
      case "sidecar": {
        const sidecar = this.#sidecars.get(key);
        return sidecar === undefined ? [] : sidecarResourcesOf(sidecar, this.objects);
      }
      default: {
        const { placed, clusters } = gatewayPlacedOf(key, this.objects);
        this.#setGatewayClusters(key, clusters);
        return placed;
      }
    }
  }

  #setGatewayClusters(key: string, clusters: ReadonlySet<string>): void {
    const old = this.#gatewayClusters.get(key) ?? new Set<string>();
    if (clusters.size === 0) this.#gatewayClusters.delete(key);
    else this.#gatewayClusters.set(key, clusters);
    for (const name of clusters.symmetricDifference(old))
      for (const typeUrl of [typeUrls.cluster, typeUrls.endpoint]) this.#table.touch(`gateway:${key}`, typeUrl, name);
  }
}

function deploymentOf(replicaSet: KubeObject | undefined): string | undefined {
  return replicaSet === undefined ? undefined : controllerOf(replicaSet)?.name;
}

function sameLabels(a: KubeObject | undefined, b: KubeObject | undefined): boolean {
  return JSON.stringify(a?.metadata.labels) === JSON.stringify(b?.metadata.labels);
}
