/**
 * The fixed part of a policy table. Pure.
 *
 *   forward -10   replies pass; then egress of the pod that calls, then ingress of the pod that is called
 *   input -10     questions to the node's resolver, which are not tracked: egress of the pod that asks
 *                 connections to outside, which Wherry's own network has redirected to the node's agent: egress, by
 *                 where they were meant to go
 *
 * Between a node and its own pods everything else passes, probes among it: nothing of that is forwarded.
 * Before the proxy's chains at 0, after its translation: pods are judged by the addresses that they really have.
 */
import type { NodeFacts } from "../l4/facts.ts";
import { type Family, familyOf } from "../l4/ip.ts";
import type { Skeleton } from "../l4/nft/types.ts";
import { rangesOf, tableFamilyOf } from "../l4/skeleton.ts";

/** A policy table without any policy. */
export function planPolicySkeleton(facts: NodeFacts, family: Family): Skeleton {
  const ip = tableFamilyOf(family);
  const address = ip === "ip" ? "ipv4_addr" : "ipv6_addr";
  const verdicts = `type ${address} : verdict ;`;
  const own = facts.nodeIPs.filter((nodeIP) => familyOf(nodeIP) === family);
  const inside = [...rangesOf(facts.serviceCIDRs, family).map(({ text }) => text), ...own];
  const notInside = inside.length === 0 ? "" : `ct original ${ip} daddr != { ${inside.join(", ")} } `;
  const resolver = facts.resolverIPs.filter((address) => familyOf(address) === family);
  const questions = ["udp", "tcp"].flatMap((protocol) =>
    resolver.length === 0
      ? []
      : [`${ip} daddr { ${resolver.join(", ")} } ${protocol} dport 53 ${ip} saddr vmap @egress`],
  );
  const hook = (name: string): string => `type filter hook ${name} priority -10 ; policy accept ;`;
  return {
    family: ip,
    isBarrier: true,
    bases: [
      {
        name: "forward",
        hook: hook("forward"),
        rules: [
          "ct state established,related accept",
          `${ip} saddr . ${ip} daddr @self accept`,
          `${ip} saddr vmap @egress`,
          `${ip} daddr vmap @ingress`,
        ],
      },
      {
        name: "input",
        hook: hook("input"),
        rules: [
          ...questions,
          "ct state established,related accept",
          `ct status dnat ${notInside}${ip} saddr vmap @egress-outside`,
        ],
      },
    ],
    chains: new Map(),
    collections: [
      { kind: "set", name: "self", type: `type ${address} . ${address} ;` },
      { kind: "map", name: "egress", type: verdicts },
      { kind: "map", name: "egress-outside", type: verdicts },
      { kind: "map", name: "ingress", type: verdicts },
    ],
  };
}
