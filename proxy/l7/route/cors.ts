/**
 * Cross-origin requests: the answer to a preflight, and the headers of other responses. Pure.
 *
 *   CorsPolicy + head ─▶ decideCors() ─▶ plan.ts answers the preflight, or adds the headers to the response
 *
 * Source: Envoy's CORS filter; Fetch standard, "CORS protocol".
 */
import { headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { isHit } from "./match.ts";
import type { CorsPolicy } from "./types.ts";

export type HeaderPairs = readonly (readonly [name: string, value: string])[];

export type CorsDecision =
  | { readonly kind: "none" }
  /** Answer 200 with these headers. */
  | { readonly kind: "preflight"; readonly headers: HeaderPairs }
  /** Set these on the response. */
  | { readonly kind: "actual"; readonly headers: HeaderPairs };

const none: CorsDecision = { kind: "none" };

/** What the filter does with a request; `random` is in [0, 1). */
export function decideCors(policy: CorsPolicy, head: RequestHead, random: number): CorsDecision {
  const origin = headerValue(head.headers, "origin");
  if (origin === undefined || origin === "") return none;
  if (policy.fraction !== undefined && !isHit(policy.fraction, random)) return none;
  const isAllowed = policy.origins.some((matches) => matches(origin));
  const isPreflight =
    head.method === "OPTIONS" && (headerValue(head.headers, "access-control-request-method") ?? "") !== "";
  if (isPreflight) {
    if (!isAllowed && policy.forwardsOthers) return none;
    return { kind: "preflight", headers: preflightHeaders(policy, isAllowed ? origin : undefined, head) };
  }
  return isAllowed ? { kind: "actual", headers: actualHeaders(policy, origin) } : none;
}

/** `origin`: undefined when it is not an allowed one, which the browser then reads out of what is missing. */
function preflightHeaders(policy: CorsPolicy, origin: string | undefined, head: RequestHead): HeaderPairs {
  const headers: (readonly [string, string])[] = [];
  if (origin !== undefined) headers.push(["access-control-allow-origin", origin]);
  if (policy.allowCredentials) headers.push(["access-control-allow-credentials", "true"]);
  if (policy.allowMethods !== "") headers.push(["access-control-allow-methods", policy.allowMethods]);
  if (policy.allowHeaders !== "") headers.push(["access-control-allow-headers", policy.allowHeaders]);
  if (origin !== undefined && policy.exposeHeaders !== "")
    headers.push(["access-control-expose-headers", policy.exposeHeaders]);
  if (policy.maxAge !== "") headers.push(["access-control-max-age", policy.maxAge]);
  if (policy.allowPrivateNetwork && headerValue(head.headers, "access-control-request-private-network") === "true")
    headers.push(["access-control-allow-private-network", "true"]);
  return headers;
}

function actualHeaders(policy: CorsPolicy, origin: string): HeaderPairs {
  const headers: (readonly [string, string])[] = [["access-control-allow-origin", origin]];
  if (policy.allowCredentials) headers.push(["access-control-allow-credentials", "true"]);
  if (policy.exposeHeaders !== "") headers.push(["access-control-expose-headers", policy.exposeHeaders]);
  return headers;
}
