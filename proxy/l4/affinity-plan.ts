/**
 * Session affinity: a client's address keeps its endpoint for a time that each new connection begins anew. Pure.
 *
 *   service/…  : is the source in an endpoint's set? to that endpoint : to the next
 *   endpoint/… : put the source into the endpoint's set, translate
 *
 * As kube-proxy has it: a set and a chain an endpoint. When an endpoint goes, its set goes with it, and its clients
 * move to others (kubernetes#106030). All addresses of a Service port share the sets.
 */
import type { Transport } from "./balance.ts";
import type { Target } from "./categories.ts";
import type { Draft } from "./draft.ts";

export interface AffinityOptions {
  /** `namespace/name/protocol/port`. */
  readonly id: string;
  readonly kind: "service" | "local";
  readonly transport: Transport;
  readonly seconds: number;
  readonly targets: readonly Target[];
}

/** Adds the chains and sets; returns the chain that balances. */
export function planAffinity(draft: Draft, { id, kind, transport, seconds, targets }: AffinityOptions): string {
  const ip = draft.family;
  const address = ip === "ip" ? "ipv4_addr" : "ipv6_addr";
  const sticky: string[] = [];
  const slots: string[] = [];
  for (const [index, target] of targets.entries()) {
    // nft's names have no colons.
    const suffix = `${id}/${target.address.replaceAll(":", ".")}/${target.port}`;
    // A set cannot change its timeout: another time is another set.
    const name = `affinity/${suffix}/${seconds}`;
    const set = draft.set(name, `type ${address} ; flags dynamic, timeout ; timeout ${seconds}s ;`);
    const to = ip === "ip" ? `${target.address}:${target.port}` : `[${target.address}]:${target.port}`;
    const learn = `update @${set} { ${ip} saddr }`;
    const chain = draft.chain(`endpoint/${suffix}`, [learn, `meta l4proto ${transport} dnat to ${to}`]);
    sticky.push(`${ip} saddr @${set} goto ${chain}`);
    slots.push(`${index} : goto ${chain}`);
  }
  const rotation = `numgen inc mod ${targets.length} vmap { ${slots.join(", ")} }`;
  return draft.chain(`${kind}/${id}`, [...sticky, rotation]);
}
