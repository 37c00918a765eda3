/** Endpoints: the older form of EndpointSlices, all addresses of a Service in one object. */
import type { KubeObject } from "../meta.ts";
import type { FieldError } from "../schema/field-error.ts";
import type { Kind } from "../schema/kind.ts";
import { list, object, objectReference, oneOf, port, string } from "../schema/schema.ts";
import type { ObjectReference } from "./object-reference.ts";
import { specialAddressErrors } from "./special-address.ts";

export interface EndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: ObjectReference;
}

export interface EndpointSubset {
  readonly addresses?: readonly EndpointAddress[];
  readonly notReadyAddresses?: readonly EndpointAddress[];
  readonly ports?: readonly {
    readonly name?: string;
    readonly port: number;
    readonly protocol?: "TCP" | "UDP" | "SCTP";
    readonly appProtocol?: string;
  }[];
}

export interface Endpoints extends KubeObject {
  readonly subsets?: readonly EndpointSubset[];
}

const addressesSchema = list(
  object({
    ip: string({ required: true, format: "ipv4" }),
    hostname: string({ format: "dnsLabel" }),
    nodeName: string({ format: "dnsSubdomain" }),
    targetRef: objectReference(),
  }),
);

export const endpoints: Kind<Endpoints> = {
  group: "",
  version: "v1",
  kind: "Endpoints",
  plural: "endpoints",
  singular: "endpoints",
  shortNames: ["ep"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    subsets: list(
      object({
        addresses: addressesSchema,
        notReadyAddresses: addressesSchema,
        ports: list(
          object({
            name: string({ format: "dnsLabel" }),
            port: port({ required: true }),
            protocol: oneOf(["TCP", "UDP", "SCTP"], { default: "TCP" }),
            appProtocol: string({ format: "qualifiedName" }),
          }),
        ),
      }),
    ),
  }),
  validate: addressErrors,
};

function addressErrors({ subsets = [] }: Endpoints): FieldError[] {
  return subsets.flatMap(({ addresses = [], notReadyAddresses = [] }, index) => {
    const errors = (field: string, all: typeof addresses): FieldError[] =>
      all.flatMap(({ ip }, at) => specialAddressErrors(`subsets[${index}].${field}[${at}].ip`, ip));
    return [...errors("addresses", addresses), ...errors("notReadyAddresses", notReadyAddresses)];
  });
}
