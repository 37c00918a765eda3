/**
 * Matchers of a route as predicates on a request head. Pure.
 *
 *   config/match.ts (Envoy's RouteMatch) ─▶ these ─▶ (head, info) => boolean ─▶ table.ts
 *
 * Source: envoy.config.route.v3.RouteMatch, HeaderMatcher, QueryParameterMatcher; envoy.type.matcher.v3.StringMatcher.
 */
import { type Headers, joinedHeaderValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { schemeOf } from "./scheme.ts";
import type { Fraction, PathKey, Predicate, RouteInfo, TextPredicate } from "./types.ts";

/** What is known of a connection that is plain text and of which nothing was asked. */
export const plainInfo: RouteInfo = { isTLS: false, peerCertificate: "none", random: () => 0 };

/** All of them; undefined ones take everything. */
export function allOf(predicates: readonly (Predicate | undefined)[]): Predicate {
  const some = predicates.filter((predicate) => predicate !== undefined);
  const [first, second] = some;
  if (first === undefined) return () => true;
  return second === undefined ? first : (head, info) => some.every((predicate) => predicate(head, info));
}

/** Undefined when the key takes every path, or says nothing of it. */
export function pathPredicate(key: PathKey): Predicate | undefined {
  switch (key.kind) {
    case "exact": {
      const { path } = key;
      return (head) => head.path === path;
    }
    case "prefix": {
      const { prefix } = key;
      if (prefix === "" || prefix === "/") return undefined;
      if (!key.isSeparated) return (head) => head.path.startsWith(prefix);
      return (head) =>
        head.path.startsWith(prefix) &&
        (head.path.length === prefix.length || head.path.charCodeAt(prefix.length) === 47);
    }
    case "connect":
    case "other":
      return undefined;
  }
}

/** What is asked of one value: undefined is absent. */
export type ValuePredicate = (value: string | undefined) => boolean;

/** What a header matcher asks of a name's values. */
export interface HeaderTest {
  /** Of one value that is there. */
  readonly matches: TextPredicate;
  /** The answer when a value matches; the opposite when none does. */
  readonly wanted: boolean;
  /** The answer when there is no value. */
  readonly whenMissing: boolean;
}

/** A matcher on a request's header; undefined for a pseudo header that is not known. */
export function headerPredicate(key: string, { matches, wanted, whenMissing }: HeaderTest): Predicate | undefined {
  const read = pseudoReader(key);
  if (read !== undefined) return (head, info) => matches(read(head, info)) === wanted;
  if (key.startsWith(":")) return undefined;
  const test = headersPredicate(key, { matches, wanted, whenMissing });
  return (head) => test(head.headers);
}

/** The value of a pseudo header; undefined for other names. */
function pseudoReader(key: string): ((head: RequestHead, info: RouteInfo) => string) | undefined {
  switch (key) {
    case ":method":
      return (head) => head.method;
    case ":path":
      return (head) => head.target;
    case ":authority":
    case "host":
      return (head) => head.host;
    case ":scheme":
      return (head, { isTLS }) => schemeOf(head.headers, isTLS);
    default:
      return undefined;
  }
}

/** A matcher on headers alone, without pseudo headers. Values are looked at one by one, as Envoy does. */
export function headersPredicate(key: string, test: HeaderTest): (headers: Headers) => boolean {
  const { matches, wanted, whenMissing } = test;
  return ({ keys, values }) => {
    let at = keys.indexOf(key);
    if (at < 0) return whenMissing;
    for (; at >= 0; at = keys.indexOf(key, at + 1)) if (matches(values[at]!)) return wanted;
    return !wanted;
  };
}

/** An integer in [start, end). */
export function rangePredicate(start: number, end: number): TextPredicate {
  return (text) => {
    if (!/^-?[0-9]{1,15}$/.test(text)) return false;
    const number = Number(text);
    return number >= start && number < end;
  };
}

/** A query parameter: present (or absent), or its value as a text. */
export function queryPredicate(name: string, test: ValuePredicate): Predicate {
  return (head) => test(queryValue(head.query, name));
}

/** gRPC by its content type. */
export function isGRPC(head: RequestHead): boolean {
  const type = joinedHeaderValue(head.headers, "content-type");
  if (type === undefined || !type.startsWith("application/grpc")) return false;
  const next = type[16];
  return next === undefined || next === "+" || next === ";";
}

/** Whether something applies to this request, by chance. */
export function isHit({ numerator, denominator }: Fraction, random: number): boolean {
  return random * denominator < numerator;
}

/** The first value of query parameter `name`, not decoded, as in Envoy; "" when it has none. */
export function queryValue(query: string, name: string): string | undefined {
  if (query === "") return undefined;
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    if ((equals < 0 ? part : part.slice(0, equals)) === name) return equals < 0 ? "" : part.slice(equals + 1);
  }
  return undefined;
}
