/**
 * Envoy's matchers → predicates. Pure.
 *
 *   Reader of a RouteMatch, HeaderMatcher or StringMatcher ─▶ readMatch(), readHeaderMatcher(), readText() ─▶ route/
 *
 * Source: envoy.config.route.v3.RouteMatch, HeaderMatcher; envoy.type.matcher.v3.StringMatcher; envoy.type.v3.
 */
import {
  type HeaderTest,
  allOf,
  headerPredicate,
  headersPredicate,
  isGRPC,
  isHit,
  pathPredicate,
  queryPredicate,
  rangePredicate,
} from "../route/match.ts";
import { literalPrefix } from "../route/literal-prefix.ts";
import { compileGlobalRegex, compileSubstitution, compileWholeRegex } from "../route/regex.ts";
import { compileUriTemplate } from "../route/uri-template.ts";
import type {
  Fraction,
  HeaderKey,
  HeadersPredicate,
  MatchedPath,
  PathKey,
  Predicate,
  RegexRewrite,
  TextPredicate,
} from "../route/types.ts";
import type { Reader } from "./reader.ts";

export interface CompiledMatch {
  readonly pathKey: PathKey;
  readonly headerKey: HeaderKey | undefined;
  readonly matches: Predicate;
  /** What a prefix_rewrite replaces. */
  readonly matchedPath: MatchedPath;
  /** Of path_match_policy, for path_rewrite_policy. */
  readonly template: ReturnType<typeof compileUriTemplate> | undefined;
}

interface PathMatch extends Omit<CompiledMatch, "headerKey" | "matches" | "template"> {
  readonly predicate: Predicate | undefined;
  readonly template?: ReturnType<typeof compileUriTemplate>;
}

const pathFields = [
  "prefix",
  "path",
  "path_separated_prefix",
  "safe_regex",
  "path_match_policy",
  "connect_matcher",
] as const;

export function readMatch(reader: Reader): CompiledMatch {
  const path = readPath(reader);
  const fraction = readFraction(reader, "runtime_fraction");
  const grpc = reader.object("grpc");
  grpc?.done();
  const headers = reader.list("headers");
  const predicates = [
    path.predicate,
    grpc === undefined ? undefined : isGRPC,
    readTLSMatch(reader),
    ...headers.map(readHeaderMatcher),
    ...reader.list("query_parameters").map(readQuery),
    // Chance comes last: a request that does not match must not be drawn for.
    fraction === undefined ? undefined : (((_head, info) => isHit(fraction, info.random())) satisfies Predicate),
  ];
  reader.done();
  return {
    pathKey: path.pathKey,
    headerKey: headers.map(exactHeader).find((key) => key !== undefined),
    matches: allOf(predicates),
    matchedPath: path.matchedPath,
    template: path.template,
  };
}

function readPath(reader: Reader): PathMatch {
  const fields = pathFields.filter((name) => reader.isSet(name));
  const [field, second] = fields;
  if (field === undefined)
    throw reader.bad("prefix", "no path matcher, wanted prefix, path, path_separated_prefix or safe_regex");
  if (second !== undefined) throw reader.bad(second, `it does not go with ${field}`);
  const isCaseSensitive = reader.flag("case_sensitive") ?? true;
  const text = (): string => reader.text(field) ?? "";
  switch (field) {
    case "prefix":
    case "path_separated_prefix": {
      const prefix = text();
      if (field === "path_separated_prefix" && (/[?#]/.test(prefix) || prefix.length < 2 || prefix.endsWith("/")))
        throw reader.bad(field, "it is empty, ends in / or has ? or #");
      const key: PathKey = { kind: "prefix", prefix, isSeparated: field === "path_separated_prefix" };
      return keyed(key, isCaseSensitive, { kind: "prefix", length: prefix.length });
    }
    case "path":
      return keyed({ kind: "exact", path: text() }, isCaseSensitive, { kind: "whole" });
    case "safe_regex": {
      const prefix = literalPrefix(reader.wantObject("safe_regex").text("regex") ?? "");
      const regex = readRegex(reader, "safe_regex");
      const found = other((head) => regex(head.path));
      return prefix === "" ? found : { ...found, pathKey: { kind: "prefix", prefix, isSeparated: false } };
    }
    case "path_match_policy": {
      const template = readTemplateMatch(reader.wantObject(field));
      return { ...other((head) => template.regex.test(head.path)), template };
    }
    case "connect_matcher":
      reader.wantObject(field).done();
      // Which of them is asked is decided by the method: table.ts.
      return { pathKey: { kind: "connect" }, predicate: undefined, matchedPath: { kind: "whole" } };
  }
}

function keyed(key: PathKey, isCaseSensitive: boolean, matchedPath: MatchedPath): PathMatch {
  if (isCaseSensitive) return { pathKey: key, predicate: pathPredicate(key), matchedPath };
  const lower: PathKey =
    key.kind === "exact"
      ? { kind: "exact", path: key.path.toLowerCase() }
      : key.kind === "prefix"
        ? { ...key, prefix: key.prefix.toLowerCase() }
        : key;
  const test = pathPredicate(lower);
  return {
    pathKey: { kind: "other" },
    predicate: test && ((head, info) => test({ ...head, path: head.path.toLowerCase() }, info)),
    matchedPath,
  };
}

function other(predicate: Predicate): PathMatch {
  return { pathKey: { kind: "other" }, predicate, matchedPath: { kind: "whole" } };
}

const uriTemplateMatch = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

function readTemplateMatch(reader: Reader): ReturnType<typeof compileUriTemplate> {
  const config = reader.ignore("name").wantObject("typed_config");
  config.oneOf("@type", [uriTemplateMatch]);
  const template = compileUriTemplate(config.wantText("path_template"), (why) => config.bad("path_template", why));
  config.done();
  reader.done();
  return template;
}

function readTLSMatch(reader: Reader): Predicate | undefined {
  const context = reader.object("tls_context");
  if (context === undefined) return undefined;
  const presented = context.flag("presented");
  const validated = context.flag("validated");
  context.done();
  return (_head, { peerCertificate }) => {
    if (presented !== undefined && presented !== (peerCertificate !== "none")) return false;
    return validated === undefined || validated === (peerCertificate === "validated");
  };
}

/** A QueryParameterMatcher. */
export function readQuery(reader: Reader): Predicate {
  const name = reader.wantText("name");
  const text = reader.object("string_match");
  const isPresentWanted = reader.flag("present_match") ?? true;
  reader.done();
  if (text === undefined) return queryPredicate(name, (value) => (value !== undefined) === isPresentWanted);
  const test = readText(text);
  return queryPredicate(name, (value) => value !== undefined && test(value));
}

/** A matcher on a request's header. */
export function readHeaderMatcher(reader: Reader): Predicate {
  const { key, test } = readHeaderTest(reader);
  const predicate = headerPredicate(key, test);
  if (predicate === undefined) throw reader.bad("name", `pseudo header "${key}" is not supported`);
  return predicate;
}

/** What a header matcher asks for when that is one value exactly. */
function exactHeader(reader: Reader): HeaderKey | undefined {
  const key = reader.wantText("name").toLowerCase();
  if (key.startsWith(":") || key === "host") return undefined;
  if (reader.flag("invert_match") === true || reader.flag("treat_missing_header_as_empty") === true) return undefined;
  const match = reader.object("string_match");
  if (match?.flag("ignore_case") === true) return undefined;
  const value = match === undefined ? reader.text("exact_match") : match.text("exact");
  return value === undefined ? undefined : { key, value };
}

/** A matcher on a response's header. */
export function readResponseHeaderMatcher(reader: Reader): HeadersPredicate {
  const { key, test } = readHeaderTest(reader);
  if (key.startsWith(":")) throw reader.bad("name", `pseudo header "${key}" is not supported`);
  return headersPredicate(key, test);
}

function readHeaderTest(reader: Reader): { key: string; test: HeaderTest } {
  const key = reader.wantText("name").toLowerCase();
  const isInverted = reader.flag("invert_match") ?? false;
  const isEmptyWhenMissing = reader.flag("treat_missing_header_as_empty") ?? false;
  const isPresentWanted = reader.flag("present_match");
  const test = readHeaderText(reader);
  reader.done();
  if (test !== undefined) {
    // An absent header matches nothing, not even an inverted matcher, unless it counts as empty.
    const whenMissing = isEmptyWhenMissing && test("") !== isInverted;
    return { key, test: { matches: test, wanted: !isInverted, whenMissing } };
  }
  const wanted = (isPresentWanted ?? true) !== isInverted;
  return { key, test: { matches: () => true, wanted, whenMissing: isEmptyWhenMissing ? wanted : !wanted } };
}

/** Of string_match, range_match and the forms from before string_match. */
function readHeaderText(reader: Reader): TextPredicate | undefined {
  const match = reader.object("string_match");
  if (match !== undefined) return readText(match);
  const range = reader.object("range_match");
  if (range !== undefined) {
    const start = range.integer("start", Number.MIN_SAFE_INTEGER) ?? 0;
    const end = range.integer("end", Number.MIN_SAFE_INTEGER) ?? 0;
    range.done();
    return rangePredicate(start, end);
  }
  if (reader.isSet("safe_regex_match")) return readRegex(reader, "safe_regex_match");
  for (const [field, make] of Object.entries(oldForms)) {
    const text = reader.isSet(field) ? reader.text(field) : undefined;
    if (text !== undefined) return make(text);
  }
  return undefined;
}

const oldForms: Readonly<Record<string, (text: string) => TextPredicate>> = {
  exact_match: (wanted) => (text) => text === wanted,
  prefix_match: (wanted) => (text) => text.startsWith(wanted),
  suffix_match: (wanted) => (text) => text.endsWith(wanted),
  contains_match: (wanted) => (text) => text.includes(wanted),
};

/** envoy.type.matcher.v3.StringMatcher */
export function readText(reader: Reader): TextPredicate {
  const ignoresCase = reader.flag("ignore_case") ?? false;
  const fields = ["exact", "prefix", "suffix", "contains", "safe_regex"].filter((name) => reader.isSet(name));
  const [field, second] = fields;
  if (field === undefined)
    throw reader.bad("exact", "no string matcher, wanted exact, prefix, suffix, contains or safe_regex");
  if (second !== undefined) throw reader.bad(second, `it does not go with ${field}`);
  if (field === "safe_regex") {
    const regex = readRegex(reader, field);
    reader.done();
    return regex;
  }
  const text = reader.text(field) ?? "";
  reader.done();
  const make = oldForms[`${field}_match`]!;
  if (!ignoresCase) return make(text);
  const lower = make(text.toLowerCase());
  return (value) => lower(value.toLowerCase());
}

/** A RegexMatcher: the whole text must match. */
export function readRegex(reader: Reader, name: string): TextPredicate {
  const matcher = reader.wantObject(name);
  const regex = compileWholeRegex(matcher.wantText("regex"), (why) => reader.bad(name, why));
  // RE2 is the only engine that Envoy ever had.
  matcher.ignore("google_re2").done();
  return (text) => regex.test(text);
}

/** A RegexMatchAndSubstitute, or undefined when the field is not there. */
export function readRegexRewrite(reader: Reader, name: string): RegexRewrite | undefined {
  const rewrite = reader.object(name);
  if (rewrite === undefined) return undefined;
  const pattern = rewrite.wantObject("pattern");
  const regex = compileGlobalRegex(pattern.wantText("regex"), (why) => rewrite.bad("pattern", why));
  pattern.ignore("google_re2").done();
  const substitution = compileSubstitution(rewrite.text("substitution") ?? "", (why) =>
    rewrite.bad("substitution", why),
  );
  rewrite.done();
  return { regex, substitution };
}

const denominators: Readonly<Record<string, number>> = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 };

/** A RuntimeFractionalPercent, or undefined when the field is not there. Runtime keys have no effect without a runtime. */
export function readFraction(reader: Reader, name: string): Fraction | undefined {
  const fraction = reader.object(name);
  if (fraction === undefined) return undefined;
  const value = fraction.wantObject("default_value");
  const read = readPercent(value);
  fraction.text("runtime_key");
  fraction.done();
  return read;
}

/** A FractionalPercent. */
export function readPercent(reader: Reader): Fraction {
  const numerator = reader.integer("numerator", 0) ?? 0;
  const denominator = denominators[reader.oneOf("denominator", Object.keys(denominators)) ?? "HUNDRED"]!;
  reader.done();
  return { numerator, denominator };
}
