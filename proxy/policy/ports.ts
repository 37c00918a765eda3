/** The numeric ports of a policy's rule as matches of nft. Pure. */
import type { NetworkPolicyPort } from "#api/networking/network-policy.ts";

type Interval = readonly [first: number, last: number];

/**
 * One match a protocol, each with a space at its end; `[""]` where every port is meant. Names are left out.
 * `isOriginal`: by the port that a connection was meant for, before it was redirected.
 */
export function portMatches(ports: readonly NetworkPolicyPort[], isOriginal: boolean): readonly string[] {
  if (ports.length === 0) return [""];
  const byProtocol = new Map<string, Interval[]>();
  for (const { protocol = "TCP", port, endPort } of ports) {
    if (typeof port === "string") continue;
    const interval: Interval = port === undefined ? [0, 65_535] : [port, endPort ?? port];
    byProtocol.set(protocol, [...(byProtocol.get(protocol) ?? []), interval]);
  }
  return [...byProtocol].map(([protocol, intervals]) => {
    const name = protocol.toLowerCase();
    const merged = merge(intervals);
    if (merged.some(([first, last]) => first === 0 && last === 65_535)) return `meta l4proto ${name} `;
    const set = merged.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(", ");
    return isOriginal ? `meta l4proto ${name} ct original proto-dst { ${set} } ` : `${name} dport { ${set} } `;
  });
}

/** Intervals that touch become one: nft refuses those that overlap. */
function merge(intervals: readonly Interval[]): readonly Interval[] {
  const merged: [number, number][] = [];
  for (const [first, last] of intervals.toSorted(([a], [b]) => a - b)) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else merged.push([first, last]);
  }
  return merged;
}
