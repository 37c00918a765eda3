/**
 * Cookies as a proxy reads and writes them. Pure. Source: RFC 6265, in the forms that Envoy has.
 */
import { joinedHeaderValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

/** What is said of a cookie beside its value. */
export interface CookieTerms {
  readonly name: string;
  /** In s; 0 is a session cookie. */
  readonly ttlSeconds: number;
  /** Empty: none. */
  readonly path: string;
  readonly attributes: readonly (readonly [name: string, value: string])[];
}

/** The value of a cookie, or undefined. */
export function cookieValue(head: RequestHead, name: string): string | undefined {
  const cookies = joinedHeaderValue(head.headers, "cookie");
  if (cookies === undefined) return undefined;
  for (const part of cookies.split(/[;,]/)) {
    const equals = part.indexOf("=");
    if (equals >= 0 && part.slice(0, equals).trim() === name) {
      const value = part.slice(equals + 1).trim();
      return value.startsWith('"') && value.endsWith('"') && value.length > 1 ? value.slice(1, -1) : value;
    }
  }
  return undefined;
}

/** The value of a Set-Cookie header. */
export function formatCookie({ name, ttlSeconds, path, attributes }: CookieTerms, value: string): string {
  const parts = [`${name}="${value}"`];
  if (ttlSeconds > 0) parts.push(`Max-Age=${ttlSeconds}`);
  if (path !== "") parts.push(`Path=${path}`);
  for (const [attribute, text] of attributes) parts.push(text === "" ? attribute : `${attribute}=${text}`);
  parts.push("HttpOnly");
  return parts.join("; ");
}
