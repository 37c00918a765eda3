/**
 * Service + EndpointSlices → `wherry.v1.Service`, for node proxies and DNS. Pure.
 *
 * Invariant: an address appears once, whatever number of slices names it; endpoints are sorted by address.
 */
import { isHeadless, type Service } from "../core/service.ts";
import { type Endpoint, type EndpointSlice, lastChangeAnnotation } from "../discovery/endpointslice.ts";
import { l7Annotation, type plainPolicies, type ServiceResource, type ServiceResourceEndpoint } from "./service.ts";

/** The resource of a Service. */
export function serviceResourceOf(service: Service, slices: readonly EndpointSlice[]): ServiceResource {
  const { spec } = service;
  const isExternal = spec.type === "ExternalName";
  return {
    namespace: service.metadata.namespace ?? "",
    name: service.metadata.name,
    clusterIPs: isExternal ? [] : clusterIPsOf(service),
    headless: isHeadless(service),
    externalName: isExternal ? (spec.externalName ?? "") : "",
    ports: (spec.ports ?? []).map((port) => ({
      name: port.name ?? "",
      protocol: port.protocol ?? "TCP",
      port: port.port,
      nodePort: port.nodePort ?? 0,
      appProtocol: port.appProtocol ?? "",
    })),
    endpoints: endpointsOf(slices),
    publishNotReadyAddresses: spec.publishNotReadyAddresses ?? false,
    ...policiesOf(service),
    changedMs: changedMsOf(slices),
  };
}

const affinityDefaultSeconds = 10_800;
const proxyNameLabel = "service.kubernetes.io/service-proxy-name";

function policiesOf({ metadata, spec, status }: Service): Omit<typeof plainPolicies, "changedMs"> {
  const l7 = metadata.annotations?.[l7Annotation];
  const isSticky = spec.sessionAffinity === "ClientIP";
  return {
    type: spec.type ?? "ClusterIP",
    externalIPs: spec.externalIPs ?? [],
    loadBalancerIPs: (status?.loadBalancer?.ingress ?? []).flatMap(({ ip = "", ipMode }) =>
      ip === "" || ipMode === "Proxy" ? [] : [ip],
    ),
    loadBalancerSourceRanges: (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()),
    affinitySeconds: isSticky ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? affinityDefaultSeconds) : 0,
    internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster",
    externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster",
    healthCheckNodePort: spec.healthCheckNodePort ?? 0,
    trafficDistribution: spec.trafficDistribution ?? "",
    proxyName: metadata.labels?.[proxyNameLabel] ?? "",
    l7: l7 === "true" || l7 === "false" ? l7 : "",
  };
}

function changedMsOf(slices: readonly EndpointSlice[]): number {
  let latest = 0;
  for (const { metadata } of slices) {
    const changedMs = Date.parse(metadata.annotations?.[lastChangeAnnotation] ?? "");
    if (changedMs > latest) latest = changedMs;
  }
  return latest;
}

/** The virtual addresses of a Service; none when it is headless. */
export function clusterIPsOf({ spec }: Service): readonly string[] {
  const all = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return all.filter((address) => address !== "" && address !== "None");
}

/** The endpoints of all slices, joined by address. FQDN slices have no addresses to connect to. */
export function endpointsOf(slices: readonly EndpointSlice[]): readonly ServiceResourceEndpoint[] {
  const byAddress = new Map<string, ServiceResourceEndpoint>();
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    const ports = portsOf(slice);
    for (const endpoint of slice.endpoints) {
      const address = endpoint.addresses[0];
      if (address === undefined) continue;
      const made = endpointOf(address, endpoint, ports);
      byAddress.set(address, join(byAddress.get(address), made));
    }
  }
  return [...byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
}

function portsOf(slice: EndpointSlice): Readonly<Record<string, number>> {
  return Object.fromEntries(
    (slice.ports ?? []).flatMap(({ name, port }) => (port === undefined ? [] : [[name ?? "", port]])),
  );
}

function endpointOf(
  address: string,
  endpoint: Endpoint,
  ports: Readonly<Record<string, number>>,
): ServiceResourceEndpoint {
  const { conditions, targetRef } = endpoint;
  const ready = conditions?.ready ?? true;
  return {
    address,
    ports,
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    hostname: endpoint.hostname ?? "",
    nodeName: endpoint.nodeName ?? "",
    zone: endpoint.zone ?? "",
    podName: targetRef?.kind === "Pod" ? targetRef.name : "",
    hintZones: (endpoint.hints?.forZones ?? []).map(({ name }) => name),
    hintNodes: (endpoint.hints?.forNodes ?? []).map(({ name }) => name),
  };
}

/** Slices may name an address twice for a moment, or split its ports; the later slice wins, the ports are those of both. */
function join(before: ServiceResourceEndpoint | undefined, later: ServiceResourceEndpoint): ServiceResourceEndpoint {
  return before === undefined ? later : { ...later, ports: { ...before.ports, ...later.ports } };
}
