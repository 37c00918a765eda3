/** NetworkPolicy: which connections pods may have; enforced on each node by proxy/policy. */
import { BlockList, isIP } from "node:net";
import type { IntOrString, KubeObject, LabelSelector } from "../meta.ts";
import { type FieldError, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import { type Kind, labelSelector } from "../schema/kind.ts";
import { intOrString, list, object, oneOf, port, string } from "../schema/schema.ts";

export interface NetworkPolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface NetworkPolicyPort {
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  /** A name is one of the ports of the pods that are called. */
  readonly port?: IntOrString;
  /** Last port of a range that begins with `port`. */
  readonly endPort?: number;
}

/** Absent or empty lists mean everyone and every port. */
export interface NetworkPolicyIngressRule {
  readonly from?: readonly NetworkPolicyPeer[];
  readonly ports?: readonly NetworkPolicyPort[];
}

export interface NetworkPolicyEgressRule {
  readonly to?: readonly NetworkPolicyPeer[];
  readonly ports?: readonly NetworkPolicyPort[];
}

export interface NetworkPolicy extends KubeObject {
  readonly spec?: {
    /** Of pods in the policy's namespace; empty selects them all. */
    readonly podSelector?: LabelSelector;
    readonly ingress?: readonly NetworkPolicyIngressRule[];
    readonly egress?: readonly NetworkPolicyEgressRule[];
    readonly policyTypes?: readonly ("Ingress" | "Egress")[];
  };
}

const peers = list(
  object({
    podSelector: labelSelector(),
    namespaceSelector: labelSelector(),
    ipBlock: object({ cidr: string({ required: true }), except: list(string()) }),
  }),
);
const ports = list(
  object({
    protocol: oneOf(["TCP", "UDP", "SCTP"], { default: "TCP" }),
    port: intOrString(),
    endPort: port(),
  }),
);

export const networkPolicies: Kind<NetworkPolicy> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "NetworkPolicy",
  plural: "networkpolicies",
  singular: "networkpolicy",
  shortNames: ["netpol"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        podSelector: { ...labelSelector(), default: {} },
        ingress: list(object({ from: peers, ports })),
        egress: list(object({ to: peers, ports })),
        policyTypes: list(oneOf(["Ingress", "Egress"])),
      },
      { default: {} },
    ),
  }),
  default: withTypes,
  validate: policyErrors,
};

/** A policy that says nothing of its types is one of ingress, and of egress where it has such rules. */
function withTypes(policy: NetworkPolicy): NetworkPolicy {
  const { spec = {} } = policy;
  if ((spec.policyTypes ?? []).length > 0) return policy;
  const hasEgress = (spec.egress ?? []).length > 0;
  const policyTypes: readonly ("Ingress" | "Egress")[] = hasEgress ? ["Ingress", "Egress"] : ["Ingress"];
  return { ...policy, spec: { ...spec, policyTypes } };
}

function policyErrors({ spec = {} }: NetworkPolicy): FieldError[] {
  const { ingress = [], egress = [], policyTypes = [] } = spec;
  const errors: FieldError[] = [];
  if (policyTypes.length > 2)
    errors.push(invalidValue("spec.policyTypes", policyTypes, "may not specify more than two policyTypes"));
  for (const [at, { from, ports }] of ingress.entries())
    errors.push(...peerErrors(`spec.ingress[${at}].from`, from), ...portErrors(`spec.ingress[${at}].ports`, ports));
  for (const [at, { to, ports }] of egress.entries())
    errors.push(...peerErrors(`spec.egress[${at}].to`, to), ...portErrors(`spec.egress[${at}].ports`, ports));
  return errors;
}

function peerErrors(path: string, peers: readonly NetworkPolicyPeer[] = []): FieldError[] {
  return peers.flatMap(({ podSelector, namespaceSelector, ipBlock }, at) => {
    const where = `${path}[${at}]`;
    const hasSelector = podSelector !== undefined || namespaceSelector !== undefined;
    if (ipBlock === undefined) return hasSelector ? [] : [requiredError(where, "must specify a peer")];
    if (hasSelector) return [forbidden(where, "may not specify both ipBlock and another peer")];
    return blockErrors(`${where}.ipBlock`, ipBlock);
  });
}

function blockErrors(path: string, { cidr, except = [] }: NonNullable<NetworkPolicyPeer["ipBlock"]>): FieldError[] {
  const block = parseCIDR(cidr);
  if (block === undefined) return [invalidValue(`${path}.cidr`, cidr, "must be a valid CIDR value")];
  const list = new BlockList();
  list.addSubnet(block.address, block.bits, block.family);
  return except.flatMap((text, at) => {
    const inner = parseCIDR(text);
    if (inner === undefined) return [invalidValue(`${path}.except[${at}]`, text, "must be a valid CIDR value")];
    const isWithin =
      inner.family === block.family && inner.bits > block.bits && list.check(inner.address, inner.family);
    return isWithin ? [] : [invalidValue(`${path}.except[${at}]`, text, "must be a strict subset of `cidr`")];
  });
}

function parseCIDR(
  text: string,
): { readonly address: string; readonly bits: number; readonly family: "ipv4" | "ipv6" } | undefined {
  const [, address = "", bits = ""] = /^([0-9a-fA-F.:]+)\/([0-9]{1,3})$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0 || Number(bits) > (version === 4 ? 32 : 128)) return undefined;
  return { address, bits: Number(bits), family: version === 4 ? "ipv4" : "ipv6" };
}

function portErrors(path: string, ports: readonly NetworkPolicyPort[] = []): FieldError[] {
  return ports.flatMap(({ port, endPort }, at) => {
    const where = `${path}[${at}]`;
    if (typeof port === "number" && (port < 1 || port > 65_535))
      return [invalidValue(`${where}.port`, port, "must be between 1 and 65535, inclusive")];
    // IANA service names, as container ports have them.
    if (typeof port === "string" && !/^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/.test(port))
      return [invalidValue(`${where}.port`, port, "must be a valid port name")];
    if (endPort === undefined) return [];
    if (port === undefined)
      return [invalidValue(`${where}.endPort`, endPort, "may not be specified when `port` is not specified")];
    if (typeof port === "string")
      return [invalidValue(`${where}.endPort`, endPort, "may not be specified when `port` is non-numeric")];
    return endPort < port ? [invalidValue(`${where}.endPort`, endPort, "must be greater than or equal to `port`")] : [];
  });
}
