/**
 * What one Service wants in one family's table. Pure.
 *
 *   ServiceResource + NodeFacts + what it had before ─▶ planService ─▶ ServicePlan { fragment, flows, problems }
 *
 * An address, a protocol and a port lead through the map `services` to a chain, and that picks a slot; the map
 * `slots-tcp` holds the endpoint of each slot. So a change of endpoints is a change of elements. Slots of policy Local
 * are numbered from `localOffset` on. Node ports have maps of their own, without an address.
 *
 *   service/…  to the cluster's endpoints     local/…  to this node's      external/…  from outside: masquerade, or Local
 *   random/tcp/N, external-random/tcp/N       shared by all plain Services beyond those that have chains of their own
 *
 * Invariant: equal arguments give equal plans. Behaviours: kube-proxy in nftables mode.
 */
import type { ServiceResource, ServiceResourcePort } from "#api/wire/service.ts";
import { planAffinity } from "./affinity-plan.ts";
import { type Categories, categorize, isPort, type Target } from "./categories.ts";
import { Draft } from "./draft.ts";
import type { NodeFacts } from "./facts.ts";
import { contains, type Family, familyOf, normalizeAddress, parseRange } from "./ip.ts";
import type { Fragment } from "./nft/types.ts";
import { rangesOf, tableFamilyOf, type Transport } from "./skeleton.ts";
import { keepOrder } from "./slots.ts";

/** Endpoints that may keep flows to `address:port`, or to any address of the node at `*:port`, as `address:port`. */
export type Flows = ReadonlyMap<string, ReadonlySet<string>>;

export interface ServicePlan {
  readonly fragment: Fragment;
  /** Of UDP and SCTP ports: `udp 10.96.0.1:53`. */
  readonly flows: Flows;
  /** Order of the endpoints of each port: the next plan keeps it, so that few slots change. */
  readonly orders: ReadonlyMap<string, readonly Target[]>;
  /** Whether a policy Local finds no endpoint on this node, though there are some elsewhere. */
  readonly noLocal: { readonly internal: boolean; readonly external: boolean };
  readonly problems: readonly string[];
}

export interface PlanOptions {
  readonly family: Family;
  readonly facts: NodeFacts;
  /** Whether chains of its own may be made for exact rotation. */
  readonly isExact: boolean;
  readonly before?: ServicePlan | undefined;
}

/** First slot of policy Local. */
export const localOffset = 32_768;
const namePattern = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** `namespace/name`. */
export function keyOf({ namespace, name }: ServiceResource): string {
  return `${namespace}/${name}`;
}

/** Whether the proxy has anything to do with the Service. */
export function isOurs({ headless, externalName, proxyName }: ServiceResource): boolean {
  return !headless && externalName === "" && proxyName === "";
}

/** The plan for one Service in one family. */
export function planService(service: ServiceResource, options: PlanOptions): ServicePlan {
  const draft = new Draft(tableFamilyOf(options.family));
  if (!isOurs(service)) return draft.done();
  if (!namePattern.test(service.namespace) || !namePattern.test(service.name)) {
    draft.problem(`Cannot program Service ${JSON.stringify(keyOf(service))}: wanted names that are DNS labels`);
    return draft.done();
  }
  const addresses = addressesOf(service, options, draft);
  const { clusterIPs, externalIPs, loadBalancerIPs } = addresses;
  const hasNodePorts = service.type === "NodePort" || service.type === "LoadBalancer";
  // Nothing to do in this family, as nearly always in one of the two.
  if (!hasNodePorts && clusterIPs.length + externalIPs.length + loadBalancerIPs.length === 0) return draft.done();
  for (const port of service.ports) {
    if (isPort(port.port)) new PortPlan(draft, service, port, { ...options, ...addresses }).plan();
    else draft.problem(`Cannot program Service ${keyOf(service)} port ${port.port}: wanted a number from 1 to 65535`);
  }
  return draft.done();
}

interface Addresses {
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
}

function addressesOf(service: ServiceResource, { family, facts }: PlanOptions, draft: Draft): Addresses {
  const read = (texts: readonly string[]): string[] =>
    texts.flatMap((text) => {
      const address = normalizeAddress(text);
      if (address === undefined)
        draft.problem(`Cannot program Service ${keyOf(service)} on ${JSON.stringify(text)}: wanted an IP address`);
      return address === undefined || familyOf(address) !== family ? [] : [address];
    });
  const ranges = rangesOf(facts.serviceCIDRs, family);
  const clusterIPs = read(service.clusterIPs).filter((address) => {
    if (ranges.length === 0 || ranges.some((range) => contains(range, address))) return true;
    const wanted = `wanted an address in ${ranges.map(({ text }) => text).join(", ")}`;
    draft.problem(`Cannot program Service ${keyOf(service)} on ${address}: ${wanted}`);
    return false;
  });
  const loadBalancerIPs = service.type === "LoadBalancer" ? read(service.loadBalancerIPs) : [];
  return { clusterIPs, externalIPs: read(service.externalIPs), loadBalancerIPs };
}

/** Where slots are looked up: by address and port, or by the node port alone. */
interface Space {
  /** Of the chains' names. */
  readonly prefix: "" | "nodeport-";
  /** The key before the slot number, in rules. */
  readonly key: string;
  /** Of what shared chains look up; that of a Service's own chains is `own-…`. */
  readonly map: string;
}

class PortPlan {
  readonly #draft: Draft;
  readonly #service: ServiceResource;
  readonly #port: ServiceResourcePort;
  readonly #options: PlanOptions & Addresses;
  readonly #transport: Transport;
  readonly #id: string;
  readonly #categories: Categories;
  readonly #byAddress: Space;
  readonly #byPort: Space;

  constructor(draft: Draft, service: ServiceResource, port: ServiceResourcePort, options: PlanOptions & Addresses) {
    const transport = port.protocol.toLowerCase() as Transport;
    const ip = draft.family;
    this.#draft = draft;
    this.#service = service;
    this.#port = port;
    this.#options = options;
    this.#transport = transport;
    this.#id = `${keyOf(service)}/${transport}/${port.port}`;
    const { cluster, local, ...rest } = categorize(service, port, options.family, options.facts);
    this.#categories = { cluster: this.#order("cluster", cluster), local: this.#order("local", local), ...rest };
    this.#byAddress = { prefix: "", key: `${ip} daddr . ${transport} dport`, map: `slots-${transport}` };
    this.#byPort = { prefix: "nodeport-", key: `${transport} dport`, map: `nodeport-slots-${transport}` };
  }

  plan(): void {
    const { clusterIPs, externalIPs, loadBalancerIPs, facts, family } = this.#options;
    const { type } = this.#service;
    for (const address of clusterIPs) this.#planClusterIP(address);
    for (const address of new Set([...externalIPs, ...loadBalancerIPs])) this.#planExternalIP(address);
    if (loadBalancerIPs.length > 0) this.#planFirewall(loadBalancerIPs);
    const hasNode = facts.nodeIPs.some((address) => familyOf(address) === family);
    const isNodePort = type === "NodePort" || type === "LoadBalancer";
    if (isNodePort && isPort(this.#port.nodePort) && hasNode) this.#planNodePort(this.#port.nodePort);
    this.#planHairpin();
  }

  #planClusterIP(address: string): void {
    const { cluster, local, hasAny } = this.#categories;
    // The node's resolver answers on this address itself; its packets are not even tracked.
    if (address === this.#options.facts.dnsVIP && this.#port.port === 53) return;
    const key = `${address} . ${this.#transport} . ${this.#port.port}`;
    this.#draft.element("cluster-ips", address);
    this.#keepFlows(`${address}:${this.#port.port}`);
    if (this.#service.internalTrafficPolicy === "Cluster") {
      this.#addClusterSlots(this.#byAddress, `${address} . ${this.#port.port}`);
      if (cluster.length > 0) this.#draft.element("services", key, `goto ${this.#clusterChain(this.#byAddress)}`);
      return;
    }
    this.#addLocalSlots(this.#byAddress, `${address} . ${this.#port.port}`);
    if (local.length > 0) this.#draft.element("services", key, `goto ${this.#localChain(this.#byAddress)}`);
    else if (hasAny) this.#draft.element("no-endpoints", key, "drop");
    if (local.length === 0 && hasAny) this.#draft.noLocal.internal = true;
  }

  #planExternalIP(address: string): void {
    const { port } = this.#port;
    this.#keepFlows(`${address}:${port}`);
    this.#planExternal(this.#byAddress, `${address} . ${port}`, {
      key: `${address} . ${this.#transport} . ${port}`,
      map: "services",
      without: "no-endpoints",
    });
  }

  #planNodePort(nodePort: number): void {
    this.#keepFlows(`*:${nodePort}`);
    this.#planExternal(this.#byPort, String(nodePort), {
      key: `${this.#transport} . ${nodePort}`,
      map: "nodeports",
      without: "no-endpoint-nodeports",
    });
  }

  #planExternal(
    space: Space,
    slotKey: string,
    at: { readonly key: string; readonly map: string; readonly without: string },
  ): void {
    const { cluster, local, hasAny } = this.#categories;
    const isLocal = this.#service.externalTrafficPolicy === "Local";
    this.#addClusterSlots(space, slotKey);
    if (isLocal) this.#addLocalSlots(space, slotKey);
    if (cluster.length + (isLocal ? local.length : 0) > 0) {
      const chain = isLocal ? this.#externalLocalChain(space) : this.#externalClusterChain(space);
      this.#draft.element(at.map, at.key, `goto ${chain}`);
    }
    if ((isLocal ? local : cluster).length > 0) return;
    // What comes from outside is not translated then; what is short-circuited was, and does not get here.
    this.#draft.element(at.without, at.key, isLocal && hasAny ? "drop" : "goto reject-chain");
    if (isLocal && hasAny) this.#draft.noLocal.external = true;
  }

  /** Balances over the cluster's endpoints. */
  #clusterChain(space: Space): string {
    const { cluster } = this.#categories;
    if (this.#service.affinitySeconds > 0) return this.#affinityChain("service", cluster);
    if (!this.#options.isExact) return this.#sharedChain(space);
    return this.#draft.chain(`${space.prefix}service/${this.#id}`, [this.#balanceOwn(space, cluster.length, 0)]);
  }

  #localChain(space: Space): string {
    const { local } = this.#categories;
    if (this.#service.affinitySeconds > 0) return this.#affinityChain("local", local);
    return this.#draft.chain(`${space.prefix}local/${this.#id}`, [this.#balanceOwn(space, local.length, localOffset)]);
  }

  /** From outside with policy Cluster: the answer must come back through this node. */
  #externalClusterChain(space: Space): string {
    const target = this.#clusterChain(space);
    const isShared = !this.#options.isExact && this.#service.affinitySeconds === 0;
    const name = isShared ? `external-${target}` : `${space.prefix}external/${this.#id}`;
    return this.#draft.chain(name, ["jump mark-for-masquerade", `goto ${target}`]);
  }

  /** From outside with policy Local; pods and the node itself may use all endpoints (kubernetes#99299). */
  #externalLocalChain(space: Space): string {
    const ip = this.#draft.family;
    const { cluster, local } = this.#categories;
    const rules: string[] = [];
    if (cluster.length > 0) {
      const target = this.#clusterChain(space);
      for (const { text } of rangesOf(this.#options.facts.clusterCIDRs, this.#options.family))
        rules.push(`${ip} saddr ${text} goto ${target}`);
      rules.push("fib saddr type local jump mark-for-masquerade", `fib saddr type local goto ${target}`);
    }
    if (local.length > 0) rules.push(`goto ${this.#localChain(space)}`);
    return this.#draft.chain(`${space.prefix}external/${this.#id}`, rules);
  }

  #sharedChain(space: Space): string {
    const { length } = this.#categories.cluster;
    const name = `${space.prefix}random/${this.#transport}/${length}`;
    return this.#draft.chain(name, [this.#balance(space, space.map, `numgen random mod ${length}`)]);
  }

  #affinityChain(kind: "service" | "local", targets: readonly Target[]): string {
    return planAffinity(this.#draft, {
      id: this.#id,
      kind,
      transport: this.#transport,
      seconds: this.#service.affinitySeconds,
      targets,
    });
  }

  /** The counter of `inc` is the rule's own: exact rotation. */
  #balanceOwn(space: Space, count: number, offset: number): string {
    const slot = `numgen inc mod ${count}${offset === 0 ? "" : ` offset ${offset}`}`;
    return this.#balance(space, `own-${space.map}`, slot);
  }

  /** One rule for any number of endpoints: what differs is in the map. */
  #balance(space: Space, map: string, slot: string): string {
    return `meta l4proto ${this.#transport} dnat ${this.#draft.family} to ${space.key} . ${slot} map @${map}`;
  }

  #addClusterSlots(space: Space, key: string): void {
    this.#addSlots(this.#options.isExact ? `own-${space.map}` : space.map, key, this.#categories.cluster, 0);
  }

  #addLocalSlots(space: Space, key: string): void {
    this.#addSlots(`own-${space.map}`, key, this.#categories.local, localOffset);
  }

  #addSlots(map: string, key: string, targets: readonly Target[], offset: number): void {
    // Chains with affinity name their endpoints themselves.
    if (this.#service.affinitySeconds > 0) return;
    for (const [index, { address, port }] of targets.entries())
      this.#draft.element(map, `${key} . ${offset + index}`, `${address} . ${port}`);
  }

  /** kube-proxy's firewall chain: a node in the ranges may have the load balancer's own address as its source. */
  #planFirewall(addresses: readonly string[]): void {
    const { facts, family } = this.#options;
    const { loadBalancerSourceRanges } = this.#service;
    if (loadBalancerSourceRanges.length === 0) return;
    const ip = this.#draft.family;
    const ranges = rangesOf(loadBalancerSourceRanges, family);
    const rules = ranges.map(({ text }) => `${ip} saddr ${text} return`);
    for (const text of loadBalancerSourceRanges)
      if (parseRange(text) === undefined)
        this.#draft.problem(
          `Cannot program source range ${JSON.stringify(text)} of Service ${keyOf(this.#service)}: wanted a CIDR`,
        );
    if (facts.nodeIPs.some((nodeIP) => ranges.some((range) => contains(range, nodeIP))))
      for (const address of addresses) rules.push(`${ip} saddr ${address} return`);
    const chain = this.#draft.chain(`firewall/${this.#id}`, [...rules, "drop"]);
    for (const address of addresses)
      this.#draft.element("firewall", `${address} . ${this.#transport} . ${this.#port.port}`, `goto ${chain}`);
  }

  /** Only an endpoint on this node can come back to itself through this node. */
  #planHairpin(): void {
    for (const { address, isElsewhere } of [...this.#categories.cluster, ...this.#categories.local])
      if (!isElsewhere) this.#draft.element("hairpin", `${address} . ${address}`);
  }

  #keepFlows(at: string): void {
    if (this.#transport === "tcp") return;
    const { cluster, local, serving } = this.#categories;
    const keeping = [...cluster, ...local, ...serving].map(({ address, port }) => `${address}:${port}`);
    this.#draft.flows.set(`${this.#transport} ${at}`, new Set(keeping));
  }

  #order(kind: string, targets: readonly Target[]): readonly Target[] {
    const key = `${kind} ${this.#id}`;
    const ordered = keepOrder(this.#options.before?.orders.get(key) ?? [], targets);
    this.#draft.orders.set(key, ordered);
    return ordered;
  }
}
