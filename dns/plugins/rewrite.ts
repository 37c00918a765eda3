/**
 * rewrite: asks another question than the downstream did, and turns the answer back.
 *
 *   Request ─▶ rules in order (stop, continue) ─▶ next ─▶ names, TTLs, rcodes of the answer turned back
 *
 * Follows: CoreDNS plugin/rewrite. EDNS0 options are in rewrite-edns.ts, aliases that lead elsewhere in
 * rewrite-alias.ts.
 */
import { type Answer, recordsOf, withRecords } from "../answer.ts";
import { complain, type Directive, numberOf, regexOf } from "../corefile/directive.ts";
import type { Handler, Outcome, Plugin, PluginKind, Request } from "../plugin.ts";
import { classIN, rcodeNames, typeNumber, types } from "../wire/constants.ts";
import { targetOf } from "../wire/data.ts";
import { toKey, toText } from "../wire/name.ts";
import { derivedQuery, nameAsSent, type Query } from "../wire/query.ts";
import { layoutOf, type RR } from "../wire/record.ts";
import { follow, onAnswer, type Retarget } from "./rewrite-alias.ts";
import { readOptionRule } from "./rewrite-edns.ts";

type Change = (answer: Answer, outer: Query, inner: Query) => Answer;

/** What a rule does to a query; undefined when it does not fit. */
interface Rewritten {
  readonly query: Query;
  /** What is done to the answer then, last rule first. */
  readonly change: Change;
  /** Where an alias leads instead (a key), or undefined; its records are then looked up. */
  readonly retarget?: Retarget;
}

interface Rule {
  readonly isLast: boolean;
  apply(query: Query, request: Request): Rewritten | undefined;
}

/** Rules applied to a query, at most. */
const rulesMax = 100;

/** The plugin `rewrite [continue|stop] FIELD …`. */
export const rewrite: PluginKind = {
  name: "rewrite",
  setup(directives) {
    const rules = directives.map(readRule);
    return {
      name: "rewrite",
      wrap: (next, whole) => (request) => serve(request, rules, { next, whole }),
    } satisfies Plugin;
  },
};

interface Around {
  readonly next: Handler;
  readonly whole: () => Handler;
}

function serve(request: Request, rules: readonly Rule[], { next, whole }: Around): Outcome {
  let { query } = request;
  // Messages of a zone transfer are one zone's: none of them is turned back.
  if (query.type === types.axfr) return next(request);
  const retargets: Retarget[] = [];
  const changes: ((answer: Answer) => Answer)[] = [];
  for (const rule of rules.slice(0, rulesMax)) {
    const rewritten = rule.apply(query, request);
    if (rewritten === undefined) continue;
    const [outer, inner] = [query, rewritten.query];
    changes.unshift((answer) => rewritten.change(answer, outer, inner));
    if (rewritten.retarget !== undefined) retargets.push(rewritten.retarget);
    query = inner;
    if (rule.isLast) break;
  }
  if (changes.length === 0) return next(request);
  const turnBack = (answer: Answer): Answer =>
    answer.rcode < 0 ? answer : changes.reduce((each, change) => change(each), answer);
  const inner: Request = { ...request, query };
  const followed = (answer: Answer): Outcome =>
    retargets.length === 0 ? answer : follow(inner, answer, { retargets, whole: whole() });
  return onAnswer(onAnswer(next(inner), followed), turnBack);
}

function readRule(directive: Directive): Rule {
  const [first = "", ...others] = directive.args;
  const hasMode = first === "stop" || first === "continue";
  const isLast = first !== "continue";
  const lines = (directive.block ?? []).flatMap((line) => [line.name, ...line.args]);
  const [field = "", ...inline] = [...(hasMode ? others : directive.args), ...lines];
  switch (field) {
    case "name":
      return { isLast, apply: nameRule(directive, inline) };
    case "type":
      return { isLast, apply: typeRule(directive, inline) };
    case "class":
      return { isLast, apply: classRule(directive, inline) };
    case "ttl":
      return { isLast, apply: ttlRule(directive, inline) };
    case "rcode":
      return { isLast, apply: rcodeRule(directive, inline) };
    case "cname":
      return { isLast, apply: cnameRule(directive, inline) };
    case "edns0": {
      const change = readOptionRule(directive, inline);
      return {
        isLast,
        apply(query, request) {
          const changed = change(query, request);
          return changed === undefined ? undefined : { query: changed, change: (answer) => answer };
        },
      };
    }
    default:
      return complain(directive, `field "${field}", wanted name, type, class, ttl, rcode, cname or edns0`);
  }
}

const matchers = ["exact", "prefix", "suffix", "substring", "regex"] as const;
type MatcherKind = (typeof matchers)[number];

/** The text that a name (dotted, lower case) becomes, or undefined when it does not fit. */
function matcherOf(
  directive: Directive,
  kind: MatcherKind,
  [from, to]: readonly [string, string],
): (name: string) => string | undefined {
  if (kind === "regex") {
    const pattern = regexOf(directive, from);
    return (name) => {
      const match = pattern.exec(name) ?? pattern.exec(name.slice(0, -1));
      return match === null ? undefined : fill(to, match);
    };
  }
  const dotted = (text: string): string => (text.endsWith(".") ? text : `${text}.`).toLowerCase();
  if (kind === "exact") return (name) => (name === dotted(from) ? dotted(to) : undefined);
  if (kind === "prefix") return (name) => (name.startsWith(from) ? to + name.slice(from.length) : undefined);
  if (kind === "substring") return (name) => (name.includes(from) ? name.replace(from, to) : undefined);
  return (name) => {
    const [end, replacement] = [dotted(from), dotted(to)];
    return name.endsWith(end) ? name.slice(0, name.length - end.length) + replacement : undefined;
  };
}

/** `{0}`, `{1}` … stand for what the groups matched. */
function fill(text: string, match: RegExpExecArray): string {
  return text.replaceAll(/\{([0-9])\}/g, (_, index: string) => match[Number(index)] ?? "");
}

function nameRule(directive: Directive, given: readonly string[]): Rule["apply"] {
  const answerAt = given.indexOf("answer");
  const words = answerAt < 0 ? given : given.slice(0, answerAt);
  const answers = answerAt < 0 ? [] : given.slice(answerAt);
  const named = matchers.find((known) => known === words[0]);
  const [from, to, ...rest] = named === undefined ? words : words.slice(1);
  if (from === undefined || to === undefined || rest.length > 0)
    complain(directive, `"${given.join(" ")}", wanted name [${matchers.join("|")}] FROM TO [answer …]`);
  const kind = named ?? "exact";
  const match = matcherOf(directive, kind, [from, to]);
  const turnBack = readAnswerRules(directive, answers);
  return (query) => {
    const text = match(toText(query.name));
    const name = text === undefined ? undefined : toKey(text);
    if (name === undefined || (name === query.name && answers.length === 0)) return undefined;
    return { query: derivedQuery(query, name), change: (answer, outer, inner) => turnBack(answer, outer, inner) };
  };
}

/** `answer [name] auto`, `answer name REGEX TO`, `answer value REGEX TO`; without any the asked name alone is put back. */
function readAnswerRules(directive: Directive, words: readonly string[]): Change {
  const rules: { readonly kind: "name" | "value"; readonly match: (name: string) => string | undefined }[] = [];
  let isAuto = false;
  for (let at = 0; at < words.length;) {
    const [keyword, kind, from = "", to = ""] = words.slice(at, at + 4);
    if (keyword !== "answer") return complain(directive, `"${words.slice(at).join(" ")}", wanted answer`);
    if (kind === "auto" || (kind === "name" && from === "auto")) {
      isAuto = true;
      at += kind === "auto" ? 2 : 3;
    } else if (kind === "name" || kind === "value") {
      rules.push({ kind, match: matcherOf(directive, "regex", [from, to]) });
      at += 4;
    } else {
      // The old form: `answer REGEX TO` is `answer name REGEX TO`.
      rules.push({ kind: "name", match: matcherOf(directive, "regex", [kind ?? "", from]) });
      at += 3;
    }
  }
  return (answer, outer, inner) => {
    const sent = nameAsSent(outer).toLowerCase();
    const rename = (name: string, kind: "name" | "value"): string => {
      if (name === inner.name && (kind === "name" || isAuto)) return sent;
      for (const rule of rules) {
        if (rule.kind !== kind) continue;
        const text = rule.match(toText(name));
        const renamed = text === undefined ? undefined : toKey(text);
        if (renamed !== undefined) return renamed;
      }
      return name;
    };
    const change = (record: RR): RR => renameRecord(record, rename);
    const { answer: answers, authority, additional } = recordsOf(inner, answer);
    return withRecords(outer, answer, {
      answer: answers.map(change),
      authority: authority.map(change),
      additional: additional.map(change),
    });
  };
}

function renameRecord(record: RR, rename: (name: string, kind: "name" | "value") => string): RR {
  const target = targetOf(record);
  const name = rename(record.name, "name");
  if (target === undefined) return { ...record, name };
  const renamed = rename(target, "value");
  if (renamed === target) return { ...record, name };
  const fixed = layoutOf(record.type)?.fixed ?? 0;
  return { ...record, name, data: Buffer.concat([record.data.subarray(0, fixed), Buffer.from(renamed, "latin1")]) };
}

/** Fits every query: it is the answer's aliases that are matched. */
function cnameRule(directive: Directive, given: readonly string[]): Rule["apply"] {
  const named = matchers.find((known) => known === given[0]);
  const [from, to, ...rest] = named === undefined ? given : given.slice(1);
  if (from === undefined || to === undefined || rest.length > 0)
    complain(directive, `"${given.join(" ")}", wanted cname [${matchers.join("|")}] FROM TO`);
  const match = matcherOf(directive, named ?? "exact", [from, to]);
  const retarget: Retarget = (target) => {
    const text = match(toText(target));
    return text === undefined ? undefined : toKey(text);
  };
  return (query) => ({ query, change: (answer) => answer, retarget });
}

function typeRule(directive: Directive, [from = "", to = ""]: readonly string[]): Rule["apply"] {
  const [before, after] = [typeNumber(from), typeNumber(to)];
  if (before === undefined || after === undefined)
    complain(directive, `"${from} ${to}", wanted two types such as ANY HINFO`);
  return (query) =>
    query.type !== before
      ? undefined
      : { query: derivedQuery(query, nameAsSent(query), after), change: (answer) => answer };
}

function classRule(directive: Directive, [from = "", to = ""]: readonly string[]): Rule["apply"] {
  const classes: Readonly<Record<string, number>> = { IN: classIN, CH: 3, HS: 4, ANY: 255 };
  const [before, after] = [classes[from.toUpperCase()], classes[to.toUpperCase()]];
  if (before === undefined || after === undefined)
    complain(directive, `"${from} ${to}", wanted two classes such as CH IN`);
  return (query) =>
    query.class !== before ? undefined : { query: { ...query, class: after }, change: (answer) => answer };
}

/** Name and then the rest of a rule that leaves the question alone. */
function readFitting(
  directive: Directive,
  given: readonly string[],
): { fits: (name: string) => boolean; rest: readonly string[] } {
  const named = matchers.find((known) => known === given[0]);
  const [from, ...rest] = named === undefined ? given : given.slice(1);
  if (from === undefined || rest.length === 0)
    complain(directive, `"${given.join(" ")}", wanted [${matchers.join("|")}] NAME and a value`);
  const match = matcherOf(directive, named ?? "exact", [from, from]);
  return { fits: (name) => match(name) !== undefined, rest };
}

function ttlRule(directive: Directive, given: readonly string[]): Rule["apply"] {
  const { fits, rest } = readFitting(directive, given);
  const [, low = "", high = low] =
    /^([0-9]*)(?:-([0-9]*))?$/.exec(rest[0] ?? "?") ??
    complain(directive, `"${rest.join(" ")}", wanted seconds or a range such as 30-300`);
  const limit = { min: 0, max: 2 ** 31 - 1 };
  const least = low === "" ? 0 : numberOf(directive, low, limit);
  const most = high === "" ? limit.max : numberOf(directive, high, limit);
  const clamp = (records: readonly RR[]): readonly RR[] =>
    records.map((record) => ({ ...record, ttl: Math.min(Math.max(record.ttl, least), most) }));
  return (query) => {
    if (!fits(toText(query.name))) return undefined;
    return {
      query,
      change(answer) {
        const records = recordsOf(query, answer);
        return withRecords(query, answer, {
          answer: clamp(records.answer),
          authority: clamp(records.authority),
          additional: clamp(records.additional),
        });
      },
    };
  };
}

function rcodeRule(directive: Directive, given: readonly string[]): Rule["apply"] {
  const { fits, rest } = readFitting(directive, given);
  const [from, to] = rest.map((text) => {
    const found = Object.entries(rcodeNames).find(([number, name]) => name === text.toUpperCase() || number === text);
    return found === undefined ? complain(directive, `"${text}", wanted an rcode such as NXDOMAIN`) : Number(found[0]);
  });
  if (to === undefined) complain(directive, "one rcode, wanted two");
  return (query) =>
    !fits(toText(query.name))
      ? undefined
      : { query, change: (answer) => (answer.rcode === from ? { ...answer, rcode: to } : answer) };
}
