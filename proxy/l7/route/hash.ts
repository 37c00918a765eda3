/**
 * The hash of a request, by which a consistent-hash balancer picks. Pure.
 *
 *   route's hash policies + head ─▶ hashOf() ─▶ { hash, setCookie } ─▶ Cluster.pick()
 *
 * Hashes of several policies are combined by rotating and xor, as in Envoy, so that both pick the same endpoint of the
 * same ring. Source: Envoy, RouteAction.HashPolicy; the combination is that of HashPolicyImpl::generateHash.
 */
import { joinedHeaderValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { cookieValue, formatCookie } from "./cookie.ts";
import { queryValue } from "./match.ts";
import { applyRegex } from "./rewrite.ts";
import type { HashPolicy } from "./types.ts";
import { xxHash64 } from "./xxhash.ts";

export interface RequestHash {
  /** Undefined: no policy had a value, the balancer picks by chance. */
  readonly hash: bigint | undefined;
  /** A Set-Cookie for the response: the downstream had no cookie to hash. */
  readonly setCookie: string | undefined;
}

const noHash: RequestHash = { hash: undefined, setCookie: undefined };
const mask = (1n << 64n) - 1n;

/** `sourceAddress` gives the downstream's, without its port; `newCookie` makes the value of a cookie that is not there. */
export function hashOf(
  policies: readonly HashPolicy[],
  head: RequestHead,
  { sourceAddress, newCookie }: { readonly sourceAddress: () => string; readonly newCookie: () => string },
): RequestHash {
  if (policies.length === 0) return noHash;
  let hash: bigint | undefined;
  let setCookie: string | undefined;
  for (const policy of policies) {
    let value = valueOf(policy, head, sourceAddress);
    if (value === undefined && policy.kind === "cookie" && policy.cookie.ttlSeconds !== undefined) {
      value = newCookie();
      setCookie = formatCookie({ ...policy.cookie, ttlSeconds: policy.cookie.ttlSeconds }, value);
    }
    if (value === undefined) continue;
    const next = xxHash64(Buffer.from(value, "latin1"));
    hash = hash === undefined ? next : (((hash << 1n) | (hash >> 63n)) & mask) ^ next;
    if (policy.terminal) break;
  }
  return { hash, setCookie };
}

function valueOf(policy: HashPolicy, head: RequestHead, sourceAddress: () => string): string | undefined {
  switch (policy.kind) {
    case "header": {
      const value = joinedHeaderValue(head.headers, policy.key);
      return value === undefined || policy.rewrite === undefined ? value : applyRegex(value, policy.rewrite);
    }
    case "cookie":
      return cookieValue(head, policy.cookie.name);
    case "sourceIP":
      return sourceAddress() || undefined;
    case "query":
      return queryValue(head.query, policy.name);
  }
}
