/**
 * Clusters and endpoints: what a sidecar or gateway sends to. Service + endpoints + workloads → CDS and EDS. Pure.
 *
 * Endpoints are the ready ones; when none is ready those that still serve while they terminate (KEP-1669), so that a
 * rolling update of a single replica loses nothing.
 */
import { readFailureAccrual } from "#api/core/failure-accrual.ts";
import type { Service } from "#api/core/service.ts";
import type { ServiceResourceEndpoint } from "#api/wire/service.ts";
import {
  type CircuitBreakers,
  type Cluster,
  type ClusterLoadAssignment,
  type LbEndpoint,
  type LocalityLbEndpoints,
  type Metadata,
  httpProtocolOptions,
} from "#api/xds/envoy.ts";
import { hostOf, outboundClusterName } from "./names.ts";

/** Time to connect before another endpoint is tried. Envoy's default. */
export const connectTimeout = "5s";

/** More than any cluster has. */
const plenty = 2 ** 32 - 1;

/**
 * No limits unless a user asks for some: Envoy's own (1,024 requests, 3 retries) would refuse what would have worked
 * without a mesh. So does Istio.
 */
export const noLimits: CircuitBreakers = {
  thresholds: [{ max_connections: plenty, max_pending_requests: plenty, max_requests: plenty, max_retries: plenty }],
};

/** HTTP/2 requests go on as HTTP/2, so that gRPC works, and each is balanced by itself. */
export const asReceived: NonNullable<Cluster["typed_extension_protocol_options"]> = {
  [httpProtocolOptions]: {
    "@type": `type.googleapis.com/${httpProtocolOptions}`,
    use_downstream_protocol_config: { http_protocol_options: {}, http2_protocol_options: {} },
  },
};

/** A cluster that is sent where the connection was going. */
export function passthroughClusterOf(name: string): Cluster {
  return {
    name,
    type: "ORIGINAL_DST",
    lb_policy: "CLUSTER_PROVIDED",
    connect_timeout: connectTimeout,
    circuit_breakers: noLimits,
    typed_extension_protocol_options: asReceived,
  };
}

/** Cluster metadata `istio.services`: the Services that the cluster stands for. */
export function serviceMetadata(services: readonly Service[]): Metadata {
  return {
    filter_metadata: {
      istio: {
        services: services.map(({ metadata: { namespace = "", name } }) => ({
          host: hostOf(namespace, name),
          name,
          namespace,
        })),
      },
    },
  };
}

/** Cluster metadata `wherry.failure_accrual`: the breaker that the Service asks for. */
function accrualMetadata({ metadata: { annotations } }: Service): Metadata["filter_metadata"] {
  const accrual = readFailureAccrual(annotations);
  if (accrual === undefined) return {};
  const { maxFailures, minPenaltyMs, maxPenaltyMs, jitterRatio } = accrual;
  return {
    "wherry.failure_accrual": {
      max_failures: maxFailures,
      min_penalty: `${minPenaltyMs / 1000}s`,
      max_penalty: `${maxPenaltyMs / 1000}s`,
      jitter_ratio: jitterRatio,
    },
  };
}

/** One cluster for each TCP port of a Service; none for ExternalName, which has no endpoints. */
export function outboundClustersOf(service: Service): readonly Cluster[] {
  return tcpPortsOf(service).map(({ port }) => ({
    name: outboundClusterName(hostOfService(service), port),
    type: "EDS",
    eds_cluster_config: { eds_config: { ads: {}, resource_api_version: "V3" } },
    connect_timeout: connectTimeout,
    lb_policy: "ROUND_ROBIN",
    circuit_breakers: noLimits,
    typed_extension_protocol_options: asReceived,
    metadata: { filter_metadata: { ...serviceMetadata([service]).filter_metadata, ...accrualMetadata(service) } },
  }));
}

/**
 * The endpoints of each TCP port. `workloadOf` gives `istio.workload` of a pod of the Service's namespace, or undefined.
 */
export function loadAssignmentsOf(
  service: Service,
  endpoints: readonly ServiceResourceEndpoint[],
  workloadOf: (podName: string) => string | undefined,
): readonly ClusterLoadAssignment[] {
  const chosen = chooseEndpoints(endpoints);
  return tcpPortsOf(service).map(({ name = "", port }) => {
    const usable = chosen.flatMap((endpoint) => {
      const targetPort = endpoint.ports[name];
      return targetPort === undefined ? [] : [{ endpoint, lb: lbEndpoint(endpoint, targetPort, workloadOf) }];
    });
    return { cluster_name: outboundClusterName(hostOfService(service), port), endpoints: byLocality(usable) };
  });
}

/** The ports of a Service that proxies see. */
export function tcpPortsOf({ spec }: Service): NonNullable<Service["spec"]["ports"]> {
  if (spec.type === "ExternalName") return [];
  return (spec.ports ?? []).filter((port) => (port.protocol ?? "TCP") === "TCP");
}

/** The full DNS name of a Service. */
export function hostOfService({ metadata: { namespace = "", name } }: Service): string {
  return hostOf(namespace, name);
}

function chooseEndpoints(endpoints: readonly ServiceResourceEndpoint[]): readonly ServiceResourceEndpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return ready.length > 0 ? ready : endpoints.filter((endpoint) => endpoint.serving && endpoint.terminating);
}

function lbEndpoint(
  endpoint: ServiceResourceEndpoint,
  port: number,
  workloadOf: (podName: string) => string | undefined,
): LbEndpoint {
  const workload = endpoint.podName === "" ? undefined : workloadOf(endpoint.podName);
  return {
    endpoint: { address: { socket_address: { address: endpoint.address, port_value: port } } },
    load_balancing_weight: 1,
    ...(workload === undefined ? {} : { metadata: { filter_metadata: { istio: { workload } } } }),
  };
}

/** Grouped by zone, zones sorted. gRPC's client skips localities without a weight, so each has one. */
function byLocality(
  usable: readonly { readonly endpoint: ServiceResourceEndpoint; readonly lb: LbEndpoint }[],
): readonly LocalityLbEndpoints[] {
  const zones = [...new Set(usable.map(({ endpoint }) => endpoint.zone))].sort();
  return zones.map((zone) => {
    const members = usable.filter(({ endpoint }) => endpoint.zone === zone).map(({ lb }) => lb);
    return { locality: zone === "" ? {} : { zone }, load_balancing_weight: members.length, lb_endpoints: members };
  });
}
