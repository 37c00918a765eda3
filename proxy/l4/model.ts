/**
 * What shall become of a packet, straight from the Services. Knows nothing of nft. Pure.
 *
 *   Packet + ServiceResource[] + NodeFacts ─▶ expectPacket ─▶ `wherry explain`; tests compare rulesets with it
 */
import type { ServiceResource, ServiceResourcePort } from "#api/wire/service.ts";
import { categorize } from "./categories.ts";
import type { NodeFacts } from "./facts.ts";
import { contains, familyOf, isLimited, normalizeAddress, parseRange } from "./ip.ts";
import type { Packet } from "./nft/walk.ts";

export type Expected =
  | { readonly kind: "accept" | "reject" | "drop" }
  /** Where it may go, and whether the source is kept; hairpins are always masqueraded. */
  | { readonly kind: "dnat"; readonly to: ReadonlySet<string>; readonly isMasqueraded: boolean };

/** The Service port that a packet is for. */
export interface Match {
  readonly service: ServiceResource;
  readonly port: ServiceResourcePort;
  readonly how: "cluster" | "external" | "nodePort";
  readonly isLoadBalancer: boolean;
}

/** What becomes of a packet on a node that has `localAddresses`. */
export function expectPacket(
  packet: Packet,
  services: readonly ServiceResource[],
  facts: NodeFacts,
  localAddresses: readonly string[],
): Expected {
  const family = familyOf(packet.destination);
  const match = matchPacket(packet, services, facts);
  if (match === undefined) return expectUnknown(packet, services, facts);
  const { service, port, how, isLoadBalancer } = match;
  if (isLoadBalancer && !isInSourceRanges(packet, service, facts)) return { kind: "drop" };
  const { cluster, local, hasAny } = categorize(service, port, family, facts);
  const isFromPod = facts.clusterCIDRs.some((text) => isIn(packet.source, text));
  const isFromNode = localAddresses.includes(packet.source);
  const to = (targets: typeof cluster, isMasqueraded: boolean): Expected =>
    targets.length > 0
      ? { kind: "dnat", to: new Set(targets.map(({ address, port }) => format(address, port))), isMasqueraded }
      : { kind: hasAny ? "drop" : "reject" };
  if (how === "cluster") {
    const isOwn = isFromPod || facts.unmasqueradedCIDRs.some((text) => isIn(packet.source, text));
    const isMasqueraded = facts.masqueradeAll || (facts.clusterCIDRs.length > 0 && !isOwn);
    return to(service.internalTrafficPolicy === "Local" ? local : cluster, isMasqueraded);
  }
  if (service.externalTrafficPolicy === "Cluster") return to(cluster, true);
  if (cluster.length > 0 && isFromPod) return to(cluster, false);
  if (cluster.length > 0 && isFromNode) return to(cluster, true);
  return to(local, false);
}

/** The Service port that has the packet's address: where two have it, that of the first Service by name. */
export function matchPacket(packet: Packet, services: readonly ServiceResource[], facts: NodeFacts): Match | undefined {
  const [first] = services
    .toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1))
    .flatMap((service) => matchesOf(packet, service, facts));
  return first;
}

function matchesOf(packet: Packet, service: ServiceResource, facts: NodeFacts): readonly Match[] {
  if (service.headless || service.proxyName !== "" || service.externalName !== "") return [];
  const has = (addresses: readonly string[]): boolean =>
    addresses.some((text) => normalizeAddress(text) === packet.destination);
  return service.ports
    .filter(({ protocol }) => protocol.toLowerCase() === packet.protocol)
    .flatMap((port): readonly Match[] => {
      const isLoadBalancer = service.type === "LoadBalancer" && has(service.loadBalancerIPs);
      const base = { service, port, isLoadBalancer: false };
      if (port.port === packet.port && has(service.clusterIPs)) return [{ ...base, how: "cluster" }];
      if (port.port === packet.port && (isLoadBalancer || has(service.externalIPs)))
        return [{ ...base, how: "external", isLoadBalancer }];
      const hasNodePort = service.type === "NodePort" || service.type === "LoadBalancer";
      if (hasNodePort && port.nodePort === packet.port && facts.nodeIPs.includes(packet.destination))
        return [{ ...base, how: "nodePort" }];
      return [];
    });
}

function expectUnknown(packet: Packet, services: readonly ServiceResource[], facts: NodeFacts): Expected {
  const isLive = services.some(
    ({ clusterIPs, proxyName }) => proxyName === "" && clusterIPs.includes(packet.destination),
  );
  if (isLive) return { kind: "reject" };
  return { kind: facts.serviceCIDRs.some((text) => isIn(packet.destination, text)) ? facts.unallocated : "accept" };
}

function isInSourceRanges(packet: Packet, service: ServiceResource, facts: NodeFacts): boolean {
  const ranges = service.loadBalancerSourceRanges;
  if (!isLimited(ranges, familyOf(packet.destination)) || ranges.some((text) => isIn(packet.source, text))) return true;
  const isNodeAllowed = facts.nodeIPs.some((address) => ranges.some((text) => isIn(address, text)));
  return isNodeAllowed && service.loadBalancerIPs.includes(packet.source);
}

function isIn(address: string, text: string): boolean {
  const range = parseRange(text);
  return range !== undefined && contains(range, address);
}

function format(address: string, port: number): string {
  return `${address}:${port}`;
}
