/**
 * Which global rate limits a request falls under: the rules of its route → descriptors. Pure.
 *
 *   config/rate-limits.ts (compiled rules) ─▶ descriptorsOf() ─▶ filters/rate-limit.ts (asks about them)
 *
 * Invariant: a rule gives one descriptor or none; none when one of its actions has nothing to say, as in Envoy.
 * Source: envoy.config.route.v3.RateLimit.
 */
import type { RequestHead } from "../http1/request.ts";

export interface DescriptorEntry {
  readonly key: string;
  readonly value: string;
}

/** What is counted together. */
export type Descriptor = readonly DescriptorEntry[];

/** What actions may look at. */
export interface LimitedRequest {
  readonly head: RequestHead;
  /** The downstream as far as its proxies are trusted; empty: not known. */
  readonly clientAddress: string;
  /** Where the route sends it; empty: not known before it is sent. */
  readonly destinationCluster: string;
  /** What this proxy itself belongs to (--service-cluster); empty: not said. */
  readonly sourceCluster: string;
}

/** "skip": the entry is left out; "abandon": the whole descriptor is. */
export type RateLimitAction = (request: LimitedRequest) => DescriptorEntry | "skip" | "abandon";

export interface RateLimitRule {
  /** Filters look at the rules of their own stage. 0 to 10. */
  readonly stage: number;
  /** The destination is among the entries, so that it must be known. */
  readonly needsDestination: boolean;
  readonly actions: readonly RateLimitAction[];
}

export function descriptorsOf(
  rules: readonly RateLimitRule[],
  stage: number,
  request: LimitedRequest,
): readonly Descriptor[] {
  return rules.flatMap((rule) => (rule.stage === stage ? descriptorOf(rule, request) : []));
}

function descriptorOf({ actions }: RateLimitRule, request: LimitedRequest): readonly Descriptor[] {
  const entries: DescriptorEntry[] = [];
  for (const action of actions) {
    const entry = action(request);
    if (entry === "abandon") return [];
    if (entry !== "skip") entries.push(entry);
  }
  return entries.length === 0 ? [] : [entries];
}
