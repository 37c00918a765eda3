/**
 * Which filter chain serves a connection. Pure.
 *
 *   FilterChainMatch ─▶ readChainMatch() ─▶ ChainMatch     connection ─▶ findChain() ─▶ the chain, or undefined
 *
 * Criterion after criterion in Envoy's order; each one keeps the chains that are most specific about it, and what one
 * has dropped no later one brings back. Source: envoy.config.listener.v3.FilterChainMatch.
 */
import { type AddressRange, readRange } from "./cidr.ts";
import type { Reader } from "./reader.ts";

export interface ChainMatch {
  readonly port: number | undefined;
  readonly ranges: readonly AddressRange[];
  /** Lower case; "*.example.org" for all below it. */
  readonly serverNames: readonly string[];
  /** Empty: any. */
  readonly transport: string;
  /** Empty: any. */
  readonly protocols: readonly string[];
  readonly directSourceRanges: readonly AddressRange[];
  readonly sourceType: "ANY" | "SAME_IP_OR_LOOPBACK" | "EXTERNAL";
  readonly sourceRanges: readonly AddressRange[];
  readonly sourcePorts: readonly number[];
}

export const anyConnection: ChainMatch = {
  port: undefined,
  ranges: [],
  serverNames: [],
  transport: "",
  protocols: [],
  directSourceRanges: [],
  sourceType: "ANY",
  sourceRanges: [],
  sourcePorts: [],
};

/** What is known of a connection. */
export interface ChainFacts {
  readonly address: string;
  readonly port: number;
  readonly serverName: string;
  readonly transport: "raw_buffer" | "tls";
  /** ALPN's offers, or what the first bytes look like. */
  readonly protocols: readonly string[];
  readonly sourceAddress: string;
  readonly sourcePort: number;
}

export function readChainMatch(reader: Reader | undefined): ChainMatch {
  if (reader === undefined) return anyConnection;
  const port = reader.integer("destination_port", 0) ?? 0;
  const serverNames = reader.texts("server_names").map((name) => name.toLowerCase());
  for (const name of serverNames)
    if (name === "" || name.lastIndexOf("*") > 0 || (name.startsWith("*") && !name.startsWith("*.")))
      throw reader.bad("server_names", `${JSON.stringify(name)} is neither a name nor "*.name"`);
  for (const name of ["address_suffix", "suffix_len"])
    if (reader.has(name)) throw reader.unsupported(name, "the field is not supported, in Envoy neither");
  const match: ChainMatch = {
    port: port === 0 ? undefined : port,
    ranges: reader.list("prefix_ranges").map(readRange),
    serverNames,
    transport: reader.oneOf("transport_protocol", ["raw_buffer", "tls"]) ?? "",
    protocols: reader.texts("application_protocols"),
    directSourceRanges: reader.list("direct_source_prefix_ranges").map(readRange),
    sourceType: reader.oneOf("source_type", ["ANY", "SAME_IP_OR_LOOPBACK", "EXTERNAL"]) ?? "ANY",
    sourceRanges: reader.list("source_prefix_ranges").map(readRange),
    sourcePorts: reader.integers("source_ports", 1, 65_535),
  };
  reader.done();
  return match;
}

/** How well a chain fits one criterion: undefined is not at all, 0 that it does not ask, more is more specific. */
type Score = (match: ChainMatch, facts: ChainFacts) => number | undefined;

/** In Envoy's order. */
const criteria: readonly Score[] = [
  ({ port }, facts) => (port === undefined ? 0 : port === facts.port ? 1 : undefined),
  ({ ranges }, facts) => longest(ranges, facts.address),
  ({ serverNames }, facts) => nameScore(serverNames, facts.serverName),
  ({ transport }, facts) => (transport === "" ? 0 : transport === facts.transport ? 1 : undefined),
  ({ protocols }, facts) =>
    protocols.length === 0 ? 0 : protocols.some((one) => facts.protocols.includes(one)) ? 1 : undefined,
  ({ directSourceRanges }, facts) => longest(directSourceRanges, facts.sourceAddress),
  ({ sourceType }, facts) => sourceScore(sourceType, facts),
  ({ sourceRanges }, facts) => longest(sourceRanges, facts.sourceAddress),
  ({ sourcePorts }, facts) => (sourcePorts.length === 0 ? 0 : sourcePorts.includes(facts.sourcePort) ? 1 : undefined),
];

/** The chain of `chains` for a connection, or undefined: the default chain's turn. */
export function findChain<Chain extends { readonly match: ChainMatch }>(
  chains: readonly Chain[],
  facts: ChainFacts,
): Chain | undefined {
  let left = chains;
  for (const score of criteria) {
    if (left.length === 0) return undefined;
    let best = -1;
    let kept: Chain[] = [];
    for (const chain of left) {
      const fit = score(chain.match, facts);
      if (fit === undefined || fit < best) continue;
      if (fit > best) kept = [];
      best = fit;
      kept.push(chain);
    }
    left = kept;
  }
  return left[0];
}

function longest(ranges: readonly AddressRange[], address: string): number | undefined {
  if (ranges.length === 0) return 0;
  const fitting = ranges.filter((range) => range.has(address));
  return fitting.length === 0 ? undefined : 1 + Math.max(...fitting.map(({ bits }) => bits));
}

/** An exact name fits best, then the longest wildcard. */
function nameScore(names: readonly string[], serverName: string): number | undefined {
  if (names.length === 0) return 0;
  if (serverName === "") return undefined;
  if (names.includes(serverName)) return 1000;
  const fitting = names.filter((name) => name.startsWith("*.") && serverName.endsWith(name.slice(1)));
  return fitting.length === 0 ? undefined : Math.max(...fitting.map(({ length }) => length));
}

function sourceScore(type: ChainMatch["sourceType"], facts: ChainFacts): number | undefined {
  if (type === "ANY") return 0;
  const isLocal = facts.sourceAddress === facts.address || /^(127\.|::1$)/.test(facts.sourceAddress);
  return isLocal === (type === "SAME_IP_OR_LOOPBACK") ? 1 : undefined;
}
