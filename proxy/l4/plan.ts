/**
 * What the node's kernel shall do with Service traffic. Pure.
 *
 *   ServiceResources + NodeFacts ─▶ planServices ─▶ { ruleset, udpBackends, problems } ─▶ nft/apply.ts, conntrack.ts
 *
 * A packet to a clusterIP goes through the map `services` to the Service port's own chain, which rotates over the
 * endpoints. What is in the Service range but not in the map is rejected at once: no usable endpoints, wrong port,
 * unallocated address. It is never leaked to another network.
 * Invariant: equal Services and facts give equal rulesets, whatever the order in which they came.
 * Behaviours: reference kube-proxy in nftables mode. Not here yet: NodePort, affinity, traffic policies, IPv6, SCTP.
 */
import type { ServiceResource, ServiceResourceEndpoint, ServiceResourcePort } from "#api/wire/service.ts";
import { isIPv4, isInCIDR } from "./ipv4.ts";
import type { BaseChain, Ruleset } from "./nft/types.ts";

/** What the plan needs to know of the node. */
export interface NodeFacts {
  /** Where clusterIPs come from. Default of Wherry: 10.96.0.0/16. */
  readonly serviceCIDR: string;
  /** The cluster DNS address, which the node's own resolver serves on port 53; "" for none. */
  readonly dnsVIP: string;
}

export interface ServicePlan {
  readonly ruleset: Ruleset;
  /** `clusterIP:port` of each UDP Service port → `address:port` of every endpoint that may keep its flows. */
  readonly udpBackends: ReadonlyMap<string, ReadonlySet<string>>;
  /** One sentence for each thing that cannot be programmed. */
  readonly problems: readonly string[];
}

export const table = "ip wherry-proxy";

const namePattern = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** Mutable only while a plan is made. */
interface Draft {
  readonly chains: Map<string, readonly string[]>;
  readonly services: Map<string, string>;
  readonly hairpin: Map<string, string>;
  readonly udpBackends: Map<string, ReadonlySet<string>>;
  readonly problems: string[];
}

/** The plan for all Services of the cluster. */
export function planServices(services: Iterable<ServiceResource>, facts: NodeFacts): ServicePlan {
  const draft: Draft = {
    chains: new Map(),
    services: new Map(),
    hairpin: new Map(),
    udpBackends: new Map(),
    problems: [],
  };
  // By name, so that of two Services with one address the same one wins everywhere.
  const sorted = [...services].sort((a, b) => compare(keyOf(a), keyOf(b)));
  for (const service of sorted) planService(draft, service, facts);
  const ruleset: Ruleset = {
    table,
    bases: planBases(facts),
    chains: draft.chains,
    collections: [
      { kind: "set", name: "hairpin", type: "type ipv4_addr . ipv4_addr ;", elements: draft.hairpin },
      {
        kind: "map",
        name: "services",
        type: "type ipv4_addr . inet_proto . inet_service : verdict ;",
        elements: draft.services,
      },
    ],
  };
  return { ruleset, udpBackends: draft.udpBackends, problems: draft.problems };
}

/** The endpoints that new connections may go to: the ready ones; if there is none, those that still serve while terminating. */
export function usableEndpoints(service: ServiceResource): readonly ServiceResourceEndpoint[] {
  const { endpoints, publishNotReadyAddresses } = service;
  if (publishNotReadyAddresses) return endpoints;
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  if (ready.length > 0) return ready;
  return endpoints.filter(({ serving, terminating }) => serving && terminating);
}

function planService(draft: Draft, service: ServiceResource, facts: NodeFacts): void {
  if (service.headless || service.externalName !== "") return;
  if (!namePattern.test(service.namespace) || !namePattern.test(service.name)) {
    draft.problems.push(`Cannot program Service ${JSON.stringify(keyOf(service))}: wanted names that are DNS labels`);
    return;
  }
  const usable = usableEndpoints(service);
  for (const clusterIP of service.clusterIPs) {
    if (clusterIP.includes(":")) {
      draft.problems.push(`Cannot program Service ${keyOf(service)} on ${clusterIP}: IPv6 is not supported yet`);
    } else if (!isIPv4(clusterIP) || !isInCIDR(clusterIP, facts.serviceCIDR)) {
      const wanted = `wanted an address in ${facts.serviceCIDR}`;
      draft.problems.push(`Cannot program Service ${keyOf(service)} on ${JSON.stringify(clusterIP)}: ${wanted}`);
    } else {
      for (const port of service.ports) planPort(draft, { service, clusterIP, port, usable }, facts);
    }
  }
}

interface PortToPlan {
  readonly service: ServiceResource;
  readonly clusterIP: string;
  readonly port: ServiceResourcePort;
  readonly usable: readonly ServiceResourceEndpoint[];
}

function planPort(draft: Draft, { service, clusterIP, port, usable }: PortToPlan, facts: NodeFacts): void {
  if (port.protocol === "SCTP" || !isPort(port.port)) {
    const what = `Cannot program Service ${keyOf(service)} port ${port.port}/${port.protocol}`;
    draft.problems.push(`${what}: wanted TCP or UDP and a port from 1 to 65535`);
    return;
  }
  // The node's resolver answers on this address itself; its packets are not even tracked.
  if (clusterIP === facts.dnsVIP && port.port === 53) return;
  const protocol = port.protocol.toLowerCase();
  const key = `${clusterIP} . ${protocol} . ${port.port}`;
  if (protocol === "udp") {
    const keeping = service.endpoints.filter(({ ready, serving }) => ready || serving);
    draft.udpBackends.set(`${clusterIP}:${port.port}`, new Set([...targets(usable, port), ...targets(keeping, port)]));
  }
  const backends = targets(usable, port);
  if (backends.length === 0) return;
  if (draft.services.has(key)) {
    draft.problems.push(
      `Cannot program Service ${keyOf(service)} on ${key}: another Service has that address and port`,
    );
    return;
  }
  const chain = `service/${service.namespace}/${service.name}/${protocol}/${port.port}`;
  draft.chains.set(chain, [rotation(protocol, backends)]);
  draft.services.set(key, `goto ${chain}`);
  for (const backend of backends) {
    const address = backend.slice(0, backend.indexOf(":"));
    draft.hairpin.set(`${address} . ${address}`, "");
  }
}

/** `address:port` of the endpoints that serve a port, each once. */
function targets(endpoints: readonly ServiceResourceEndpoint[], port: ServiceResourcePort): readonly string[] {
  const found = new Set<string>();
  for (const { address, ports } of endpoints) {
    const target = ports[port.name];
    if (target !== undefined && isPort(target) && isIPv4(address)) found.add(`${address}:${target}`);
  }
  return [...found];
}

/** Exact rotation: the counter is the rule's own, shared by every packet that comes here. */
function rotation(protocol: string, backends: readonly string[]): string {
  const [only] = backends;
  if (backends.length === 1 && only !== undefined) return `meta l4proto ${protocol} dnat to ${only}`;
  const slots = backends.map((backend, slot) => `${slot} : ${backend.replace(":", " . ")}`).join(", ");
  // Without the protocol match, nft 1.0.6 refuses a port in the map.
  return `meta l4proto ${protocol} dnat ip to numgen inc mod ${backends.length} map { ${slots} }`;
}

/** The chains that packets enter by. Priorities -300 (before conntrack), -100 and 100 (nat), 0 (filter). */
function planBases({ serviceCIDR, dnsVIP }: NodeFacts): readonly BaseChain[] {
  const dispatch = "ip daddr . meta l4proto . th dport vmap @services";
  // What dispatch translated has another destination by now. The resolver's address answers for itself.
  const reject = [
    ...(dnsVIP === "" ? [] : [`ip daddr ${dnsVIP} return`]),
    `ip daddr ${serviceCIDR} meta l4proto tcp reject with tcp reset`,
    `ip daddr ${serviceCIDR} reject`,
  ];
  const untracked = dnsVIP === "" ? [] : planUntracked(dnsVIP);
  return [
    { name: "raw-prerouting", hook: "type filter hook prerouting priority -300 ; policy accept ;", rules: untracked },
    { name: "raw-output", hook: "type filter hook output priority -300 ; policy accept ;", rules: untracked },
    { name: "nat-prerouting", hook: "type nat hook prerouting priority -100 ; policy accept ;", rules: [dispatch] },
    { name: "nat-output", hook: "type nat hook output priority -100 ; policy accept ;", rules: [dispatch] },
    { name: "filter-forward", hook: "type filter hook forward priority 0 ; policy accept ;", rules: reject },
    { name: "filter-output", hook: "type filter hook output priority 0 ; policy accept ;", rules: reject },
    {
      name: "nat-postrouting",
      hook: "type nat hook postrouting priority 100 ; policy accept ;",
      rules: [
        // An endpoint that reaches itself would see its own address as the source, and answer past the node.
        "ct status dnat ip saddr . ip daddr @hairpin masquerade",
        // The node itself, calling the DNS address's other ports, has that address as its source.
        `ct status dnat ip saddr ${serviceCIDR} masquerade`,
      ],
    },
  ];
}

/** Queries and answers of the node's resolver, both ways: conntrack's races cost DNS 5 s (kubernetes#56903). */
function planUntracked(dnsVIP: string): readonly string[] {
  return ["udp", "tcp"].flatMap((protocol) => [
    `ip daddr ${dnsVIP} ${protocol} dport 53 notrack`,
    `ip saddr ${dnsVIP} ${protocol} sport 53 notrack`,
  ]);
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function keyOf({ namespace, name }: ServiceResource): string {
  return `${namespace}/${name}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
