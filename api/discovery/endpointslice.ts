/** EndpointSlice: up to 100 endpoints of one Service and address family. */
import type { KindRef } from "../kind.ts";
import type { KubeObject } from "../meta.ts";

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly conditions?: {
    /** Absent means true. Already true for unready pods when the Service publishes not ready addresses. */
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly zone?: string;
  readonly targetRef?: {
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
  };
}

export interface EndpointPort {
  readonly name?: string;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly port?: number;
  readonly appProtocol?: string;
}

export interface EndpointSlice extends KubeObject {
  readonly addressType: "IPv4" | "IPv6" | "FQDN";
  readonly endpoints: readonly Endpoint[];
  readonly ports?: readonly EndpointPort[];
}

export const endpointSlices: KindRef<EndpointSlice> = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
  singular: "endpointslice",
  shortNames: [],
  namespaced: true,
};

/** The label that names the Service of a slice. */
export const serviceNameLabel = "kubernetes.io/service-name";
