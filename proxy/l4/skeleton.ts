/**
 * The fixed part of a table: where packets enter, and what they are looked up in. Pure.
 *
 *   prerouting, output -300  the resolver's packets are not tracked
 *   prerouting, output -110  firewall: source ranges of load balancer addresses
 *   prerouting, output -100  services, plain Services by their number of endpoints, nodeports: to an endpoint
 *   input, forward, output 0 no-endpoints, no-endpoint-nodeports, cluster addresses: reject or drop
 *   postrouting 100          masquerade: what is marked, and what an endpoint sends to itself
 *
 * Priorities are kube-proxy's. What was translated at -100 has another destination at 0.
 */
import { planPlainChains, planPlainSets, transports } from "./balance.ts";
import type { NodeFacts } from "./facts.ts";
import { type Family, familyOf, normalizeAddress, parseRange, type Range } from "./ip.ts";
import type { BaseChain, Collection, Skeleton, TableFamily } from "./nft/types.ts";

/** The protocols of which the node's HTTP engine takes connections now: elements of a few seconds, said again each second. */
export const requestsAlive = "requests-alive";
/** Callers whose connections are never taken by it. */
export const connectionsOnly = "connections-only";

/**
 * What refuses judges how connections begin, as in kube-proxy: answers to the node's own connections may come to the
 * number of a node port, and what is established outlives a change.
 */
const newAlone = "ct state != new return";

/** nft's name of a family. */
export function tableFamilyOf(family: Family): TableFamily {
  return family === "IPv4" ? "ip" : "ip6";
}

/** The family's ranges among texts; what is no range was refused by config.ts. */
export function rangesOf(texts: readonly string[], family: Family): readonly Range[] {
  if (texts.length === 0) return [];
  let known = rangesByTexts.get(texts);
  if (known === undefined) {
    const all = texts.flatMap((text) => parseRange(text) ?? []);
    const of = (wanted: Family): readonly Range[] => all.filter(({ family }) => family === wanted);
    rangesByTexts.set(texts, (known = { IPv4: of("IPv4"), IPv6: of("IPv6") }));
  }
  return known[family];
}

/** The lists of facts are the same all the time, and asked for with every Service. */
const rangesByTexts = new WeakMap<readonly string[], Readonly<Record<Family, readonly Range[]>>>();

/** The table without any Service. */
export function planSkeleton(facts: NodeFacts, family: Family): Skeleton {
  const ip = tableFamilyOf(family);
  return {
    family: ip,
    bases: planBases(facts, family),
    chains: new Map([
      ["mark-for-masquerade", [`meta mark set meta mark | ${hex(facts.masqueradeMark)}`]],
      ["reject-chain", ["meta l4proto tcp reject with tcp reset", "reject"]],
      ...planPlainChains(ip),
    ]),
    collections: planCollections(ip),
  };
}

function planCollections(ip: TableFamily): readonly Collection[] {
  const address = ip === "ip" ? "ipv4_addr" : "ipv6_addr";
  // Of one protocol each: nft 1.0.6 cannot read a map back that names `th dport` and is used after `meta l4proto tcp`.
  // Slots are numbered by numgen, and only typeof can name its type.
  const slots = transports.flatMap((transport): readonly Collection[] => {
    const [port, slot] = [`${transport} dport`, "numgen inc mod 65536"];
    const data = `${ip} daddr . ${port}`;
    // The kernel checks every element against every rule that looks it up: chains of Services have maps of their own.
    return ["", "own-"].flatMap((prefix): readonly Collection[] => [
      {
        kind: "map",
        name: `${prefix}slots-${transport}`,
        type: `typeof ${ip} daddr . ${port} . ${slot} : ${data} ;`,
        isChosen: true,
      },
      {
        kind: "map",
        name: `${prefix}nodeport-slots-${transport}`,
        type: `typeof ${port} . ${slot} : ${data} ;`,
        isChosen: true,
      },
    ]);
  });
  const byAddress = `type ${address} . inet_proto . inet_service : verdict ;`;
  const byPort = "type inet_proto . inet_service : verdict ;";
  return [
    ...slots,
    { kind: "set", name: "hairpin", type: `type ${address} . ${address} ;` },
    { kind: "set", name: "cluster-ips", type: `type ${address} ;` },
    { kind: "set", name: connectionsOnly, type: `type ${address} ;` },
    { kind: "set", name: requestsAlive, type: "type inet_proto ; flags timeout ;" },
    ...planPlainSets(ip),
    { kind: "map", name: "no-endpoints", type: byAddress },
    { kind: "map", name: "no-endpoint-nodeports", type: byPort },
    { kind: "map", name: "firewall", type: byAddress },
    { kind: "map", name: "services", type: byAddress },
    { kind: "map", name: "nodeports", type: byPort },
  ];
}

function planBases(facts: NodeFacts, family: Family): readonly BaseChain[] {
  const ip = tableFamilyOf(family);
  const untracked = planUntracked(facts, family);
  const hook = (type: string, name: string, priority: number): string =>
    `type ${type} hook ${name} priority ${priority} ; policy accept ;`;
  const firewall = [newAlone, `${ip} daddr . meta l4proto . th dport vmap @firewall`];
  const dispatch = planDispatch(facts, family);
  const refusal = planRefusal(facts, family);
  return [
    { name: "raw-prerouting", hook: hook("filter", "prerouting", -300), rules: untracked },
    { name: "raw-output", hook: hook("filter", "output", -300), rules: untracked },
    { name: "firewall-prerouting", hook: hook("filter", "prerouting", -110), rules: firewall },
    { name: "firewall-output", hook: hook("filter", "output", -110), rules: firewall },
    { name: "nat-prerouting", hook: hook("nat", "prerouting", -100), rules: dispatch },
    { name: "nat-output", hook: hook("nat", "output", -100), rules: dispatch },
    { name: "filter-input", hook: hook("filter", "input", 0), rules: refusal },
    { name: "filter-forward", hook: hook("filter", "forward", 0), rules: refusal },
    { name: "filter-output", hook: hook("filter", "output", 0), rules: refusal },
    { name: "nat-postrouting", hook: hook("nat", "postrouting", 100), rules: planPostrouting(facts, family) },
  ];
}

function planDispatch(facts: NodeFacts, family: Family): readonly string[] {
  const ip = tableFamilyOf(family);
  const isDetecting = rangesOf(facts.clusterCIDRs, family).length > 0;
  const own = rangesOf([...facts.clusterCIDRs, ...facts.unmasqueradedCIDRs], family);
  const masquerade = facts.masqueradeAll
    ? [`${ip} daddr @cluster-ips jump mark-for-masquerade`]
    : !isDetecting
      ? []
      : [`${ip} saddr != ${anonymousSet(own)} ${ip} daddr @cluster-ips jump mark-for-masquerade`];
  return [
    ...masquerade,
    `${ip} daddr . meta l4proto . th dport vmap @services`,
    `${ip} daddr @cluster-ips jump cluster-ip`,
    ...planNodePorts(facts, family, "nodeports"),
  ];
}

/** The lookup for packets to the node's own addresses: those that node ports are answered on, loopback never. */
function planNodePorts(facts: NodeFacts, family: Family, map: string): readonly string[] {
  const ip = tableFamilyOf(family);
  const loopback = family === "IPv4" ? "127.0.0.0/8" : "::1/128";
  const primary = facts.nodePortAddresses.includes("primary") || facts.nodePortAddresses.length === 0;
  const addresses = primary ? facts.nodeIPs.flatMap((address) => normalizeAddress(address) ?? []) : [];
  const singles = addresses.filter((address) => familyOf(address) === family);
  const ranges = rangesOf(facts.nodePortAddresses, family);
  const lookup = `meta l4proto . th dport vmap @${map}`;
  return [
    ...singles.map((address) => `${ip} daddr ${address} ${lookup}`),
    ...(ranges.length === 0
      ? []
      : [`fib daddr type local ${ip} daddr != ${loopback} ${ip} daddr ${anonymousSet(ranges)} ${lookup}`]),
  ];
}

function planRefusal(facts: NodeFacts, family: Family): readonly string[] {
  const ip = tableFamilyOf(family);
  const vip = dnsVIPOf(facts, family);
  const ranges = rangesOf(facts.serviceCIDRs, family);
  return [
    newAlone,
    // The resolver's address answers for itself.
    ...(vip === undefined ? [] : [`${ip} daddr ${vip} return`]),
    `${ip} daddr . meta l4proto . th dport vmap @no-endpoints`,
    ...planNodePorts(facts, family, "no-endpoint-nodeports"),
    `${ip} daddr @cluster-ips goto reject-chain`,
    ...ranges.map(({ text }) => `${ip} daddr ${text} ${facts.unallocated === "drop" ? "drop" : "goto reject-chain"}`),
  ];
}

function planPostrouting(facts: NodeFacts, family: Family): readonly string[] {
  const ip = tableFamilyOf(family);
  const mark = hex(facts.masqueradeMark);
  const vip = dnsVIPOf(facts, family);
  return [
    // An endpoint that reaches itself would see its own address as the source, and answer past the node.
    `ct status dnat ${ip} saddr . ${ip} daddr @hairpin masquerade fully-random`,
    // The node itself, calling the DNS address's other ports, has that address as its source.
    ...(vip === undefined
      ? []
      : rangesOf(facts.serviceCIDRs, family).map(
          ({ text }) => `ct status dnat ${ip} saddr ${text} masquerade fully-random`,
        )),
    `meta mark & ${mark} == 0 return`,
    `meta mark set meta mark ^ ${mark}`,
    "masquerade fully-random",
  ];
}

/** Queries and answers of the node's resolver, both ways: conntrack's races cost DNS 5 s (kubernetes#56903). */
function planUntracked(facts: NodeFacts, family: Family): readonly string[] {
  const ip = tableFamilyOf(family);
  const vip = dnsVIPOf(facts, family);
  if (vip === undefined) return [];
  return ["udp", "tcp"].flatMap((protocol) => [
    `${ip} daddr ${vip} ${protocol} dport 53 notrack`,
    `${ip} saddr ${vip} ${protocol} sport 53 notrack`,
  ]);
}

function dnsVIPOf({ dnsVIP }: NodeFacts, family: Family): string | undefined {
  return dnsVIP !== "" && familyOf(dnsVIP) === family ? dnsVIP : undefined;
}

/** Ranges that overlap are left out: nft refuses them in one set. */
function anonymousSet(ranges: readonly Range[]): string {
  const widest = ranges.filter(
    (range, at) =>
      !ranges.some(
        (other, otherAt) =>
          otherAt !== at &&
          other.first <= range.first &&
          other.last >= range.last &&
          (other.text !== range.text || otherAt < at),
      ),
  );
  return `{ ${widest.map(({ text }) => text).join(", ")} }`;
}

function hex(mark: number): string {
  return `0x${mark.toString(16)}`;
}
