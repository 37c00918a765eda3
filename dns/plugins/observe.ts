/**
 * errors and log: what is written about queries.
 *
 *   Answer ─▶ a line of the log
 *
 * Follows: CoreDNS plugin/errors (consolidate) and plugin/log (formats, classes).
 */
import type { Timer } from "#lib/clock.ts";
import type { Answer } from "../answer.ts";
import { complain, type Directive, durationOf, onlyOptions, regexOf, zonesOf } from "../corefile/directive.ts";
import type { Handler, Plugin, PluginKind, Request } from "../plugin.ts";
import { flags, rcodeNames, rcodes, typeName } from "../wire/constants.ts";
import { closestZone, toText } from "../wire/name.ts";

/** Runs `then` with the answer, at once or later. */
function observe(next: Handler, then: (request: Request, answer: Answer) => void): Handler {
  const tell = (request: Request, answer: Answer): Answer => {
    then(request, answer);
    return answer;
  };
  return (request) => {
    const outcome = next(request);
    return outcome instanceof Promise ? outcome.then((answer) => tell(request, answer)) : tell(request, outcome);
  };
}

interface Consolidation {
  readonly everyMs: number;
  readonly pattern: RegExp;
  readonly level: "error" | "warn" | "info" | "debug";
  readonly showsFirst: boolean;
  count: number;
  timer: Timer | undefined;
}

/** The plugin `errors { consolidate DURATION REGEX [LEVEL] [show_first] }`: a line for each SERVFAIL. */
export const errors: PluginKind = {
  name: "errors",
  setup([directive], _site, { log, clock }) {
    if (directive === undefined) throw new TypeError("errors needs a directive");
    const levels: Readonly<Record<string, Consolidation["level"]>> = {
      warning: "warn",
      error: "error",
      info: "info",
      debug: "debug",
    };
    const consolidations = onlyOptions(directive, ["consolidate", "stacktrace"])
      .filter(({ name }) => name === "consolidate")
      .map((option): Consolidation => {
        const [duration = "", regex = "", ...more] = option.args;
        const level = levels[more.find((word) => word !== "show_first") ?? "error"];
        return {
          everyMs: durationOf(option, duration),
          pattern: regexOf(option, regex),
          level: level ?? complain(option, `"${more.join(" ")}", wanted warning, error, info or debug`),
          showsFirst: more.includes("show_first"),
          count: 0,
          timer: undefined,
        };
      });
    const write = (message: string, fields: Parameters<typeof log.error>[1]): void => {
      const found = consolidations.find(({ pattern }) => pattern.test(message));
      if (found === undefined) return log.error(message, fields);
      found.count++;
      if (found.timer !== undefined) return;
      if (found.showsFirst) log[found.level](message, fields);
      found.timer = clock.after(found.everyMs, () => {
        const { count, pattern, level } = found;
        if (count > 0) log[level](`${count} errors like ${pattern.source} in the last ${found.everyMs} ms`);
        found.count = 0;
        found.timer = undefined;
      });
    };
    return {
      name: "errors",
      repeat: (_request, { rcode }) => (rcode === rcodes.servFail ? undefined : {}),
      wrap: (next) =>
        observe(next, ({ query, client }, answer) => {
          if (answer.rcode !== rcodes.servFail) return;
          const name = toText(query.name);
          const by = answer.plugin === "" ? "no plugin" : answer.plugin;
          const why = answer.reason === undefined ? "" : `: ${answer.reason}`;
          write(`${by} failed for ${name} ${typeName(query.type)}${why}`, { client });
        }),
      stop: () => {
        for (const { timer } of consolidations) timer?.cancel();
      },
    } satisfies Plugin;
  },
};

type Class = "success" | "denial" | "error" | "all";
const classes: readonly Class[] = ["success", "denial", "error", "all"];
const common =
  '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';

/** The plugin `log [NAMES…] [FORMAT] { class CLASSES… }`. */
export const log: PluginKind = {
  name: "log",
  setup(directives, site, environment) {
    const rules = directives.map((directive) => readLog(directive, site.zones));
    return {
      name: "log",
      wrap(next) {
        const answered = (request: Request, startMs: number, answer: Answer): Answer => {
          const rule = rules.find(({ zones }) => closestZone(request.query.name, zones) !== undefined);
          const kind = classOf(answer);
          if (rule !== undefined && rule.classes.some((each) => each === "all" || each === kind)) {
            environment.log.info(format(rule.format, request, answer, environment.clock.monotonicMs() - startMs));
          }
          return answer;
        };
        return (request) => {
          const startMs = environment.clock.monotonicMs();
          const outcome = next(request);
          if (!(outcome instanceof Promise)) return answered(request, startMs, outcome);
          return outcome.then((answer) => answered(request, startMs, answer));
        };
      },
    } satisfies Plugin;
  },
};

function readLog(directive: Directive, siteZones: readonly string[]): Rule {
  const block = onlyOptions(directive, ["class"]);
  const given = block.flatMap(({ args }) => args);
  const wrong = given.find((word) => !classes.some((known) => known === word));
  if (wrong !== undefined) complain(directive, `class "${wrong}", wanted ${classes.join(", ")}`);
  const formatAt = directive.args.findIndex((word) => word.includes("{"));
  const names = formatAt < 0 ? directive.args : directive.args.slice(0, formatAt);
  const text = formatAt < 0 ? "{common}" : directive.args.slice(formatAt).join(" ");
  return {
    zones: zonesOf(directive, names, siteZones),
    format: text.replaceAll(/\{common\}|\{combined\}/g, (word) =>
      word === "{common}" ? common : `${common} "{>opcode}"`,
    ),
    classes: given.length === 0 ? ["all"] : (given as readonly Class[]),
  };
}

interface Rule {
  readonly zones: readonly string[];
  readonly format: string;
  readonly classes: readonly Class[];
}

function classOf({ rcode, sections }: Answer): Class {
  if (rcode === rcodes.nxDomain) return "denial";
  if (rcode !== rcodes.noError) return "error";
  return sections.counts[0] === 0 ? "denial" : "success";
}

// One table of all words, so that a new word is one line.
function format(text: string, { query, client, clientPort, proto }: Request, answer: Answer, ms: number): string {
  const { bytes } = query;
  const words: Readonly<Record<string, () => string>> = {
    remote: () => (client.includes(":") ? `[${client}]` : client),
    port: () => String(clientPort),
    type: () => typeName(query.type),
    class: () => (query.class === 1 ? "IN" : String(query.class)),
    name: () => toText(query.name),
    proto: () => proto,
    size: () => String(bytes.length),
    rcode: () => rcodeNames[answer.rcode] ?? String(answer.rcode),
    rsize: () => String(query.questionEnd + answer.sections.bytes.length),
    duration: () => `${(ms / 1000).toFixed(9)}s`,
    ">id": () => String(bytes.readUInt16BE(0)),
    ">opcode": () => String((bytes.readUInt16BE(2) >> 11) & 15),
    ">do": () => String(query.dnssecOK),
    ">bufsize": () => String(query.payloadBytes ?? 512),
    ">rflags": () => ["qr", (answer.flags & flags.authoritative) !== 0 ? "aa" : "", "rd"].filter(Boolean).join(","),
  };
  return text.replaceAll(/\{(>?[a-z]+)\}/g, (whole, word: string) => words[word]?.() ?? whole);
}
