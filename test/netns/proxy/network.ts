/**
 * A network for the proxy's tests, in namespaces of our own: this process must run in fresh user, network and mount
 * namespaces (proxy.test.ts sees to that), and plays the node.
 *
 *   pod2, pod3, pod4 10.244.1.x ─ routed veths ─ node 100.64.0.2 ─ veth ─ node2 100.64.0.3, with pod 10.244.2.2 on it
 *   the same in IPv6:    fd00:10:244:1::x             fd00:64::2              fd00:64::3        fd00:10:244:2::2
 *
 * As the launcher and the kubelet make it: routed veths, a route for Services, the DNS address on lo.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type NetworkNamespace, openNamespace } from "#lib/linux.ts";

export interface Place {
  /** Of the family asked for. */
  readonly address: string;
  /** Undefined for the node itself. */
  readonly namespace?: NetworkNamespace;
}

export interface Network {
  readonly node: Place;
  readonly pods: readonly Place[];
  /** A pod on another node. */
  readonly remote: Place;
  /** That node itself: an address from outside, which is no pod's. */
  readonly outside: Place;
}

interface Addresses {
  readonly node: string;
  readonly otherNode: string;
  readonly services: string;
  /** Of the pods of node 1 and 2, before the last number. */
  readonly pods: readonly [string, string];
  readonly bits: 32 | 128;
}

/** The network's plan; IPv4 is Wherry's own. */
export const networks: Readonly<Record<"IPv4" | "IPv6", Addresses>> = {
  IPv4: {
    node: "100.64.0.2",
    otherNode: "100.64.0.3",
    services: "10.96.0.0/16",
    pods: ["10.244.1.", "10.244.2."],
    bits: 32,
  },
  IPv6: {
    node: "fd00:64::2",
    otherNode: "fd00:64::3",
    services: "fd00:10:96::/112",
    pods: ["fd00:10:244:1::", "fd00:10:244:2::"],
    bits: 128,
  },
};
const dnsVIP = "10.96.0.10";
const families = Object.values(networks);

/** Makes the network, of both families. Everything of it ends with the process's namespaces. */
export function createNetwork(family: "IPv4" | "IPv6" = "IPv4"): Network {
  // A tmpfs of our own over /run, in our own mount namespace: namespace files are mounts, and nothing may stay behind.
  const dir = "/run";
  run(`mount -t tmpfs tmpfs ${dir}`);
  run(`
    ip link set lo up
    ip addr add ${dnsVIP}/32 dev lo
    ${families.map(({ node, bits }) => `ip addr add ${node}/${bits} dev lo ${nodadOf(bits)}`).join("\n")}
    # IPv6 refuses what is routed by way of lo, before any rule sees it.
    ip link add services type veth peer name nobody
    ip link set services up arp off
    ip link set nobody up
    echo 1 >/proc/sys/net/ipv6/conf/nobody/disable_ipv6
    ip route add ${networks.IPv4.services} dev lo src ${networks.IPv4.node}
    ip route add ${networks.IPv6.services} dev services src ${networks.IPv6.node}
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    # Tests are refused more often than the kernel tells a caller in a second.
    echo 0 >/proc/sys/net/ipv4/icmp_ratelimit
    echo 0 >/proc/sys/net/ipv6/icmp/ratelimit`);
  const pods = [2, 3, 4].map((last) => addPod(dir, `pod${last}`, (plan) => `${plan.pods[0]}${last}`));
  const remote = addPod(dir, "node2", ({ otherNode }) => otherNode);
  for (const {
    otherNode,
    pods: [, there],
    bits,
  } of families)
    run(`
      ip route add ${there}2/${bits} via ${otherNode} dev node2 onlink
      nsenter --net=${dir}/node2 ip addr add ${there}2/${bits} dev lo ${nodadOf(bits)}`);
  const {
    node,
    otherNode,
    pods: [here, there],
  } = networks[family];
  return {
    node: { address: node },
    pods: pods.map((namespace, at) => ({ address: `${here}${at + 2}`, namespace })),
    remote: { address: `${there}2`, namespace: remote },
    outside: { address: otherNode, namespace: remote },
  };
}

/** An IPv6 address is not used before it is clear that nobody else has it, which takes up to a second; nobody has. */
function nodadOf(bits: Addresses["bits"]): string {
  return bits === 128 ? "nodad" : "";
}

function addPod(dir: string, name: string, addressIn: (plan: Addresses) => string): NetworkNamespace {
  const file = join(dir, name);
  const inside = `nsenter --net=${file}`;
  run(`
    touch ${file}
    unshare --net=${file} true
    ip link add ${name} type veth peer name eth0 netns ${file}
    ip link set ${name} up
    ${inside} ip link set lo up
    ${inside} ip link set eth0 up`);
  for (const plan of families) {
    const [address, router] = [addressIn(plan), `${plan.pods[0]}1`];
    const nodad = nodadOf(plan.bits);
    run(`
      ip addr add ${router}/${plan.bits} dev ${name} ${nodad}
      ip route add ${address}/${plan.bits} dev ${name}
      ${inside} ip addr add ${address}/${plan.bits} dev eth0 ${nodad}
      ${inside} ip route add ${router} dev eth0
      ${inside} ip route add default via ${router} dev eth0 onlink`);
  }
  return openNamespace(file);
}

function run(script: string): void {
  execFileSync("sh", ["-e", "-c", script], { stdio: ["ignore", "ignore", "inherit"] });
}
