/**
 * Ingresses, served as what they are: routes of a Gateway. Pure translation, and the cache that keeps it current.
 *
 *   Ingress ─▶ routesOfIngress() ─▶ HTTPRoutes that only the snapshot knows ─▶ gateway.ts
 *
 * The Gateway `kube-system/ingress` serves them all; controllers/ingress.ts makes it with the first Ingress. The order
 * of paths is Gateway API's, which is Ingress's: exact before prefix, the longest first, the older object on a tie.
 * Not as in Ingress: `*.example.com` matches more than one label, as everywhere else in Gateway API.
 * Follows: networking/v1 Ingress, and the rules that ingress2gateway gives.
 */
import { type HTTPRoute, type HTTPRouteRule, httpRoutes } from "#api/gateway/httproute.ts";
import { type Service, services } from "#api/core/service.ts";
import { apiVersionOf, type KindRef } from "#api/kind.ts";
import { type KubeObject, formatKey, keyOf } from "#api/meta.ts";
import { type Ingress, type IngressBackend, type IngressPath, ingresses } from "#api/networking/ingress.ts";
import { type IngressClass, ingressClasses, ingressController } from "#api/networking/ingress-class.ts";

/** The Gateway that serves every Ingress of our class. */
export const ingressGateway = { namespace: "kube-system", name: "ingress" };

const classAnnotation = "kubernetes.io/ingress.class";
const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class";
/** Sorts a default backend behind every rule of every Ingress: it answers what nothing else does. */
const never = "9999-12-31T23:59:59Z";

export interface RouteChange {
  readonly type: "MODIFIED" | "DELETED";
  readonly route: HTTPRoute;
}

/** Whether the Ingress is ours to serve: its class is, or it has none and ours is the default. */
export function isOurIngress({ spec, metadata }: Ingress, classes: ReadonlyMap<string, IngressClass>): boolean {
  const name = spec.ingressClassName ?? metadata.annotations?.[classAnnotation];
  const isOurs = ({ spec: classSpec }: IngressClass): boolean => classSpec?.controller === ingressController;
  if (name !== undefined) {
    const named = classes.get(name);
    return named !== undefined && isOurs(named);
  }
  return [...classes.values()].some(
    (each) => isOurs(each) && each.metadata.annotations?.[defaultClassAnnotation] === "true",
  );
}

/** One route for each host that the Ingress names, and one for its default backend. Pure. */
export function routesOfIngress(ingress: Ingress, servicesByKey: ReadonlyMap<string, Service>): readonly HTTPRoute[] {
  const { spec } = ingress;
  const pathsByHost = new Map<string, readonly IngressPath[]>();
  for (const { host = "", http } of spec.rules ?? [])
    pathsByHost.set(host, [...(pathsByHost.get(host) ?? []), ...(http?.paths ?? [])]);
  const toBackend = (backend: IngressBackend): Pick<HTTPRouteRule, "backendRefs"> => ({
    backendRefs: backendRefsOf(backend, ingress, servicesByKey),
  });
  const routes = [...pathsByHost].flatMap(([host, paths]): HTTPRoute[] => {
    // A host without paths goes to the default backend as a whole.
    if (paths.length === 0) return [];
    const rules = paths.map((path) => ({ matches: [{ path: matchOf(path) }], ...toBackend(path.backend) }));
    return [routeOf(ingress, host === "" ? "rules" : host, host === "" ? [] : [host], rules)];
  });
  if (spec.defaultBackend === undefined) return routes;
  const fallback = routeOf(
    ingress,
    "default",
    [],
    [{ matches: [{ path: { type: "PathPrefix", value: "/" } }], ...toBackend(spec.defaultBackend) }],
  );
  return [...routes, { ...fallback, metadata: { ...fallback.metadata, creationTimestamp: never } }];
}

/** A name with a colon, which no stored object can have. */
function routeOf(
  { metadata }: Ingress,
  part: string,
  hostnames: readonly string[],
  rules: readonly HTTPRouteRule[],
): HTTPRoute {
  const { name, namespace = "", uid = "", creationTimestamp } = metadata;
  const kept = creationTimestamp === undefined ? {} : { creationTimestamp };
  return {
    apiVersion: apiVersionOf(httpRoutes),
    kind: httpRoutes.kind,
    metadata: { name: `ingress:${name}:${part}`, namespace, uid: `${uid}:${part}`, ...kept },
    spec: { parentRefs: [ingressGateway], hostnames, rules },
  };
}

function matchOf({ path = "/", pathType }: IngressPath): { type: "Exact" | "PathPrefix"; value: string } {
  return { type: pathType === "Exact" ? "Exact" : "PathPrefix", value: path };
}

/** A port that the Service does not have stays absent: such a backend is answered with an error, not guessed. */
function backendRefsOf(
  { service }: IngressBackend,
  { metadata }: Ingress,
  servicesByKey: ReadonlyMap<string, Service>,
): NonNullable<HTTPRouteRule["backendRefs"]> {
  if (service === undefined) return [];
  const { name, port = {} } = service;
  const ports = servicesByKey.get(`${metadata.namespace ?? ""}/${name}`)?.spec.ports ?? [];
  const number = port.number ?? ports.find((candidate) => candidate.name === port.name)?.port;
  return [{ name, weight: 1, ...(number === undefined ? {} : { port: number }) }];
}

/** Keeps the routes of Ingresses current as Ingresses, their classes and the Services they name change. */
export class IngressRoutes {
  readonly #ingresses = new Map<string, Ingress>();
  readonly #classes = new Map<string, IngressClass>();
  readonly #routes = new Map<string, readonly HTTPRoute[]>();
  readonly #services: ReadonlyMap<string, Service>;

  constructor(servicesByKey: ReadonlyMap<string, Service>) {
    this.#services = servicesByKey;
  }

  /** What changes with this event, which `servicesByKey` must show already. */
  onEvent(kind: KindRef, isRemoved: boolean, object: KubeObject): readonly RouteChange[] {
    const key = formatKey(keyOf(object));
    switch (kind.plural) {
      case ingresses.plural:
        set(this.#ingresses, key, isRemoved ? undefined : (object as Ingress));
        return this.#translate(key);
      case ingressClasses.plural:
        set(this.#classes, key, isRemoved ? undefined : (object as IngressClass));
        return [...this.#ingresses.keys()].flatMap((each) => this.#translate(each));
      case services.plural:
        return [...this.#ingresses].flatMap(([each, ingress]) => (names(ingress, key) ? this.#translate(each) : []));
      default:
        return [];
    }
  }

  #translate(key: string): readonly RouteChange[] {
    const ingress = this.#ingresses.get(key);
    const isServed = ingress !== undefined && isOurIngress(ingress, this.#classes);
    const routes = isServed ? routesOfIngress(ingress, this.#services) : [];
    const kept = new Set(routes.map(({ metadata }) => metadata.name));
    const gone = (this.#routes.get(key) ?? []).filter(({ metadata }) => !kept.has(metadata.name));
    set(this.#routes, key, routes.length === 0 ? undefined : routes);
    return [
      ...gone.map((route) => ({ type: "DELETED" as const, route })),
      ...routes.map((route) => ({ type: "MODIFIED" as const, route })),
    ];
  }
}

function set<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

/** Whether one of the Ingress's backends is that Service. */
function names({ spec, metadata }: Ingress, serviceKey: string): boolean {
  const backends = [spec.defaultBackend, ...(spec.rules ?? []).flatMap(({ http }) => backendsOf(http?.paths ?? []))];
  return backends.some((backend) => `${metadata.namespace ?? ""}/${backend?.service?.name ?? ""}` === serviceKey);
}

const backendsOf = (paths: readonly IngressPath[]): readonly IngressBackend[] => paths.map(({ backend }) => backend);
