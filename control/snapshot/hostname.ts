/**
 * Host names of listeners and routes: exact, "*.suffix", or "*" for any. Pure.
 * Source: Gateway API v1, Hostname and HTTPRouteSpec.hostnames. "*.example.com" covers a.b.example.com, not example.com.
 */

/** Whether every host that `narrow` stands for is one of `wide`'s. */
export function covers(wide: string, narrow: string): boolean {
  if (wide === "*" || wide === narrow) return true;
  if (!wide.startsWith("*.")) return false;
  // "*.b.com" is covered by "*.com": its own suffix counts, with the star standing for at least one label.
  const suffix = wide.slice(1);
  return narrow.endsWith(suffix) && narrow !== suffix.slice(1);
}

/** The host names under which a route is reached through a listener. None: they have nothing in common. */
export function intersect(listener: string | undefined, route: readonly string[] | undefined): readonly string[] {
  const ours = listener ?? "*";
  if (route === undefined || route.length === 0) return [ours];
  const common = route.flatMap((theirs) => (covers(ours, theirs) ? [theirs] : covers(theirs, ours) ? [ours] : []));
  return [...new Set(common)];
}

/** How specific: exact names before wildcards, longer before shorter, "*" last. Not negative. */
export function hostRank(host: string): number {
  if (host === "*") return 0;
  return host.startsWith("*.") ? host.length : 1000 + host.length;
}
