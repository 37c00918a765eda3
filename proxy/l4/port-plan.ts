/**
 * What one port of a Service wants in one family's table. Pure.
 *
 *   service-plan.ts ─ each port ─▶ PortPlan ─▶ Draft: chains, elements, flows
 *
 * An address, a protocol and a port lead through the map `services`, or a set, to a chain, and that picks a slot; the
 * map `slots-tcp` holds the endpoint of each slot. So a change of endpoints is a change of elements. Slots of policy
 * Local are numbered from `localOffset` on. Node ports have maps of their own, without an address.
 *
 *   service/…  to the cluster's endpoints     local/…  to this node's      external/…  from outside: masquerade, or Local
 *   random/N, external-random/N               shared by all Services that have nothing of their own (balance.ts)
 *   requests/… to the node's HTTP engine while that is there, else on to one of the above
 *
 * Behaviours: kube-proxy in nftables mode.
 */
import type { ServiceResource, ServiceResourcePort } from "#api/wire/service.ts";
import { isPerRequest } from "../requests/choice.ts";
import { planAffinity } from "./affinity-plan.ts";
import {
  balance,
  leadingTo,
  plainMax,
  sharedChain,
  sharedRules,
  type Space,
  spaceOf,
  type Transport,
} from "./balance.ts";
import { type Categories, categorize, isPort, type Target } from "./categories.ts";
import type { Draft } from "./draft.ts";
import type { NodeFacts } from "./facts.ts";
import { contains, type Family, familyOf, isLimited, parseRange } from "./ip.ts";
import { connectionsOnly, rangesOf, requestsAlive } from "./skeleton.ts";
import { keyOf } from "./service-key.ts";
import { keepOrder } from "./slots.ts";

/** First slot of policy Local. */
export const localOffset = 32_768;

/** What a plan is made with: the same for all ports of a Service. */
export interface PortPlanOptions {
  readonly family: Family;
  readonly facts: NodeFacts;
  /** Whether chains of its own may be made for exact rotation. */
  readonly isExact: boolean;
  /** Order of the endpoints of each port in the plan before. */
  readonly orders: ReadonlyMap<string, readonly Target[]> | undefined;
  /** Addresses of pods whose callers policies judge: these must see who calls. */
  readonly isolated: ReadonlySet<string>;
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly loadBalancerIPs: readonly string[];
}

export class PortPlan {
  readonly #draft: Draft;
  readonly #service: ServiceResource;
  readonly #port: ServiceResourcePort;
  readonly #options: PortPlanOptions;
  readonly #transport: Transport;
  readonly #id: string;
  readonly #categories: Categories;
  readonly #byAddress: Space;
  readonly #byPort: Space;

  constructor(draft: Draft, service: ServiceResource, port: ServiceResourcePort, options: PortPlanOptions) {
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
    this.#byAddress = spaceOf(ip, transport, "");
    this.#byPort = spaceOf(ip, transport, "nodeport-");
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
      if (cluster.length > 0)
        this.#draft.element("services", key, leadingTo(this.#perRequest(this.#clusterChain(this.#byAddress), cluster)));
      return;
    }
    this.#addLocalSlots(this.#byAddress, `${address} . ${this.#port.port}`);
    if (local.length > 0)
      this.#draft.element("services", key, `goto ${this.#perRequest(this.#localChain(this.#byAddress), local)}`);
    else if (hasAny) this.#draft.element("no-endpoints", key, "drop");
    if (local.length === 0 && hasAny) this.#draft.missesLocal("internal");
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
      // Policy Local keeps the source, which the engine cannot.
      const chain = isLocal
        ? this.#externalLocalChain(space)
        : this.#perRequest(this.#externalClusterChain(space), cluster);
      this.#draft.element(at.map, at.key, `goto ${chain}`);
    }
    if ((isLocal ? local : cluster).length > 0) return;
    // What comes from outside is not translated then; what is short-circuited was, and does not get here.
    this.#draft.element(at.without, at.key, isLocal && hasAny ? "drop" : "goto reject-chain");
    if (isLocal && hasAny) this.#draft.missesLocal("external");
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

  /**
   * The chain before `chain` that hands connections to the node's HTTP engine, or `chain` itself. Callers whose
   * connections policies judge are let pass, and so is everybody once the engine says nothing more.
   */
  #perRequest(chain: string, targets: readonly Target[]): string {
    const { facts, isolated } = this.#options;
    const isWanted = facts.requestPort > 0 && isPerRequest(this.#service, this.#port);
    if (!isWanted || targets.some(({ address }) => isolated.has(address))) return chain;
    const redirect = `meta l4proto @${requestsAlive} meta l4proto tcp redirect to :${facts.requestPort}`;
    const rules = [`${this.#draft.family} saddr != @${connectionsOnly} ${redirect}`, `goto ${chain}`];
    return this.#draft.chain(`requests/${chain}`, rules);
  }

  /** That of plain Services is there in any case; of more endpoints, it is while somebody claims it. */
  #sharedChain({ prefix }: Space): string {
    const { length } = this.#categories.cluster;
    const chain = sharedChain(prefix, length);
    if (prefix === "" && length <= plainMax) return chain;
    return this.#draft.chain(chain, sharedRules(this.#draft.family, prefix, length));
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
    return balance(space, `own-${space.map}`, slot);
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
    if (!isLimited(loadBalancerSourceRanges, family)) return;
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
    const { cluster, local } = this.#categories;
    for (const targets of [cluster, local])
      for (const { address, isElsewhere } of targets)
        if (!isElsewhere) this.#draft.element("hairpin", `${address} . ${address}`);
  }

  #keepFlows(at: string): void {
    if (this.#transport === "tcp") return;
    const { cluster, local, serving } = this.#categories;
    const keeping = [...cluster, ...local, ...serving].map(({ address, port }) => `${address}:${port}`);
    this.#draft.keepFlows(`${this.#transport} ${at}`, new Set(keeping));
  }

  #order(kind: string, targets: readonly Target[]): readonly Target[] {
    // Of none there is no order.
    if (targets.length === 0) return targets;
    const key = `${kind} ${this.#id}`;
    const ordered = keepOrder(this.#options.orders?.get(key) ?? [], targets);
    this.#draft.keepOrder(key, ordered);
    return ordered;
  }
}
