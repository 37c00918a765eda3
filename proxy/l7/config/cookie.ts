/**
 * The attributes of a cookie that the proxy sets itself, as hash policies and stateful sessions name them. Pure.
 *
 *   Reader of a cookie ─▶ readCookieAttributes() ─▶ route/cookie.ts
 *
 * Invariant: an attribute ends neither the cookie nor its line. Source: envoy.config.route.v3 and envoy.type.http.v3,
 * CookieAttribute; RFC 6265 §4.1.1.
 */
import type { CookieTerms } from "../route/cookie.ts";
import type { Reader } from "./reader.ts";

export function readCookieAttributes(cookie: Reader): CookieTerms["attributes"] {
  return cookie.list("attributes").map((attribute) => {
    const name = attribute.wantText("name");
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw attribute.bad("name", "it is not a token");
    const value = attribute.text("value") ?? "";
    if (!/^[\x20-\x3a\x3c-\x7e]*$/.test(value)) throw attribute.bad("value", "it has a semicolon or a control byte");
    attribute.done();
    return [name, value] as const;
  });
}
