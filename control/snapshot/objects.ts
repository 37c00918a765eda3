/**
 * The API objects that the translation reads, with the reverse indexes that say whom a change touches.
 *
 *   informers ─▶ index.ts ─▶ put(), remove() ─▶ pure translators read
 *
 * Invariant: the reverse indexes hold exactly what follows from the objects held now.
 */
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Namespace } from "#api/core/namespace.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import { serviceNameLabel, type EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { Gateway, GatewayClass } from "#api/gateway/gateway.ts";
import type { HTTPRoute, ParentReference } from "#api/gateway/httproute.ts";
import { controllerOf, formatKey, keyOf, type KubeObject } from "#api/meta.ts";
import { Multimap } from "./multimap.ts";

/** The kinds that the translation reads, by their plural. */
export interface ObjectKinds {
  readonly services: Service;
  readonly endpointslices: EndpointSlice;
  readonly pods: Pod;
  readonly replicasets: ReplicaSet;
  readonly namespaces: Namespace;
  readonly httproutes: HTTPRoute;
  readonly gateways: Gateway;
  readonly gatewayclasses: GatewayClass;
}

export type KindName = keyof ObjectKinds;

type ObjectMaps = { readonly [Kind in KindName]: Map<string, ObjectKinds[Kind]> };

/** Read access for translators: objects by `namespace/name`. */
export class Objects {
  readonly services: ReadonlyMap<string, Service>;
  readonly pods: ReadonlyMap<string, Pod>;
  readonly replicasets: ReadonlyMap<string, ReplicaSet>;
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly httproutes: ReadonlyMap<string, HTTPRoute>;
  readonly gateways: ReadonlyMap<string, Gateway>;
  readonly gatewayclasses: ReadonlyMap<string, GatewayClass>;

  readonly #maps: ObjectMaps = {
    services: new Map(),
    endpointslices: new Map(),
    pods: new Map(),
    replicasets: new Map(),
    namespaces: new Map(),
    httproutes: new Map(),
    gateways: new Map(),
    gatewayclasses: new Map(),
  };
  readonly #servicesByNamespace = new Multimap();
  readonly #slicesByService = new Multimap();
  readonly #servicesByPod = new Multimap();
  readonly #podsByOwner = new Multimap();
  readonly #routesByParent = new Multimap();
  readonly #routesByBackend = new Multimap();

  constructor() {
    const maps = this.#maps;
    this.services = maps.services;
    this.pods = maps.pods;
    this.replicasets = maps.replicasets;
    this.namespaces = maps.namespaces;
    this.httproutes = maps.httproutes;
    this.gateways = maps.gateways;
    this.gatewayclasses = maps.gatewayclasses;
  }

  /** Adds or replaces. The object that was there before, or undefined. */
  put<Kind extends KindName>(kind: Kind, object: ObjectKinds[Kind]): ObjectKinds[Kind] | undefined {
    const old = this.remove(kind, formatKey(keyOf(object)));
    this.#maps[kind].set(formatKey(keyOf(object)), object);
    for (const [index, key, value] of this.#links(kind, object)) index.add(key, value);
    return old;
  }

  /** The object that was there, or undefined. */
  remove<Kind extends KindName>(kind: Kind, key: string): ObjectKinds[Kind] | undefined {
    const old = this.#maps[kind].get(key);
    if (old === undefined) return undefined;
    this.#maps[kind].delete(key);
    for (const [index, from, value] of this.#links(kind, old)) index.delete(from, value);
    return old;
  }

  /** Services of a namespace, sorted by name. */
  servicesIn(namespace: string): readonly Service[] {
    return pick(this.#servicesByNamespace.get(namespace), this.services);
  }

  /** EndpointSlices of a Service, sorted by name. */
  slicesOf(serviceKey: string): readonly EndpointSlice[] {
    return pick(this.#slicesByService.get(serviceKey), this.#maps.endpointslices);
  }

  /** Keys of the Services that have the pod as an endpoint. */
  servicesOfPod(podKey: string): readonly string[] {
    return this.#servicesByPod.get(podKey);
  }

  /** Keys of the pods that the ReplicaSet controls. */
  podsOfReplicaSet(replicaSetKey: string): readonly string[] {
    return this.#podsByOwner.get(replicaSetKey);
  }

  /** HTTPRoutes with a parentRef to that Service or Gateway, sorted by key. */
  routesOfParent(kind: "Service" | "Gateway", key: string): readonly HTTPRoute[] {
    return pick(this.#routesByParent.get(`${kind}:${key}`), this.httproutes);
  }

  /** HTTPRoutes with a backendRef to that Service, sorted by key. */
  routesOfBackend(serviceKey: string): readonly HTTPRoute[] {
    return pick(this.#routesByBackend.get(serviceKey), this.httproutes);
  }

  #links(kind: KindName, object: KubeObject): (readonly [Multimap, string, string])[] {
    const key = formatKey(keyOf(object));
    const namespace = object.metadata.namespace ?? "";
    switch (kind) {
      case "services":
        return [[this.#servicesByNamespace, namespace, key]];
      case "pods":
        return replicaSetKeysOf(object).map((owner) => [this.#podsByOwner, owner, key]);
      case "endpointslices":
        return this.#sliceLinks(object as EndpointSlice, key);
      case "httproutes":
        return this.#routeLinks(object as HTTPRoute, key);
      case "replicasets":
      case "namespaces":
      case "gateways":
      case "gatewayclasses":
        return [];
    }
  }

  #sliceLinks(slice: EndpointSlice, key: string): (readonly [Multimap, string, string])[] {
    const service = serviceKeyOfSlice(slice);
    if (service === undefined) return [];
    const pods = slice.endpoints.flatMap(({ targetRef }) => (targetRef?.kind === "Pod" ? [targetRef.name] : []));
    return [
      [this.#slicesByService, service, key],
      ...pods.map((pod) => [this.#servicesByPod, `${slice.metadata.namespace}/${pod}`, service] as const),
    ];
  }

  #routeLinks(route: HTTPRoute, key: string): (readonly [Multimap, string, string])[] {
    return [
      ...parentKeysOf(route).map((parent) => [this.#routesByParent, parent, key] as const),
      ...backendKeysOf(route).map((backend) => [this.#routesByBackend, backend, key] as const),
    ];
  }
}

/** `namespace/name` of the Service that a slice belongs to, or undefined. */
export function serviceKeyOfSlice(slice: EndpointSlice): string | undefined {
  const name = slice.metadata.labels?.[serviceNameLabel];
  return name === undefined ? undefined : `${slice.metadata.namespace}/${name}`;
}

/** What a parentRef names: "Service:ns/name", "Gateway:ns/name", or undefined when it is neither. */
export function parentKeyOf(route: HTTPRoute, parent: ParentReference): string | undefined {
  const group = parent.group ?? "gateway.networking.k8s.io";
  const kind = parent.kind ?? "Gateway";
  const isOurs = (group === "" && kind === "Service") || (group === "gateway.networking.k8s.io" && kind === "Gateway");
  return isOurs ? `${kind}:${parent.namespace ?? route.metadata.namespace}/${parent.name}` : undefined;
}

/** All that a route's parentRefs name. */
export function parentKeysOf(route: HTTPRoute): readonly string[] {
  return (route.spec.parentRefs ?? []).flatMap((parent) => parentKeyOf(route, parent) ?? []);
}

function backendKeysOf(route: HTTPRoute): readonly string[] {
  return (route.spec.rules ?? []).flatMap((rule) =>
    (rule.backendRefs ?? []).map((ref) => `${ref.namespace ?? route.metadata.namespace}/${ref.name}`),
  );
}

function replicaSetKeysOf(object: KubeObject): readonly string[] {
  const owner = controllerOf(object);
  return owner?.kind === "ReplicaSet" ? [`${object.metadata.namespace}/${owner.name}`] : [];
}

function pick<T>(keys: readonly string[], objects: ReadonlyMap<string, T>): readonly T[] {
  return [...keys].sort().flatMap((key) => objects.get(key) ?? []);
}
