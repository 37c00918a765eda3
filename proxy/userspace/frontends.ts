/**
 * The addresses that one Service is answered on, each with the endpoints behind it. Pure.
 *
 *   ServiceResource + NodeFacts ─▶ planFrontends ─▶ Frontend[] ─▶ proxy.ts
 *
 * Behaviours: those of the nftables mode as far as a listening socket has them. A port without usable endpoints is not
 * listened on, so that the kernel refuses, as the node has the address all the same; also where a policy Local finds
 * none, which the nftables mode drops.
 */
import type { ServiceResource, ServiceResourcePort } from "#api/wire/service.ts";
import { categorize, isPort, type Target } from "../l4/categories.ts";
import type { NodeFacts } from "../l4/facts.ts";
import { familyOf, isLimited, normalizeAddress, parseRange, type Range } from "../l4/ip.ts";
import { planLocalhost } from "../localhost-ports.ts";
import { isOurs, keyOf } from "../l4/service-key.ts";

export interface Frontend {
  readonly transport: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** One at least. */
  readonly targets: readonly Target[];
  /** 0 for none. */
  readonly affinitySeconds: number;
  /** Who may call; undefined: everyone. */
  readonly sources: readonly Range[] | undefined;
}

export interface FrontendPlan {
  /** By `tcp 10.96.0.1:80`. */
  readonly frontends: ReadonlyMap<string, Frontend>;
  /** The Service's own addresses, which the node is to have. */
  readonly addresses: ReadonlySet<string>;
  readonly problems: readonly string[];
}

export function planFrontends(service: ServiceResource, facts: NodeFacts): FrontendPlan {
  const frontends = new Map<string, Frontend>();
  const problems: string[] = [];
  if (!isOurs(service)) return { frontends, addresses: new Set(), problems };
  const add = (port: ServiceResourcePort, at: readonly string[], number: number, isExternal: boolean): void => {
    for (const text of at) {
      const address = normalizeAddress(text);
      if (address === undefined || !isPort(number)) {
        problems.push(`Cannot serve Service ${keyOf(service)} on ${text}:${number}: wanted an IP address and a port`);
        continue;
      }
      const { cluster, local } = categorize(service, port, familyOf(address), facts);
      const policy = isExternal ? service.externalTrafficPolicy : service.internalTrafficPolicy;
      const targets = policy === "Local" ? local : cluster;
      if (targets.length === 0) continue;
      const transport = port.protocol === "UDP" ? "udp" : "tcp";
      const sources = service.loadBalancerIPs.includes(text) ? rangesOf(service, address) : undefined;
      frontends.set(`${transport} ${address}:${number}`, {
        transport,
        address,
        port: number,
        targets,
        affinitySeconds: service.affinitySeconds,
        sources,
      });
    }
  };
  const hasNodePorts = service.type === "NodePort" || service.type === "LoadBalancer";
  for (const port of service.ports) {
    if (port.protocol === "SCTP") {
      problems.push(`Cannot serve Service ${keyOf(service)} port ${port.port}: SCTP (wanted nftables mode)`);
      continue;
    }
    add(port, service.clusterIPs, port.port, false);
    add(port, service.externalIPs, port.port, true);
    if (service.type === "LoadBalancer") add(port, service.loadBalancerIPs, port.port, true);
    if (hasNodePorts && port.nodePort > 0) add(port, facts.nodeIPs, port.nodePort, true);
  }
  if (facts.nodePortAddresses.includes("localhost"))
    for (const frontend of planLocalhost(service, facts).values())
      frontends.set(`tcp ${frontend.address}:${frontend.port}`, frontend);
  const { clusterIPs, externalIPs, loadBalancerIPs } = service;
  const own = [...clusterIPs, ...externalIPs, ...(service.type === "LoadBalancer" ? loadBalancerIPs : [])];
  return { frontends, addresses: new Set(own.flatMap((text) => normalizeAddress(text) ?? [])), problems };
}

function rangesOf({ loadBalancerSourceRanges }: ServiceResource, address: string): readonly Range[] | undefined {
  if (!isLimited(loadBalancerSourceRanges, familyOf(address))) return undefined;
  return loadBalancerSourceRanges.flatMap((text) => parseRange(text) ?? []);
}
