/**
 * template: answers made of the question by a pattern.
 *
 *   name ─▶ match REGEX ─▶ "{{ .Name }} 60 IN A 10.0.0.{{ .Group.n }}" ─▶ RR ─▶ Answer
 *
 * Of Go's templates the fields are supported, and `index`; other actions are refused at start.
 * Follows: CoreDNS plugin/template.
 */
import { answerOf, type Answer } from "../answer.ts";
import { complain, type Directive, numberOf, oneArg, onlyOptions, regexOf, zonesOf } from "../corefile/directive.ts";
import { fallthroughOf } from "../corefile/fallthrough.ts";
import type { Handler, Outcome, Plugin, PluginKind, Request } from "../plugin.ts";
import { classIN, flags, rcodeNames, rcodes, typeName, typeNumber, types } from "../wire/constants.ts";
import { closestZone, toText } from "../wire/name.ts";
import { encodeSections, type RR } from "../wire/record.ts";
import { parseRecord, splitWords } from "../wire/text.ts";

type Fill = (match: RegExpExecArray, request: Request, zone: string) => string;
type Section = "answer" | "authority" | "additional";

interface Template {
  readonly zones: readonly string[];
  /** Undefined: every type. */
  readonly type: number | undefined;
  readonly patterns: readonly RegExp[];
  readonly records: Readonly<Record<Section, readonly Fill[]>>;
  readonly rcode: number;
  /** The extended error (RFC 8914), as an option. */
  readonly options: Uint8Array | undefined;
  readonly fallthrough: readonly string[];
}

/** The plugin `template CLASS TYPE [ZONES…] { … }`. */
export const template: PluginKind = {
  name: "template",
  setup(directives, site, { log }) {
    const templates = directives.map((directive) => readTemplate(directive, site.zones));
    const complainOnce = (line: string): void => log.warn("Cannot use what a template made: it is no record", { line });
    return {
      name: "template",
      // What it makes may name who asked.
      repeat: (_request, { plugin }) => (plugin === "template" ? undefined : {}),
      wrap: (next) => (request) => serve(request, templates, next, complainOnce),
    } satisfies Plugin;
  },
};

function readTemplate(directive: Directive, siteZones: readonly string[]): Template {
  const [classText = "", typeText = "", ...zones] = directive.args;
  if (!["IN", "ANY"].includes(classText.toUpperCase())) complain(directive, `class "${classText}", wanted IN or ANY`);
  const type = typeNumber(typeText) ?? complain(directive, `type "${typeText}", wanted a type such as A, or ANY`);
  const known = ["match", "answer", "authority", "additional", "rcode", "fallthrough", "upstream", "ederror"];
  const block = onlyOptions(directive, known);
  const all = (name: string): readonly Directive[] => block.filter((each) => each.name === name);
  const fills = (name: Section): readonly Fill[] => all(name).map((option) => readFill(option, option.args.join(" ")));
  const patterns = all("match").flatMap((option) => option.args.map((text) => regexOf(option, text)));
  const [rcode] = all("rcode");
  const [extended] = all("ederror");
  const keys = zonesOf(directive, zones, siteZones);
  return {
    zones: keys,
    type: type === types.any ? undefined : type,
    patterns: patterns.length === 0 ? [/.*/] : patterns,
    records: { answer: fills("answer"), authority: fills("authority"), additional: fills("additional") },
    options: extended === undefined ? undefined : extendedError(extended),
    rcode: rcode === undefined ? rcodes.noError : rcodeOf(rcode),
    fallthrough: fallthroughOf(block, keys),
  };
}

/** Option 15: a code and why (RFC 8914 §2). */
function extendedError(option: Directive): Uint8Array {
  const [code = "", ...words] = option.args;
  const reason = Buffer.from(words.join(" "), "utf8");
  const bytes = Buffer.alloc(6 + reason.length);
  bytes.writeUInt16BE(15, 0);
  bytes.writeUInt16BE(2 + reason.length, 2);
  bytes.writeUInt16BE(numberOf(option, code, { min: 0, max: 24 }), 4);
  bytes.set(reason, 6);
  return bytes;
}

function rcodeOf(option: Directive): number {
  const text = oneArg(option, "an rcode");
  const found = Object.entries(rcodeNames).find(([, name]) => name === text.toUpperCase());
  return found === undefined ? complain(option, `"${text}", wanted an rcode such as NXDOMAIN`) : Number(found[0]);
}

/** A text with `{{ … }}` as a function of the question. */
function readFill(option: Directive, text: string): Fill {
  const parts = text.split(/\{\{\s*(.*?)\s*\}\}/);
  const fills = parts.map((part, index): Fill => (index % 2 === 0 ? () => part : readAction(option, part)));
  return (match, request, zone) => fills.map((fill) => fill(match, request, zone)).join("");
}

function readAction(option: Directive, action: string): Fill {
  const fields: Readonly<Record<string, Fill>> = {
    ".Name": (_, { query }) => toText(query.name),
    ".Zone": (_, __, zone) => toText(zone),
    ".Class": () => "IN",
    ".Type": (_, { query }) => typeName(query.type),
    ".Remote": (_, { client }) => client,
  };
  const field = fields[action];
  if (field !== undefined) return field;
  const group =
    /^\.Group\.([A-Za-z_][A-Za-z0-9_]*)$/.exec(action)?.[1] ?? /^index \.Group "([^"]+)"$/.exec(action)?.[1];
  if (group !== undefined) return (match) => match.groups?.[group] ?? "";
  const number = /^parseInt \.Group\.([A-Za-z_][A-Za-z0-9_]*) ([0-9]{1,2}) [0-9]{1,2}$/.exec(action);
  if (number !== null) {
    const [, group = "", base = ""] = number;
    return (match) => String(Number.parseInt(match.groups?.[group] ?? "", Number(base)));
  }
  const index = /^index \.Match ([0-9]+)$/.exec(action)?.[1];
  if (index !== undefined) return (match) => match[Number(index)] ?? "";
  return complain(
    option,
    `{{ ${action} }}, wanted .Name, .Zone, .Class, .Type, .Remote, .Group.NAME, index .Match N or parseInt .Group.NAME BASE BITS`,
  );
}

function serve(
  request: Request,
  templates: readonly Template[],
  next: Handler,
  onBadRecord: (line: string) => void,
): Outcome {
  const { query } = request;
  const name = toText(query.name);
  for (const one of templates) {
    const zone = query.class === classIN ? closestZone(query.name, one.zones) : undefined;
    if (zone === undefined || (one.type !== undefined && one.type !== query.type)) continue;
    const match = one.patterns.map((pattern) => pattern.exec(name)).find((found) => found !== null);
    if (match !== undefined && match !== null) return fillTemplate(one, { match, request, zone }, onBadRecord);
    if (closestZone(query.name, one.fallthrough) === undefined) return next(request);
  }
  return next(request);
}

interface Matched {
  readonly match: RegExpExecArray;
  readonly request: Request;
  readonly zone: string;
}

function fillTemplate(one: Template, { match, request, zone }: Matched, onBadRecord: (line: string) => void): Answer {
  const { query } = request;
  const records = (section: Section): readonly RR[] =>
    one.records[section].flatMap((fill) => {
      const line = fill(match, request, zone);
      const record = parseRecord(splitWords(line), { origin: "\0", owner: query.name, ttl: 60 }, true);
      if (record === undefined) onBadRecord(line);
      return record ?? [];
    });
  const sections = encodeSections(query.name, {
    answer: records("answer"),
    authority: records("authority"),
    additional: records("additional"),
  });
  return answerOf({ plugin: "template", rcode: one.rcode, flags: flags.authoritative, options: one.options, sections });
}
