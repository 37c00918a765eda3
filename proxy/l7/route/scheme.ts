/**
 * The scheme of a request: how it came, or as a proxy in front says that it came. Pure.
 *
 *   head + the connection ─▶ schemeOf(), receivedScheme() ─▶ redirects, matchers, %REQ(:SCHEME)%
 *
 * It is http or https and nothing else, whatever was sent. Source: Envoy, ":scheme".
 */
import { type Headers, joinedHeaderValue } from "../http1/headers.ts";
import type { ClientTrust } from "./client-address.ts";

export type Scheme = "http" | "https";

/** What of a listener's settings decides about it. */
export interface SchemeRule extends ClientTrust {
  /** Overrides x-forwarded-proto for routing and redirects. */
  readonly scheme: Scheme | undefined;
}

/** Of a head that prepareHead() (policy.ts) gave: its x-forwarded-proto is believed. */
export function schemeOf(headers: Headers, isTLS: boolean): Scheme {
  const forwarded = joinedHeaderValue(headers, "x-forwarded-proto")?.toLowerCase();
  if (forwarded === "http" || forwarded === "https") return forwarded;
  return isTLS ? "https" : "http";
}

/** Of a head as it was received. */
export function receivedScheme(headers: Headers, rule: SchemeRule, isTLS: boolean): Scheme {
  if (rule.scheme !== undefined) return rule.scheme;
  if (rule.usesRemoteAddress && rule.trustedHops === 0) return isTLS ? "https" : "http";
  return schemeOf(headers, isTLS);
}
