/**
 * What the plan needs to know of the node and the cluster: constant while the proxy runs, but for the zone.
 *
 *   config.ts ─ checked ─▶ NodeFacts ─▶ skeleton.ts, service-plan.ts, categories.ts
 */

export interface NodeFacts {
  /** Whose endpoints are local; "" knows no local ones. */
  readonly nodeName: string;
  /** The node's topology.kubernetes.io/zone; "" for none. */
  readonly zone: string;
  /** Primary addresses of the node, one a family at most. Node ports are answered here by default. */
  readonly nodeIPs: readonly string[];
  /**
   * kube-proxy's --nodeport-addresses: ranges of addresses, `primary`, `localhost` (127.0.0.1 and ::1, TCP by sockets of
   * this process), or `all` (everything that the node has).
   */
  readonly nodePortAddresses: readonly string[];
  /** Where clusterIPs come from; empty when not known. */
  readonly serviceCIDRs: readonly string[];
  /**
   * What becomes of addresses there that no Service has. kube-proxy drops, so that callers wait; Wherry's own cluster
   * rejects, so that they learn at once.
   */
  readonly unallocated: "reject" | "drop";
  /** Sources that are the cluster's own (kube-proxy's --cluster-cidr); empty: nobody is known to be. */
  readonly clusterCIDRs: readonly string[];
  /** Further sources whose address is kept on the way to a clusterIP: those that every endpoint can answer by itself. */
  readonly unmasqueradedCIDRs: readonly string[];
  /** Masquerade whatever comes to a clusterIP. */
  readonly masqueradeAll: boolean;
  /** The packet mark of what is to be masqueraded: one bit, as kube-proxy's --iptables-masquerade-bit. */
  readonly masqueradeMark: number;
  /** The cluster DNS address, which the node's own resolver serves on port 53; "" for none. */
  readonly dnsVIP: string;
  /** Every address of the node's own resolver: policies judge what pods ask it, as if it were the cluster's DNS pod. */
  readonly resolverIPs: readonly string[];
  /** Where the node's HTTP engine accepts connections that it balances per request (proxy/requests); 0 for nowhere. */
  readonly requestPort: number;
  /** Service ports that get a chain of their own, and with it exact rotation; those beyond are balanced by chance. */
  readonly exactMax: number;
}
