/**
 * A Gateway → its listeners, routes and the clusters that it sends to. Pure.
 *
 *   Gateway + HTTPRoutes + Namespaces ─▶ attachmentsOf() ─▶ gatewayResourcesOf() for push, status.ts for users
 *
 * All of a Gateway's listeners on one port become one Envoy listener; a virtual host stands for each host name.
 * A request belongs to the listener with the most specific host name alone, as Gateway API's listener isolation has it.
 */
import type { Gateway, GatewayListener } from "#api/gateway/gateway.ts";
import type { HTTPRoute, ParentReference } from "#api/gateway/httproute.ts";
import { formatKey, keyOf, type LabelSelector } from "#api/meta.ts";
import type { Listener, RouteConfiguration, VirtualHost } from "#api/xds/envoy.ts";
import { filterChainsOf } from "./filter-chain.ts";
import { covers, hostRank, intersect } from "./hostname.ts";
import { mustWait, problemOf, translateRoutes } from "./http-route.ts";
import { gatewayRouteName, listenerName, missingCluster } from "./names.ts";
import { parentKeyOf, type Objects } from "./objects.ts";

/** Why a listener is refused. */
export interface ListenerProblem {
  readonly reason: "UnsupportedProtocol" | "InvalidRouteKinds" | "HostnameConflict";
  readonly message: string;
}

/** What became of one parentRef of a route at one Gateway. */
export type Attachment =
  | {
      readonly kind: "attached";
      readonly route: HTTPRoute;
      readonly parent: ParentReference;
      /** The host names under which the route is reached, by the listener's name. */
      readonly hostnames: ReadonlyMap<string, readonly string[]>;
    }
  | {
      readonly kind: "refused";
      readonly route: HTTPRoute;
      readonly parent: ParentReference;
      readonly reason: "NoMatchingParent" | "NotAllowedByListeners" | "NoMatchingListenerHostname" | "UnsupportedValue";
      readonly message: string;
    };

export interface GatewayResources {
  readonly listeners: readonly Listener[];
  readonly routes: readonly RouteConfiguration[];
  /** Names of the clusters that the routes send to. */
  readonly clusters: ReadonlySet<string>;
}

/** Why Wherry cannot serve the listener, or undefined. */
export function problemOfListener(listener: GatewayListener, gateway: Gateway): ListenerProblem | undefined {
  if (listener.protocol !== "HTTP")
    return { reason: "UnsupportedProtocol", message: `Cannot serve ${listener.protocol}: wanted HTTP` };
  const kinds = listener.allowedRoutes?.kinds ?? [];
  if (kinds.length > 0 && !kinds.some(({ kind }) => kind === "HTTPRoute"))
    return { reason: "InvalidRouteKinds", message: "Cannot allow the route kinds named: wanted HTTPRoute" };
  const rival = gateway.spec.listeners.find(
    (other) => other !== listener && other.port === listener.port && other.hostname === listener.hostname,
  );
  if (rival !== undefined)
    return {
      reason: "HostnameConflict",
      message: `Cannot serve port ${listener.port}: listener ${rival.name} has the same port and host name`,
    };
  return undefined;
}

/** What becomes of each parentRef that names the Gateway. Sorted by route. */
export function attachmentsOf(
  gateway: Gateway,
  objects: Pick<Objects, "namespaces" | "routesOfParent">,
): readonly Attachment[] {
  const key = formatKey(keyOf(gateway));
  return objects
    .routesOfParent("Gateway", key)
    .flatMap((route) =>
      (route.spec.parentRefs ?? [])
        .filter((parent) => parentKeyOf(route, parent) === `Gateway:${key}`)
        .map((parent) => attach(route, parent, gateway, objects)),
    );
}

/** The listeners, routes and cluster names of a Gateway whose class is ours. */
export function gatewayResourcesOf(
  gateway: Gateway,
  objects: Pick<Objects, "namespaces" | "routesOfParent" | "services" | "slicesOf">,
): GatewayResources {
  const served = gateway.spec.listeners.filter((listener) => problemOfListener(listener, gateway) === undefined);
  const attachments = attachmentsOf(gateway, objects);
  const ports = [...new Set(served.map(({ port }) => port))].sort((a, b) => a - b);
  const routes = ports.map((port): RouteConfiguration => {
    const hosts = virtualHostsOf(
      served.filter((listener) => listener.port === port),
      attachments,
      objects,
    );
    return {
      name: gatewayRouteName(port),
      // Browsers and curl name the port in Host when it is published under another number.
      ...(hosts.every(({ name }) => name === "*") ? {} : { ignore_port_in_host_matching: true }),
      virtual_hosts: hosts,
    };
  });
  return { listeners: ports.map(gatewayListener), routes, clusters: clustersIn(routes) };
}

function attach(
  route: HTTPRoute,
  parent: ParentReference,
  gateway: Gateway,
  objects: Pick<Objects, "namespaces">,
): Attachment {
  const refuse = (reason: Extract<Attachment, { kind: "refused" }>["reason"], message: string): Attachment => ({
    kind: "refused",
    route,
    parent,
    reason,
    message,
  });
  const named = gateway.spec.listeners.filter(
    ({ name, port }) =>
      (parent.sectionName === undefined || parent.sectionName === name) &&
      (parent.port === undefined || parent.port === port),
  );
  if (named.length === 0)
    return refuse("NoMatchingParent", "Cannot attach: the Gateway has no listener of that name and port");
  const allowed = named.filter(
    (listener) =>
      problemOfListener(listener, gateway) === undefined && allowsNamespace(listener, gateway, route, objects),
  );
  if (allowed.length === 0)
    return refuse("NotAllowedByListeners", "Cannot attach: no listener allows routes of this namespace and kind");
  const hostnames = new Map(
    allowed
      .map((listener) => [listener.name, intersect(listener.hostname, route.spec.hostnames)] as const)
      .filter(([, names]) => names.length > 0),
  );
  if (hostnames.size === 0)
    return refuse("NoMatchingListenerHostname", "Cannot attach: no host name is both the route's and a listener's");
  const problem = problemOf(route);
  if (problem !== undefined) return refuse("UnsupportedValue", problem);
  return { kind: "attached", route, parent, hostnames };
}

function allowsNamespace(
  { allowedRoutes }: GatewayListener,
  gateway: Gateway,
  route: HTTPRoute,
  { namespaces }: Pick<Objects, "namespaces">,
): boolean {
  const { from = "Same", selector = {} } = allowedRoutes?.namespaces ?? {};
  const namespace = route.metadata.namespace ?? "";
  switch (from) {
    case "All":
      return true;
    case "None":
      return false;
    case "Same":
      return namespace === gateway.metadata.namespace;
    case "Selector": {
      const labels = namespaces.get(namespace)?.metadata.labels;
      return labels !== undefined && matchesSelector(selector, labels);
    }
  }
}

function matchesSelector(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key];
      switch (operator) {
        case "In":
          return value !== undefined && values.includes(value);
        case "NotIn":
          return value === undefined || !values.includes(value);
        case "Exists":
          return value !== undefined;
        case "DoesNotExist":
          return value === undefined;
      }
    })
  );
}

function gatewayListener(port: number): Listener {
  return {
    name: listenerName("0.0.0.0", port),
    address: { socket_address: { address: "0.0.0.0", port_value: port } },
    traffic_direction: "OUTBOUND",
    filter_chains: filterChainsOf("http", {
      statPrefix: `outbound_0.0.0.0_${port}`,
      routes: { rds: gatewayRouteName(port) },
      cluster: "",
    }),
  };
}

/** One virtual host for each host name of the listeners (they share a port) and of the routes attached to them. */
function virtualHostsOf(
  listeners: readonly GatewayListener[],
  attachments: readonly Attachment[],
  objects: Pick<Objects, "services" | "slicesOf">,
): readonly VirtualHost[] {
  const hosts = new Map<string, VirtualHost>();
  for (const listener of listeners) {
    const reached = attachments.flatMap((attachment) =>
      attachment.kind === "attached" && !mustWait(attachment.route, objects)
        ? (attachment.hostnames.get(listener.name) ?? []).map((host) => ({ route: attachment.route, host }))
        : [],
    );
    const own = listener.hostname ?? "*";
    for (const host of new Set([own, ...reached.map(({ host }) => host)])) {
      if (isTakenByOther(host, listener, listeners)) continue;
      // A route under a wider host name still answers what no route of the narrower one does.
      const candidates = reached
        .filter((candidate) => covers(candidate.host, host))
        .map((candidate) => ({ route: candidate.route, hostRank: hostRank(candidate.host) }));
      hosts.set(host, { name: host, domains: [host], routes: translateRoutes(dedupe(candidates), "Gateway", objects) });
    }
  }
  return [...hosts.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Whether a listener with a more specific host name owns `host`. */
function isTakenByOther(host: string, listener: GatewayListener, listeners: readonly GatewayListener[]): boolean {
  const own = hostRank(listener.hostname ?? "*");
  return listeners.some(
    (other) => other !== listener && hostRank(other.hostname ?? "*") > own && covers(other.hostname ?? "*", host),
  );
}

/** A route may be reached under several names that cover one host: its most specific name counts. */
function dedupe<T extends { readonly route: HTTPRoute; readonly hostRank: number }>(
  candidates: readonly T[],
): readonly T[] {
  const best = new Map<HTTPRoute, T>();
  for (const candidate of candidates)
    if (candidate.hostRank > (best.get(candidate.route)?.hostRank ?? -1)) best.set(candidate.route, candidate);
  return [...best.values()];
}

function clustersIn(routes: readonly RouteConfiguration[]): ReadonlySet<string> {
  const names = routes
    .flatMap(({ virtual_hosts }) => virtual_hosts)
    .flatMap((host) => host.routes)
    .flatMap(({ route }) => [
      ...(route?.cluster === undefined ? [] : [route.cluster]),
      ...(route?.weighted_clusters?.clusters.map(({ name }) => name) ?? []),
    ]);
  return new Set(names.filter((name) => name !== missingCluster));
}
