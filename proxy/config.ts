/**
 * Configuration of the node proxy: the node's facts, checked once.
 *
 *   agent, main.ts ─▶ parseFacts ─▶ NodeFacts (frozen) ─▶ l4/planner.ts
 */
import { ProxyError } from "./errors.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { contains, normalizeAddress, parseRange } from "./l4/ip.ts";

/** Wherry's own network plan, on a node of no name and no address. */
export const defaultFacts: NodeFacts = {
  nodeName: "",
  zone: "",
  nodeIPs: [],
  nodePortAddresses: ["primary"],
  serviceCIDRs: ["10.96.0.0/16"],
  unallocated: "reject",
  clusterCIDRs: ["10.244.0.0/16"],
  // Nodes route to every pod, and back: their own address stays the source.
  unmasqueradedCIDRs: ["100.64.0.0/16"],
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  dnsVIP: "10.96.0.10",
  resolverIPs: ["10.96.0.10", "169.254.20.10"],
  requestPort: 0,
  exactMax: 1000,
};

/** The facts with defaults filled in. Throws InvalidConfig naming every problem. */
export function parseFacts(given: Partial<NodeFacts>): NodeFacts {
  const merged = { ...defaultFacts, ...given };
  const facts = { ...merged, nodePortAddresses: merged.nodePortAddresses.flatMap(expand) };
  const problems = [
    ...badRanges("serviceCIDRs", facts.serviceCIDRs),
    ...badRanges("clusterCIDRs", facts.clusterCIDRs),
    ...badRanges("unmasqueradedCIDRs", facts.unmasqueradedCIDRs),
    ...badRanges(
      "nodePortAddresses",
      facts.nodePortAddresses.filter((text) => text !== "primary" && text !== "localhost"),
    ),
    ...facts.nodeIPs.flatMap((text) =>
      normalizeAddress(text) === text ? [] : [`nodeIPs: observed ${JSON.stringify(text)}, wanted an IP address`],
    ),
  ];
  const { dnsVIP, masqueradeMark, serviceCIDRs } = facts;
  const isInRange = serviceCIDRs.some((text) => {
    const range = parseRange(text);
    return range !== undefined && normalizeAddress(dnsVIP) === dnsVIP && contains(range, dnsVIP);
  });
  if (dnsVIP !== "" && !isInRange)
    problems.push(`dnsVIP: observed ${JSON.stringify(dnsVIP)}, wanted an address in ${serviceCIDRs.join(", ")} or ""`);
  if (masqueradeMark < 1 || masqueradeMark > 2 ** 31 || !Number.isInteger(Math.log2(masqueradeMark)))
    problems.push(`masqueradeMark: observed ${masqueradeMark}, wanted one bit of 32`);
  if (problems.length > 0) throw new ProxyError("InvalidConfig", `Cannot use proxy facts: ${problems.join("; ")}`);
  return Object.freeze(facts);
}

/** KEP-6032's word for every address that the node has. */
function expand(text: string): readonly string[] {
  return text === "all" ? ["0.0.0.0/0", "::/0", "localhost"] : [text];
}

function badRanges(name: string, texts: readonly string[]): string[] {
  return texts.flatMap((text) =>
    parseRange(text) === undefined
      ? [`${name}: observed ${JSON.stringify(text)}, wanted a range like 10.96.0.0/16`]
      : [],
  );
}
