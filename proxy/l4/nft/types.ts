/**
 * What one nftables table of ours holds, as values.
 *
 *   skeleton.ts ─▶ Skeleton (fixed by the node's facts) ─┐
 *   service-plan.ts ─▶ Fragment (of one Service) ─▶ claims.ts ─▶ Change ─▶ table.ts ─▶ transactions.ts
 *
 * Rules and elements are kept in nft's own words, so that a reader can compare them with `nft list`. Every string here
 * was built from checked addresses, numbers and names: nothing of a user's text reaches nft unread.
 */

/** nft's name of a family. */
export type TableFamily = "ip" | "ip6";

/** A chain that the kernel enters by itself. */
export interface BaseChain {
  readonly name: string;
  /** Between the braces: `type nat hook prerouting priority -100 ; policy accept ;`. */
  readonly hook: string;
  readonly rules: readonly string[];
}

/** A map or a set that every table has. */
export interface Collection {
  readonly kind: "map" | "set";
  readonly name: string;
  /** Between the braces: `type ipv4_addr . inet_proto . inet_service : verdict ;`. */
  readonly type: string;
  /**
   * What a rule has chosen before it looks here. Then what goes is deleted a little later: a packet that came by the
   * rule before may look for it after the change.
   */
  readonly isChosen?: boolean;
  /**
   * Of a set: the map whose elements of value `@NAME` are elements of this set instead. So of a key that the map and
   * several sets could have, one has it, and what claims it claims it in one place. Packets ask the map first, once.
   */
  readonly map?: string;
}

/** The part of a table that no change of Services changes. */
export interface Skeleton {
  readonly family: TableFamily;
  readonly bases: readonly BaseChain[];
  /** Chains that others go to. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Without it packets pass that must not: at no moment may there be none. Default: false. */
  readonly isBarrier?: boolean;
  /** What is looked up last comes first: elements are added in this order and deleted in the opposite one. */
  readonly collections: readonly Collection[];
}

/** What one Service wants in a table. */
export interface Fragment {
  /** Chain → its rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Sets that rules of its chains learn addresses in: name → what is between the braces. */
  readonly sets: ReadonlyMap<string, string>;
  /** Collection → key → value; "" in a set, and `@NAME` as with `Collection.map`. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** What is to be different; undefined is to be gone. */
export interface Change {
  readonly chains: ReadonlyMap<string, readonly string[] | undefined>;
  readonly sets: ReadonlyMap<string, string | undefined>;
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string | undefined>>;
}
