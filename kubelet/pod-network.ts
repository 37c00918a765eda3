/**
 * A pod's network as shell scripts. Pure; the kubelet runs them in the node's network namespace.
 *
 *   pod eth0 10.244.N.x/32 ─ routed veth ─ node, route 10.244.N.x dev v…
 *
 * No bridge: on one, replies between pods of a node pass its conntrack by and ClusterIPs break.
 * An injected pod also gets the interception rules: what it sends by TCP goes to its sidecar's 15001, what it gets by
 * TCP to 15006; the sidecar's own connections carry a mark and pass.
 */

/** The mark of the sidecar's own connections. Pods can set none: they lack net_admin and net_raw. */
export const sidecarMark = 1337;

export const sidecarPorts = { outbound: 15_001, inbound: 15_006, admin: 15_000, metrics: 15_020 } as const;

export interface PodNetwork {
  readonly podUid: string;
  readonly podIP: string;
  /** The node's end of the link, the same for all its pods. */
  readonly gatewayIP: string;
  readonly injected: boolean;
}

/** The file that stands for the pod's network namespace. `wherry sh --pid` and sidecars enter by it. */
export function netnsPath(podUid: string): string {
  return `/run/netns/pod-${podUid}`;
}

/** Name of the node's end of the veth: at most 15 bytes, unique by the address's last two bytes. */
function linkName(podIP: string): string {
  const [, , third = "0", fourth = "0"] = podIP.split(".");
  return `pod${third}-${fourth}`;
}

/** Makes the network. Starts by removing what an interrupted run may have left. */
export function planPodNetwork(network: PodNetwork): string {
  const { podUid, podIP, gatewayIP, injected } = network;
  const netns = netnsPath(podUid);
  const link = linkName(podIP);
  return [
    removePodNetwork(network),
    `touch ${netns}`,
    `unshare --net=${netns} true`,
    "ip -batch - <<'BATCH'",
    `link add ${link} type veth peer name eth0 netns ${netns}`,
    `addr add ${gatewayIP}/32 dev ${link}`,
    `link set ${link} up`,
    `route add ${podIP}/32 dev ${link}`,
    "BATCH",
    `nsenter --net=${netns} dash -e <<'INSIDE'`,
    "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
    // The one group that containers have may ping without net_raw.
    "echo 0 0 >/proc/sys/net/ipv4/ping_group_range",
    "ip -batch - <<'BATCH'",
    "link set lo up",
    `addr add ${podIP}/32 dev eth0`,
    "link set eth0 up",
    `route add ${gatewayIP} dev eth0 scope link`,
    `route add default via ${gatewayIP} dev eth0 onlink`,
    "BATCH",
    ...(injected ? ["nft -f - <<'RULES'", interceptionRules(), "RULES"] : []),
    "INSIDE",
    "",
  ].join("\n");
}

/** Removes the network; what is not there is well. */
export function removePodNetwork({ podUid, podIP }: Pick<PodNetwork, "podUid" | "podIP">): string {
  const netns = netnsPath(podUid);
  return [
    `ip link del ${linkName(podIP)} 2>/dev/null || true`,
    `umount ${netns} 2>/dev/null || true`,
    `rm -f ${netns}`,
  ].join("\n");
}

/** The nft rules of an injected pod. */
export function interceptionRules(): string {
  const { outbound, inbound, admin, metrics } = sidecarPorts;
  return `table ip wherry-sidecar {
  chain output {
    type nat hook output priority -100; policy accept;
    meta mark ${sidecarMark} return
    oifname "lo" return
    meta l4proto tcp redirect to :${outbound}
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    iifname "lo" return
    tcp dport { ${admin}, ${metrics} } return
    meta l4proto tcp redirect to :${inbound}
  }
}`;
}
