/**
 * Who the downstream is, as far as the proxies in front of this one are believed. Pure.
 *
 *   head as it was received + ClientTrust ─▶ clientAddress() ─▶ access logs, header values, hashes, rate limits
 *
 * Looked at when somebody asks, and not before: most requests are asked by nobody.
 * Source: Envoy, "x-forwarded-for"; ConnectionManagerUtility::mutateRequestHeaders.
 */
import { SocketAddress, isIP } from "node:net";
import { type Headers, joinedHeaderValue } from "../http1/headers.ts";

/** What of a listener's settings says whom it believes. */
export interface ClientTrust {
  /** The downstream's address counts, and is appended to x-forwarded-for. */
  readonly usesRemoteAddress: boolean;
  /** Proxies in front of this one whose x-forwarded-for is believed. */
  readonly trustedHops: number;
}

/** The downstream's address: out of x-forwarded-for where that is believed and has one, else the connection's own. */
export function clientAddress(received: Headers, trust: ClientTrust, remoteAddress: string): string {
  return forwardedAddress(received, trust) ?? remoteAddress;
}

/** Undefined: the connection's own address is the downstream's. */
export function forwardedAddress(received: Headers, trust: ClientTrust): string | undefined {
  if (trust.usesRemoteAddress && trust.trustedHops === 0) return undefined;
  return believedEntry(joinedHeaderValue(received, "x-forwarded-for"), trust);
}

/** The same, of the list that x-forwarded-for was. */
export function believedEntry(list: string | undefined, trust: ClientTrust): string | undefined {
  // The connection itself is the last hop where its address counts.
  const fromEnd = trust.usesRemoteAddress ? trust.trustedHops : trust.trustedHops + 1;
  if (list === undefined || fromEnd === 0) return undefined;
  return toAddress(list.split(",").at(-fromEnd)?.trim() ?? "");
}

/** IPv6 in its one short form, so that it is told, hashed and counted as one. */
function toAddress(text: string): string | undefined {
  const version = isIP(text);
  if (version === 0) return undefined;
  return version === 4 ? text : new SocketAddress({ address: text, family: "ipv6" }).address;
}
