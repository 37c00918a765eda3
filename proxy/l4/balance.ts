/**
 * Rules that balance, and the chains of them that Services share. Pure.
 *
 *   cluster-ips ─▶ plain-N ─┬▶ random/N           a rule a transport ─▶ slots-tcp, slots-udp, slots-sctp
 *   services ───────────────┘
 *   nodeports ───────────────▶ nodeport-random/N  ─▶ nodeport-slots-tcp, …
 *
 * A plain Service has nothing of its own: its clusterIP leads to the chain of its number of endpoints, and so does that
 * of all others with as many. Which number it has is said by the set that it is in, for an element of a verdict map is
 * dear: whenever one is added, the kernel walks all of them, for each base chain that looks the map up.
 */
import type { Collection, TableFamily } from "./nft/types.ts";

export type Transport = "tcp" | "udp" | "sctp";
export const transports: readonly Transport[] = ["tcp", "udp", "sctp"];

/**
 * Most endpoints of a plain Service, and the number of sets: a connection's first packet asks them one after the other.
 * Services with more are few, and elements of the verdict map.
 */
export const plainMax = 15;

/** Where slots are looked up: by address and port, or by the node port alone. */
export interface Space {
  /** Of the chains' names. */
  readonly prefix: "" | "nodeport-";
  /** Of a rule, what comes before the slot number. */
  readonly rule: string;
  /** Of what shared chains look up; that of a Service's own chains is `own-…`. */
  readonly map: string;
}

export function spaceOf(ip: TableFamily, transport: Transport, prefix: Space["prefix"]): Space {
  const key = prefix === "" ? `${ip} daddr . ${transport} dport` : `${transport} dport`;
  const rule = `meta l4proto ${transport} dnat ${ip} to ${key}`;
  return { prefix, rule, map: `${prefix}slots-${transport}` };
}

/** One rule for any number of endpoints: what differs is in the map. */
export function balance({ rule }: Space, map: string, slot: string): string {
  return `${rule} . ${slot} map @${map}`;
}

/** The chain that balances by chance over so many endpoints, of whatever Service. */
export function sharedChain(prefix: Space["prefix"], count: number): string {
  return `${prefix}random/${count}`;
}

/** The rules of a shared chain. */
export function sharedRules(ip: TableFamily, prefix: Space["prefix"], count: number): readonly string[] {
  return transports.map((transport) => {
    const space = spaceOf(ip, transport, prefix);
    return balance(space, space.map, `numgen random mod ${count}`);
  });
}

/** What an address leads to that goes to `chain` alone: a value of the map `services`. */
export function leadingTo(chain: string): string {
  return plainValues.get(chain) ?? `goto ${chain}`;
}

const plainCounts: readonly number[] = Array.from({ length: plainMax }, (_, at) => at + 1);
/** There are many plain Services, so each value is there once. */
const plainValues: ReadonlyMap<string, string> = new Map(
  plainCounts.map((count) => [sharedChain("", count), `@plain-${count}`]),
);

/** The sets of plain Services, which are asked from the least number of endpoints on. */
export function planPlainSets(ip: TableFamily): readonly Collection[] {
  const type = `type ${ip === "ip" ? "ipv4_addr" : "ipv6_addr"} . inet_proto . inet_service ;`;
  return plainCounts.map((count) => ({ kind: "set", name: `plain-${count}`, type, map: "services" }));
}

/** The chains that lead from a clusterIP to its Service, for packets that have asked `services`. */
export function planPlainChains(ip: TableFamily): ReadonlyMap<string, readonly string[]> {
  const key = `${ip} daddr . meta l4proto . th dport`;
  return new Map([
    ...plainCounts.map((count) => [sharedChain("", count), sharedRules(ip, "", count)] as const),
    ["plain", plainCounts.map((count) => `${key} @plain-${count} goto ${sharedChain("", count)}`)],
    // Twice: each set is read at the moment of its lookup, so what a change moves from a set that is still to be asked
    // to one that was is missed the first time, and would be rejected. Two changes are hardly so close. The map is not
    // asked again, for the kernel would walk it once more; what moves there is in both meanwhile (nft/transactions.ts).
    ["cluster-ip", ["jump plain", "goto plain"]],
  ]);
}
