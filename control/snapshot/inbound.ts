/**
 * The listener and clusters for connections that enter one pod. Pod + the Services that select it → LDS and CDS. Pure.
 *
 *   15006 virtualInbound ─▶ filter chain by destination port ─▶ `inbound|<port>||` (the pod itself); else as it came
 */
import type { Pod } from "#api/core/pod.ts";
import type { Service, ServicePort } from "#api/core/service.ts";
import type { Cluster, FilterChain, Listener, RouteConfiguration } from "#api/xds/envoy.ts";
import { asReceived, connectTimeout, noLimits, serviceMetadata, tcpPortsOf } from "./cluster.ts";
import { filterChainsOf, inspectorsFor, originalDst, retryPolicy } from "./filter-chain.ts";
import { inboundClusterName, inboundPassthroughCluster } from "./names.ts";
import { protocolOf, type PortProtocol } from "./protocol.ts";

/** Where the pod's nftables rules redirect incoming connections. */
const inboundPort = 15006;

interface InboundPort {
  readonly port: number;
  readonly protocol: PortProtocol;
  /** Empty for a container port of no Service. */
  readonly services: readonly Service[];
}

export interface Inbound {
  readonly listener: Listener;
  readonly clusters: readonly Cluster[];
}

/**
 * What the sidecar at `podIP` does with incoming connections. `pod` is undefined until its object is known, then everything
 * passes. `services` are those of its namespace, sorted by name.
 */
export function inboundOf(podIP: string, pod: Pod | undefined, services: readonly Service[]): Inbound {
  const ports = pod === undefined ? [] : inboundPortsOf(pod, services);
  return { listener: inboundListener(ports), clusters: ports.map((port) => inboundCluster(podIP, port)) };
}

/** Whether the Service sends to the pod. A Service without a selector has endpoints made by somebody else. */
export function selectsPod(service: Service, pod: Pod): boolean {
  const selector = Object.entries(service.spec.selector ?? {});
  return (
    selector.length > 0 &&
    service.metadata.namespace === pod.metadata.namespace &&
    selector.every(([key, value]) => pod.metadata.labels?.[key] === value)
  );
}

function inboundPortsOf(pod: Pod, services: readonly Service[]): readonly InboundPort[] {
  const ports = new Map<number, InboundPort>();
  for (const service of services.filter((candidate) => selectsPod(candidate, pod)))
    for (const servicePort of tcpPortsOf(service)) {
      const port = targetPortOf(servicePort, pod);
      if (port === undefined) continue;
      // Of two Services that disagree about the protocol, the first by name decides.
      const known = ports.get(port) ?? { port, protocol: protocolOf({ ...servicePort, port }), services: [] };
      const others = known.services.filter((other) => other !== service);
      ports.set(port, { ...known, services: [...others, service] });
    }
  for (const { name, containerPort, protocol } of pod.spec.containers.flatMap((container) => container.ports ?? []))
    if ((protocol ?? "TCP") === "TCP" && !ports.has(containerPort)) {
      const declared = protocolOf({ ...(name === undefined ? {} : { name }), port: containerPort });
      ports.set(containerPort, { port: containerPort, protocol: declared, services: [] });
    }
  return [...ports.values()].sort((a, b) => a.port - b.port);
}

/** The port of the pod that a Service's port stands for; undefined when no container has a port of that name. */
function targetPortOf({ port, targetPort = port }: ServicePort, pod: Pod): number | undefined {
  if (typeof targetPort === "number") return targetPort;
  const named = pod.spec.containers
    .flatMap((container) => container.ports ?? [])
    .find(({ name, protocol }) => name === targetPort && (protocol ?? "TCP") === "TCP");
  return named?.containerPort;
}

function inboundListener(ports: readonly InboundPort[]): Listener {
  const inspectors = inspectorsFor(ports.flatMap(({ port, protocol }) => (protocol === "tcp" ? [port] : [])));
  return {
    name: "virtualInbound",
    address: { socket_address: { address: "0.0.0.0", port_value: inboundPort } },
    traffic_direction: "INBOUND",
    ...inspectors,
    listener_filters: [originalDst, ...inspectors.listener_filters],
    filter_chains: [
      ...ports.flatMap(inboundChains),
      // Undeclared ports: HTTP is still seen, anything else passes by the default chain.
      ...passthroughChains().slice(0, 1),
    ],
    default_filter_chain: {
      name: "virtualInbound-catchall-tcp",
      filters: passthroughChains().at(-1)?.filters ?? [],
    },
  };
}

function inboundChains({ port, protocol }: InboundPort): readonly FilterChain[] {
  const cluster = inboundClusterName(port);
  return filterChainsOf(protocol, {
    statPrefix: `inbound_0.0.0.0_${port}`,
    routes: { inline: inboundRoutes(cluster, `inbound|http|${port}`) },
    cluster,
    port,
  });
}

function passthroughChains(): readonly FilterChain[] {
  return filterChainsOf("auto", {
    statPrefix: inboundPassthroughCluster,
    routes: { inline: inboundRoutes(inboundPassthroughCluster, "inbound|http|0") },
    cluster: inboundPassthroughCluster,
  });
}

function inboundRoutes(cluster: string, virtualHost: string): RouteConfiguration {
  const route = { cluster, timeout: "0s", retry_policy: retryPolicy };
  return {
    name: cluster,
    virtual_hosts: [
      { name: virtualHost, domains: ["*"], routes: [{ name: "default", match: { prefix: "/" }, route }] },
    ],
  };
}

function inboundCluster(podIP: string, { port, services }: InboundPort): Cluster {
  const name = inboundClusterName(port);
  const endpoint = { address: { socket_address: { address: podIP, port_value: port } } };
  return {
    name,
    type: "STATIC",
    connect_timeout: connectTimeout,
    lb_policy: "ROUND_ROBIN",
    circuit_breakers: noLimits,
    typed_extension_protocol_options: asReceived,
    load_assignment: { cluster_name: name, endpoints: [{ locality: {}, lb_endpoints: [{ endpoint }] }] },
    ...(services.length === 0 ? {} : { metadata: serviceMetadata(services) }),
  };
}
