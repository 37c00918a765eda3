/**
 * Matchers of a route: Envoy's RouteMatch, compiled once → predicates on a request head. Pure.
 *
 *   config/route.ts ─▶ compileMatch() ─▶ (RequestHead) => boolean ─▶ route/table.ts
 *
 * Regular expressions are those of RE2 (no back-references, no look-around), so that V8's linear-time engine can take
 * over when back-tracking runs away: a path from outside must not hang the process. Source:
 * envoy.config.route.v3.RouteMatch, envoy.type.matcher.v3.StringMatcher.
 */
import { setFlagsFromString } from "node:v8";
import type { HeaderMatcher, RouteMatch, StringMatch } from "#api/xds/envoy.ts";
import { messageOf } from "#lib/errors.ts";
import { joinedHeaderValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

export type Predicate = (head: RequestHead) => boolean;
type TextPredicate = (text: string) => boolean;

setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");

/** The predicate of a whole route match. `fail` makes the error for a part that does not compile. */
export function compileMatch(match: RouteMatch, fail: (path: string, why: string) => Error): Predicate {
  const predicates: Predicate[] = [];
  const path = compilePath(match, fail);
  if (path !== undefined) predicates.push(path);
  for (const [at, matcher] of (match.headers ?? []).entries())
    predicates.push(compileHeader(matcher, (why) => fail(`headers[${at}]`, why)));
  for (const [at, matcher] of (match.query_parameters ?? []).entries()) {
    const test =
      matcher.string_match && compileText(matcher.string_match, (why) => fail(`query_parameters[${at}]`, why));
    const isPresentWanted = matcher.present_match ?? true;
    predicates.push((head) => {
      const value = queryValue(head.query, matcher.name);
      if (test !== undefined) return value !== undefined && test(value);
      return (value !== undefined) === isPresentWanted;
    });
  }
  const [first, second] = predicates;
  if (first === undefined) return () => true;
  return second === undefined ? first : (head) => predicates.every((predicate) => predicate(head));
}

/** Undefined when the match takes every path. */
function compilePath(match: RouteMatch, fail: (path: string, why: string) => Error): Predicate | undefined {
  const { prefix, path, path_separated_prefix: separated, safe_regex: safeRegex } = match;
  if (prefix !== undefined) return prefix === "/" ? undefined : (head) => head.path.startsWith(prefix);
  if (path !== undefined) return (head) => head.path === path;
  if (separated !== undefined) {
    const below = `${separated}/`;
    return (head) => head.path === separated || head.path.startsWith(below);
  }
  if (safeRegex === undefined)
    throw fail("", "no path matcher, wanted prefix, path, path_separated_prefix or safe_regex");
  const regex = compileRegex(safeRegex.regex, (why) => fail("safe_regex", why));
  return (head) => regex.test(head.path);
}

function compileHeader(matcher: HeaderMatcher, fail: (why: string) => Error): Predicate {
  const key = matcher.name.toLowerCase();
  const isInverted = matcher.invert_match ?? false;
  const read = headerReader(key, fail);
  const text = matcher.string_match;
  if (text === undefined) {
    const isPresentWanted = (matcher.present_match ?? true) !== isInverted;
    return (head) => (read(head) !== undefined) === isPresentWanted;
  }
  const test = compileText(text, fail);
  // An absent header does not match, inverted or not: Envoy's treat_missing_header_as_empty is false by default,
  // and an inverted match on an absent header is true there.
  return (head) => {
    const value = read(head);
    return (value !== undefined && test(value)) !== isInverted;
  };
}

function headerReader(key: string, fail: (why: string) => Error): (head: RequestHead) => string | undefined {
  switch (key) {
    case ":method":
      return (head) => head.method;
    case ":path":
      return (head) => head.target;
    case ":authority":
    case "host":
      return (head) => head.host;
    default:
      if (key.startsWith(":")) throw fail(`pseudo header "${key}" is not supported`);
      return (head) => joinedHeaderValue(head.headers, key);
  }
}

/** The predicate of a string matcher. */
function compileText(match: StringMatch, fail: (why: string) => Error): TextPredicate {
  const { exact, prefix, suffix, safe_regex: safeRegex } = match;
  if (exact !== undefined) return (text) => text === exact;
  if (prefix !== undefined) return (text) => text.startsWith(prefix);
  if (suffix !== undefined) return (text) => text.endsWith(suffix);
  if (safeRegex === undefined) throw fail("no string matcher, wanted exact, prefix, suffix or safe_regex");
  const regex = compileRegex(safeRegex.regex, fail);
  return (text) => regex.test(text);
}

/** A regular expression that must match the whole text, as Envoy has it. */
function compileRegex(source: string, fail: (why: string) => Error): RegExp {
  if (/\\[1-9k]|\(\?(?!:)/.test(source))
    throw fail(`regex ${JSON.stringify(source)} has a group or reference that RE2 lacks, wanted RE2 syntax`);
  try {
    return new RegExp(`^(?:${source})$`);
  } catch (error) {
    throw fail(`regex ${JSON.stringify(source)} does not compile: ${messageOf(error)}`);
  }
}

/** The first value of query parameter `name`, not decoded, as in Envoy; "" when it has none. */
function queryValue(query: string, name: string): string | undefined {
  if (query === "") return undefined;
  for (const part of query.split("&")) {
    const equals = part.indexOf("=");
    if ((equals < 0 ? part : part.slice(0, equals)) === name) return equals < 0 ? "" : part.slice(equals + 1);
  }
  return undefined;
}
