/**
 * What a proxy that stands alone takes from its Node object. Pure.
 *
 *   Node + KubeProxyConfiguration ─▶ NodeFacts of the proxy, and whether load balancers may send to this node
 */
import { type Node, zoneLabel } from "#api/core/node.ts";
import type { NodeFacts } from "../l4/facts.ts";
import { type Family, familyOf, normalizeAddress } from "../l4/ip.ts";
import type { ProxyConfiguration } from "./configuration.ts";

const deletionTaint = "ToBeDeletedByClusterAutoscaler";
const unspecified = ["", "0.0.0.0", "::"];

/** The facts of a node; of one that the API does not know, as far as the configuration has them. */
export function factsOf(node: Node | undefined, nodeName: string, config: ProxyConfiguration): Partial<NodeFacts> {
  const podCIDRs = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return {
    nodeName,
    zone: node?.metadata.labels?.[zoneLabel] ?? "",
    nodeIPs: unspecified.includes(config.bindAddress) ? addressesOf(node) : [config.bindAddress],
    nodePortAddresses: config.nodePortAddresses,
    // Services may be anywhere, and nobody else's resolver has their addresses.
    serviceCIDRs: [],
    unallocated: "drop",
    clusterCIDRs: config.detectLocalMode === "NodeCIDR" ? podCIDRs : config.clusterCIDRs,
    unmasqueradedCIDRs: [],
    masqueradeAll: config.masqueradeAll,
    masqueradeMark: 2 ** config.masqueradeBit,
    dnsVIP: "",
    resolverIPs: [],
  };
}

/** The first address of each family, internal ones first. */
function addressesOf(node: Node | undefined): readonly string[] {
  const all = node?.status?.addresses ?? [];
  const byFamily = new Map<Family, string>();
  for (const wanted of ["InternalIP", "ExternalIP"])
    for (const { type, address } of all) {
      const known = type === wanted ? normalizeAddress(address) : undefined;
      if (known !== undefined && !byFamily.has(familyOf(known))) byFamily.set(familyOf(known), known);
    }
  return [...byFamily.values()];
}

/** Whether the node stays: load balancers shall send nothing new to one that goes. */
export function isEligible(node: Node | undefined): boolean {
  if (node === undefined) return true;
  const isTainted = (node.spec?.taints ?? []).some(({ key }) => key === deletionTaint);
  return node.metadata.deletionTimestamp === undefined && !isTainted;
}
