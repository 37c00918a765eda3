/**
 * What node proxies and DNS get of a Service over ADS: one `wherry.v1.Service` resource, named `namespace/name`.
 *
 *   control/snapshot/service.ts ─▶ push ─▶ proxy/l4, dns
 *
 * Complete in itself: Service and EndpointSlices are joined, target ports resolved, endpoints counted once.
 * The protobuf form is in api/xds/wherry.proto.
 */

export const serviceTypeUrl = "type.googleapis.com/wherry.v1.Service";

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
}

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
}
