/**
 * What node proxies and DNS get of a Service over ADS: one `wherry.v1.Service` resource, named `namespace/name`.
 *
 *   service-join.ts, in control/snapshot or proxy/kube ─▶ push ─▶ proxy/l4, dns
 *
 * Complete in itself: Service and EndpointSlices are joined, target ports resolved, endpoints counted once.
 * The protobuf form is in api/xds/wherry.proto.
 */

export const serviceTypeUrl = "type.googleapis.com/wherry.v1.Service";

/** Of a Service: `true` has the node balance it per request, `false` per connection, whatever its ports declare. */
export const l7Annotation = "proxy.wherry.dev/l7";

export type Protocol = "TCP" | "UDP" | "SCTP";

export interface ServiceResourcePort {
  /** Empty when the Service has one unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 when there is none. */
  readonly nodePort: number;
  /** Empty when the Service says none. */
  readonly appProtocol: string;
}

export interface ServiceResourceEndpoint {
  /** One IPv4 or IPv6 address. */
  readonly address: string;
  /** The resolved target port of each Service port, by the port's name. A port missing here is not served by this endpoint. */
  readonly ports: Readonly<Record<string, number>>;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Empty when the endpoint has no host name of its own. */
  readonly hostname: string;
  readonly nodeName: string;
  readonly zone: string;
  /** Name of the pod behind it in the Service's namespace, or empty. */
  readonly podName: string;
  /** Zones whose clients the endpoint is meant for; empty: no hint. EndpointSlice's `hints.forZones`. */
  readonly hintZones: readonly string[];
  /** Nodes whose clients the endpoint is meant for; empty: no hint. EndpointSlice's `hints.forNodes`. */
  readonly hintNodes: readonly string[];
}

export type TrafficPolicy = "Cluster" | "Local";

export interface ServiceResource {
  readonly namespace: string;
  readonly name: string;
  /** Empty for headless and ExternalName Services. */
  readonly clusterIPs: readonly string[];
  readonly headless: boolean;
  /** Empty unless the type is ExternalName. */
  readonly externalName: string;
  readonly ports: readonly ServiceResourcePort[];
  /** Sorted by address. */
  readonly endpoints: readonly ServiceResourceEndpoint[];
  readonly publishNotReadyAddresses: boolean;
  readonly type: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
  readonly externalIPs: readonly string[];
  /** Addresses of status.loadBalancer that the node answers itself: those whose ipMode is not Proxy. */
  readonly loadBalancerIPs: readonly string[];
  /** CIDRs that may use `loadBalancerIPs`; empty: all. */
  readonly loadBalancerSourceRanges: readonly string[];
  /** How long a client's address keeps its endpoint, in s; 0 without session affinity. */
  readonly affinitySeconds: number;
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** 0 when there is none. */
  readonly healthCheckNodePort: number;
  /** `PreferSameNode`, `PreferSameZone`, `PreferClose`, or empty. */
  readonly trafficDistribution: string;
  /** The label service.kubernetes.io/service-proxy-name gives the Service to another proxy; empty: ours. */
  readonly proxyName: string;
  /** Annotation proxy.wherry.dev/l7: per request by the node's HTTP engine, or not; "" leaves it to appProtocol. */
  readonly l7: "" | "true" | "false";
  /**
   * When that happened for which its endpoints changed last, as EndpointSlices say (`lastChangeAnnotation`): wall-clock
   * time in ms; 0 when none says. For the proxy's `kubeproxy_network_programming_duration_seconds`.
   */
  readonly changedMs: number;
}

/** What a Service of type ClusterIP has that says nothing else. */
export const plainPolicies: Pick<
  ServiceResource,
  | "type"
  | "externalIPs"
  | "loadBalancerIPs"
  | "loadBalancerSourceRanges"
  | "affinitySeconds"
  | "internalTrafficPolicy"
  | "externalTrafficPolicy"
  | "healthCheckNodePort"
  | "trafficDistribution"
  | "proxyName"
  | "l7"
  | "changedMs"
> = {
  type: "ClusterIP",
  externalIPs: [],
  loadBalancerIPs: [],
  loadBalancerSourceRanges: [],
  affinitySeconds: 0,
  internalTrafficPolicy: "Cluster",
  externalTrafficPolicy: "Cluster",
  healthCheckNodePort: 0,
  trafficDistribution: "",
  proxyName: "",
  l7: "",
  changedMs: 0,
};
