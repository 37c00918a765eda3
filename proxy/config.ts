/**
 * Configuration of the node proxy inside the agent: the node's facts, checked once.
 *
 *   agent ─▶ parseFacts ─▶ NodeFacts (frozen) ─▶ l4/plan.ts
 */
import { ProxyError } from "./errors.ts";
import { isCIDR, isInCIDR, isIPv4 } from "./l4/ipv4.ts";
import type { NodeFacts } from "./l4/plan.ts";

/** Wherry's own network plan. */
export const defaultFacts: NodeFacts = { serviceCIDR: "10.96.0.0/16", dnsVIP: "10.96.0.10" };

/** The facts with defaults filled in. Throws InvalidConfig naming every problem. */
export function parseFacts(given: Partial<NodeFacts>): NodeFacts {
  const facts = { ...defaultFacts, ...given };
  const problems: string[] = [];
  if (!isCIDR(facts.serviceCIDR)) {
    problems.push(`serviceCIDR: observed ${JSON.stringify(facts.serviceCIDR)}, wanted a range like 10.96.0.0/16`);
  } else if (facts.dnsVIP !== "" && !(isIPv4(facts.dnsVIP) && isInCIDR(facts.dnsVIP, facts.serviceCIDR))) {
    problems.push(`dnsVIP: observed ${JSON.stringify(facts.dnsVIP)}, wanted an address in ${facts.serviceCIDR} or ""`);
  }
  if (problems.length > 0) throw new ProxyError("InvalidConfig", `Cannot use proxy facts: ${problems.join("; ")}`);
  return Object.freeze(facts);
}
