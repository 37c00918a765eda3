/**
 * What the cluster may reach outside itself. Pure.
 *
 *   destination of a pod's connection ─▶ decideEgress ─▶ connect there, or refuse and say why
 *
 * Invariant: nothing that is the cluster's own, the host's own or link-local (cloud metadata) is ever connected to from the
 * host's network, but the ports of its loopback that were named.
 */
import { isIPv4, isInCIDR } from "../../proxy/l4/ipv4.ts";
import { addresses } from "../ipc.ts";

/** Istio's outboundTrafficPolicy. There is no registry of outside names yet, so `registry-only` lets nothing out. */
export const outboundPolicies = ["allow-any", "registry-only"] as const;

export interface EgressPolicy {
  readonly outbound: (typeof outboundPolicies)[number];
  /** Ports of the host's loopback that pods may reach, under `addresses.host`. */
  readonly hostPorts: readonly number[];
}

export interface Destination {
  readonly address: string;
  readonly port: number;
}

export type EgressDecision =
  | { readonly kind: "connect"; readonly address: string; readonly port: number }
  | { readonly kind: "refuse"; readonly reason: string };

const refused: readonly (readonly [cidr: string, what: string])[] = [
  [addresses.podsCIDR, "a pod's, and no pod has it"],
  [addresses.serviceCIDR, "a Service's, and no Service has it"],
  [addresses.nodesCIDR, "the cluster's own network's"],
  ["127.0.0.0/8", "the host's loopback"],
  ["0.0.0.0/8", "no host's"],
  ["169.254.0.0/16", "link-local"],
  ["224.0.0.0/4", "multicast"],
  ["240.0.0.0/4", "reserved"],
];

export function decideEgress(
  { address, port }: Destination,
  policy: EgressPolicy,
  hostAddresses: readonly string[],
): EgressDecision {
  const refuse = (reason: string): EgressDecision => ({ kind: "refuse", reason });
  if (!isIPv4(address) || !Number.isInteger(port) || port < 1 || port > 65_535)
    return refuse("it is no IPv4 address and port");
  if (address === addresses.host) {
    if (policy.hostPorts.includes(port)) return { kind: "connect", address: "127.0.0.1", port };
    return refuse(`port ${port} of the host is not allowed (allow it: wherry up --allow-host-port ${port})`);
  }
  const [, what] = refused.find(([cidr]) => isInCIDR(address, cidr)) ?? [];
  if (what !== undefined) return refuse(`the address is ${what}`);
  if (hostAddresses.includes(address) && !policy.hostPorts.includes(port))
    return refuse(`it is the host, whose port ${port} is not allowed (allow it: wherry up --allow-host-port ${port})`);
  if (policy.outbound === "registry-only")
    return refuse("the outbound traffic policy is registry-only (see: wherry up --outbound-traffic-policy)");
  return { kind: "connect", address, port };
}
