/**
 * A network for the proxy's tests, in namespaces of our own: this process must run in fresh user, network and mount
 * namespaces (proxy.test.ts sees to that), and plays the node.
 *
 *   pod1, pod2, pod3 10.244.1.x ─ routed veths ─ node 100.64.0.2 ─ veth ─ node2 100.64.0.3, with pod 10.244.2.2 on it
 *
 * As the launcher and the kubelet make it: routed veths, a route for Services, the DNS address on lo.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { type NetworkNamespace, openNamespace } from "#lib/linux.ts";

export interface Place {
  readonly address: string;
  /** Undefined for the node itself. */
  readonly namespace?: NetworkNamespace;
}

export interface Network {
  readonly node: Place;
  readonly pods: readonly Place[];
  /** A pod on another node. */
  readonly remote: Place;
}

const nodeIP = "100.64.0.2";
const dnsVIP = "10.96.0.10";

/** Makes the network. Everything of it ends with the process's namespaces. */
export function createNetwork(): Network {
  // A tmpfs of our own over /run, in our own mount namespace: namespace files are mounts, and nothing may stay behind.
  const dir = "/run";
  run(`mount -t tmpfs tmpfs ${dir}`);
  run(`
    ip link set lo up
    ip addr add ${dnsVIP}/32 dev lo
    ip addr add ${nodeIP}/32 dev lo
    ip route add 10.96.0.0/16 dev lo src ${nodeIP}
    echo 1 >/proc/sys/net/ipv4/ip_forward`);
  const pods = [2, 3, 4].map((last) => addPod(dir, `pod${last}`, `10.244.1.${last}`));
  const remote = addPod(dir, "node2", "100.64.0.3");
  run(`
    ip route add 10.244.2.0/24 via 100.64.0.3 dev node2 onlink
    nsenter --net=${dir}/node2 ip addr add 10.244.2.2/32 dev lo`);
  return { node: { address: nodeIP }, pods, remote: { ...remote, address: "10.244.2.2" } };
}

function addPod(dir: string, name: string, address: string): Place {
  const file = join(dir, name);
  const inside = `nsenter --net=${file}`;
  run(`
    touch ${file}
    unshare --net=${file} true
    ip link add ${name} type veth peer name eth0 netns ${file}
    ip addr add 10.244.1.1/32 dev ${name}
    ip link set ${name} up
    ip route add ${address}/32 dev ${name}
    ${inside} ip link set lo up
    ${inside} ip addr add ${address}/32 dev eth0
    ${inside} ip link set eth0 up
    ${inside} ip route add 10.244.1.1 dev eth0 scope link
    ${inside} ip route add default via 10.244.1.1 dev eth0 onlink`);
  return { address, namespace: openNamespace(file) };
}

function run(script: string): void {
  execFileSync("sh", ["-e", "-c", script], { stdio: ["ignore", "ignore", "inherit"] });
}
