/**
 * Routes inside the mesh: Service + the HTTPRoutes whose parent it is → RDS, for everybody and for single
 * namespaces. Pure.
 *
 * A route in the Service's own namespace (producer) holds for all clients; one in another namespace (consumer) only for
 * clients of that namespace, and there instead of the producer's. Host names of such routes mean nothing.
 * Source: Gateway API, GEP-1426 (GAMMA).
 */
import type { Service, ServicePort } from "#api/core/service.ts";
import type { HTTPRoute, ParentReference } from "#api/gateway/httproute.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import type { Route, RouteConfiguration } from "#api/xds/envoy.ts";
import { hostOfService, tcpPortsOf } from "./cluster.ts";
import { retryPolicy } from "./filter-chain.ts";
import { mustWait, problemOf, translateRoutes } from "./http-route.ts";
import { outboundClusterName, outboundRouteName } from "./names.ts";
import { parentKeyOf, type Objects } from "./objects.ts";
import { protocolOf } from "./protocol.ts";

/** A route configuration, and the namespace whose clients alone get it. */
export interface MeshRoutes {
  readonly namespace: string | undefined;
  readonly config: RouteConfiguration;
}

/** All route configurations of a Service's ports. */
export function meshRoutesOf(
  service: Service,
  objects: Pick<Objects, "services" | "slicesOf" | "routesOfParent">,
): readonly MeshRoutes[] {
  const routes = objects
    .routesOfParent("Service", formatKey(keyOf(service)))
    .filter((route) => problemOf(route) === undefined && !mustWait(route, objects));
  return tcpPortsOf(service)
    .filter((port) => protocolOf(port) !== "tcp")
    .flatMap((port) => portRoutes(service, port, routes, objects));
}

/** Whether a parentRef that names `service` attaches to the port. */
export function attachesTo(parent: ParentReference, { port, name }: ServicePort): boolean {
  return (
    (parent.port === undefined || parent.port === port) &&
    (parent.sectionName === undefined || parent.sectionName === name)
  );
}

function portRoutes(
  service: Service,
  port: ServicePort,
  routes: readonly HTTPRoute[],
  objects: Pick<Objects, "services" | "slicesOf">,
): readonly MeshRoutes[] {
  const key = `Service:${formatKey(keyOf(service))}`;
  const attached = routes.filter((route) =>
    route.spec.parentRefs?.some((parent) => parentKeyOf(route, parent) === key && attachesTo(parent, port)),
  );
  const own = service.metadata.namespace ?? "";
  const consumers = [...new Set(attached.map((route) => route.metadata.namespace ?? ""))].filter(
    (name) => name !== own,
  );
  return [undefined, ...consumers.sort()].map((namespace) => {
    const taking = attached.filter((route) => route.metadata.namespace === (namespace ?? own));
    const candidates = taking.map((route) => ({ route, hostRank: 0 }));
    const translated =
      taking.length === 0 ? [defaultRoute(service, port)] : translateRoutes(candidates, "Service", objects);
    return { namespace, config: routeConfiguration(outboundRouteName(hostOfService(service), port.port), translated) };
  });
}

/** A listener stands for one cluster IP and port, so the Host header does not matter. */
function routeConfiguration(name: string, routes: readonly Route[]): RouteConfiguration {
  return { name, virtual_hosts: [{ name, domains: ["*"], routes }] };
}

function defaultRoute(service: Service, { port }: ServicePort): Route {
  const cluster = outboundClusterName(hostOfService(service), port);
  return { name: "default", match: { prefix: "/" }, route: { cluster, timeout: "0s", retry_policy: retryPolicy } };
}
