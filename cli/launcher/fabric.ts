/**
 * The network between the nodes, as a shell script. Pure.
 *
 *   control 100.64.0.1 ─┐
 *   node1   100.64.0.2 ─┼─ routed veths ─ the cluster's first network namespace, a router and nothing else
 *   node2   100.64.0.3 ─┘                 10.244.N.0/24 via node N
 *
 * No bridge: replies must pass the conntrack of the node that translated them (reference: routed pods).
 * There is no default route here, so nothing that is not the cluster's ever leaves.
 */
import { addresses } from "../ipc.ts";
import { formatResolvConf, usualNamespace } from "./resolv-conf.ts";

const router = "100.64.255.254";

/** Lines that make one member's network namespace and its link to the router. */
function member(name: string, address: string): string[] {
  return [
    `touch /run/netns/${name}`,
    `unshare --net=/run/netns/${name} true`,
    `ip link add ${name} type veth peer name eth0 netns ${name}`,
    `ip addr add ${router}/32 dev ${name}`,
    `ip link set ${name} up`,
    `ip route add ${address}/32 dev ${name}`,
    `nsenter --net=/run/netns/${name} dash -e <<'INSIDE'`,
    "ip link set lo up",
    `ip addr add ${address}/32 dev eth0`,
    "ip link set eth0 up",
    `ip route add default via ${router} dev eth0 onlink`,
    "INSIDE",
  ];
}

/**
 * What leaves the cluster: TCP goes to the node's agent, which joins it to a connection that the launcher makes
 * outside; everything else is refused at once, not lost on the way. The host's own address inside counts as outside.
 * These chains come after those of the Services: what was translated there is the cluster's.
 */
const inside = [addresses.podsCIDR, addresses.serviceCIDR, addresses.nodesCIDR, "127.0.0.0/8", addresses.dnsLocal];
const cluster = inside.join(", ");
/** Queries of the link-local resolver, both ways; those of the Service's address are the node proxy's. */
const untracked = ["udp", "tcp"].flatMap((protocol) => [
  `ip daddr ${addresses.dnsLocal} ${protocol} dport 53 notrack`,
  `ip saddr ${addresses.dnsLocal} ${protocol} sport 53 notrack`,
]);
const leaving = [
  `ip daddr { ${cluster} } ip daddr != ${addresses.host} return`,
  `meta l4proto tcp redirect to :${addresses.egressPort}`,
];
const unreachable = [
  `ip daddr { ${cluster} } ip daddr != ${addresses.host} return`,
  "reject with icmp type net-unreachable",
];
const egressRules = [
  "table ip wherry-egress {",
  ...chain("raw-prerouting", "type filter hook prerouting priority -300", untracked),
  ...chain("raw-output", "type filter hook output priority -300", untracked),
  ...chain("nat-prerouting", "type nat hook prerouting priority -90", leaving),
  ...chain("nat-output", "type nat hook output priority -90", leaving),
  ...chain("filter-forward", "type filter hook forward priority 10", unreachable),
  ...chain("filter-output", "type filter hook output priority 10", unreachable),
  "}",
];

function chain(name: string, hook: string, rules: readonly string[]): string[] {
  return [`chain ${name} {`, `${hook}; policy accept;`, ...rules, "}"];
}

/** Lines that turn a member into a node: forwarding, the service range, the DNS addresses. */
function node(name: string, index: number): string[] {
  return [
    `ip route add ${addresses.podCIDR(index)} via ${addresses.node(index)} dev ${name} onlink`,
    `nsenter --net=/run/netns/${name} dash -e <<'INSIDE'`,
    "echo 1 >/proc/sys/net/ipv4/ip_forward",
    `ip addr add ${addresses.dns}/32 dev lo`,
    `ip addr add ${addresses.dnsLocal}/32 dev lo`,
    // Output nat runs after routing: without a route, calls from the node itself fail before translation.
    `ip route add ${addresses.serviceCIDR} dev lo src ${addresses.node(index)}`,
    // An address that no pod has is refused at once.
    `ip route add unreachable ${addresses.podCIDR(index)}`,
    "nft -f - <<'RULES'",
    ...egressRules,
    "RULES",
    "INSIDE",
  ];
}

/** ADS has no authentication yet: it answers nodes, not pods, which must not read everybody's configuration. */
const guardControl = [
  "nsenter --net=/run/netns/control nft -f - <<'RULES'",
  "table ip wherry-control {",
  "  chain input {",
  "    type filter hook input priority 0; policy accept;",
  `    tcp dport ${addresses.adsPort} ip saddr != { 100.64.0.0/16, 127.0.0.0/8 } reject with tcp reset`,
  "  }",
  "}",
  "RULES",
];

/**
 * Puts the cluster's resolv.conf in place of the host's, inside our mount namespace only. Where /etc/resolv.conf is a link
 * into /run, as with systemd-resolved, the file is made in our own /run.
 */
const placeResolvConf = [
  "cat >/run/wherry/resolv.conf <<'RESOLV'",
  `${formatResolvConf(usualNamespace)}RESOLV`,
  "target=$(readlink -m /etc/resolv.conf)",
  'case $target in /run/*) mkdir -p "$(dirname "$target")"; cp /run/wherry/resolv.conf "$target" ;;',
  '*) if [ -e "$target" ]; then mount --bind /run/wherry/resolv.conf "$target"; fi ;; esac',
];

/** The whole script for `nodes` nodes named node1, node2, … */
export function planFabric(nodes: number): string {
  const members = Array.from({ length: nodes }, (_, at) => at + 1);
  return [
    "mkdir -p /run/netns /run/wherry",
    ...placeResolvConf,
    "echo 1 >/proc/sys/net/ipv4/ip_forward",
    ...member("control", addresses.control),
    ...guardControl,
    ...members.flatMap((index) => [...member(`node${index}`, addresses.node(index)), ...node(`node${index}`, index)]),
    "",
  ].join("\n");
}
