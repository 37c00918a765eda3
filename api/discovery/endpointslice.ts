/** EndpointSlice: up to 100 endpoints of one Service and address family. */
import { specialAddressErrors } from "../core/special-address.ts";
import type { KubeObject } from "../meta.ts";
import { type FieldError, invalidValue } from "../schema/field-error.ts";
import { formatError } from "../schema/format.ts";
import type { Kind } from "../schema/kind.ts";
import { bool, list, map, object, oneOf, port, string } from "../schema/schema.ts";

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
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[];
    readonly forNodes?: readonly { readonly name: string }[];
  };
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

const namesSchema = list(object({ name: string({ required: true }) }));

export const endpointSlices: Kind<EndpointSlice> = {
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  plural: "endpointslices",
  singular: "endpointslice",
  shortNames: [],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    addressType: oneOf(["IPv4", "IPv6", "FQDN"], { required: true }),
    endpoints: list(
      object({
        addresses: list(string(), { required: true, itemsMax: 100 }),
        conditions: object({ ready: bool(), serving: bool(), terminating: bool() }),
        hostname: string({ format: "dnsLabel" }),
        nodeName: string({ format: "dnsSubdomain" }),
        zone: string({ format: "labelValue" }),
        targetRef: object({
          kind: string(),
          namespace: string(),
          name: string(),
          uid: string(),
          apiVersion: string(),
          resourceVersion: string(),
          fieldPath: string(),
        }),
        deprecatedTopology: map(string()),
        hints: object({ forZones: namesSchema, forNodes: namesSchema }),
      }),
      { itemsMax: 1000, default: [] },
    ),
    ports: list(
      object({
        name: string({ lengthMax: 63 }),
        protocol: oneOf(["TCP", "UDP", "SCTP"], { default: "TCP" }),
        port: port(),
        appProtocol: string({ format: "qualifiedName" }),
      }),
      { keys: ["name"], itemsMax: 20_000 },
    ),
  }),
  immutable: [["addressType"]],
  validate: addressErrors,
};

function addressErrors(slice: EndpointSlice): FieldError[] {
  if (slice.addressType !== "IPv4") return [];
  return slice.endpoints.flatMap(({ addresses }, index) =>
    addresses.flatMap((address, at) => {
      const error = formatError("ipv4", address);
      const path = `endpoints[${index}].addresses[${at}]`;
      return error === undefined ? specialAddressErrors(path, address) : [invalidValue(path, address, error)];
    }),
  );
}

/** When the change of a pod or Service happened for which the slice was written: RFC 3339. */
export const lastChangeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time";
/** The label that names the Service of a slice. */
export const serviceNameLabel = "kubernetes.io/service-name";
