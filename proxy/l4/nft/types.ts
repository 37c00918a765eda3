/**
 * A ruleset as a value: everything that one nftables table of ours holds.
 *
 *   plan.ts ─▶ Ruleset ─▶ render.ts (whole), diff.ts (change) ─▶ nft text ─▶ apply.ts
 *
 * Rules and elements are kept in nft's own words, so that a reader can compare them with `nft list`. Every string here
 * was built from checked addresses, numbers and names: nothing of a user's text reaches nft unread.
 */

/** A chain that the kernel enters by itself. */
export interface BaseChain {
  readonly name: string;
  /** Between the braces: `type nat hook prerouting priority -100 ; policy accept ;`. */
  readonly hook: string;
  readonly rules: readonly string[];
}

/** A map or a set. */
export interface Collection {
  readonly kind: "map" | "set";
  readonly name: string;
  /** Between the braces: `type ipv4_addr . inet_proto . inet_service : verdict ;`. */
  readonly type: string;
  /** Key → value in a map; key → "" in a set. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface Ruleset {
  /** Family and name: `ip wherry-proxy`. */
  readonly table: string;
  /** Fixed by the node's facts; when they differ, the table is replaced as a whole. */
  readonly bases: readonly BaseChain[];
  /** Chain → its rules. A chain is rewritten only when its own rules change, so that a rotation goes on undisturbed. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** In the order of their names; equal names and types in every ruleset of the same facts. */
  readonly collections: readonly Collection[];
}
