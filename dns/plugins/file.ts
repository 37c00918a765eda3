/**
 * file and auto: zones out of zone files, read again when they change.
 *
 *   zone file ─▶ zone-file.ts ─▶ Answer
 *
 * A file that cannot be read any more leaves what was read before.
 * Follows: the CoreDNS plugins of these names.
 */
import { join } from "node:path";
import type { Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { type Answer, answerOf, recordsOf } from "../answer.ts";
import { complain, type Directive, durationOf, oneArg, onlyOptions, regexOf, zonesOf } from "../corefile/directive.ts";
import { fallthroughOf } from "../corefile/fallthrough.ts";
import type { Environment, Handler, Outcome, Plugin, PluginKind, Repetition, Request } from "../plugin.ts";
import { flags, rcodes } from "../wire/constants.ts";
import { closestZone, toKey } from "../wire/name.ts";
import { derivedQuery } from "../wire/query.ts";
import { encodeSections, type RR } from "../wire/record.ts";
import { parseZoneFile, ZoneData } from "../zone-file.ts";

const depthMax = 8;

/** A plugin that serves zones which `load` reads, now and again. */
class ZonesPlugin implements Plugin {
  readonly name: string;
  readonly #fallthrough: readonly string[];
  readonly #environment: Environment;
  readonly #everyMs: number;
  readonly #load: () => ReadonlyMap<string, ZoneData>;
  #zones: ReadonlyMap<string, ZoneData>;
  /** Over when they are read again. */
  #life: { isOver: boolean } = { isOver: false };
  #timer: Timer | undefined;

  constructor(
    name: string,
    environment: Environment,
    given: { everyMs: number; fallthrough: readonly string[]; load: () => ReadonlyMap<string, ZoneData> },
  ) {
    this.name = name;
    this.#environment = environment;
    this.#everyMs = given.everyMs;
    this.#fallthrough = given.fallthrough;
    this.#load = given.load;
    this.#zones = given.load();
  }

  wrap(next: Handler, whole: () => Handler): Handler {
    return (request) => this.#serve(request, next, whole);
  }

  repeat(): Repetition {
    return { validity: this.#life };
  }

  start(): void {
    if (this.#everyMs === 0) return;
    this.#timer = this.#environment.clock.after(this.#everyMs, () => {
      try {
        this.#zones = this.#load();
        this.#life.isOver = true;
        this.#life = { isOver: false };
      } catch (error) {
        this.#environment.log.warn("Cannot read zones again: those of before are served", { error: messageOf(error) });
      }
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  zoneRecords(zone: string): readonly RR[] | undefined {
    return this.#zones.get(zone)?.records;
  }

  #serve(request: Request, next: Handler, whole: () => Handler): Outcome {
    const { query } = request;
    const key = closestZone(query.name, [...this.#zones.keys()]);
    const zone = key === undefined ? undefined : this.#zones.get(key);
    if (zone === undefined) return next(request);
    const { rcode, isAuthoritative, records, outside } = zone.find(query.name, query.type);
    if (rcode === rcodes.nxDomain && closestZone(query.name, this.#fallthrough) !== undefined) return next(request);
    const answer = answerOf({
      plugin: this.name,
      rcode,
      flags: isAuthoritative ? flags.authoritative : 0,
      isLive: true,
      validity: this.#life,
      sections: encodeSections(query.name, records),
    });
    if (outside === undefined || request.depth >= depthMax) return answer;
    return this.#chase(request, answer, { outside, whole: whole() });
  }

  async #chase(
    request: Request,
    answer: Answer,
    { outside, whole }: { readonly outside: string; readonly whole: Handler },
  ): Promise<Answer> {
    const { query } = request;
    const inner = derivedQuery(query, outside);
    const found = await whole({ ...request, query: inner, depth: request.depth + 1 });
    if (found.rcode !== rcodes.noError) return answer;
    const records = recordsOf(query, answer);
    const all = [...records.answer, ...recordsOf(inner, found).answer];
    return { ...answer, validity: undefined, sections: encodeSections(query.name, { answer: all }) };
  }
}

function reloadOf(block: readonly Directive[], otherwiseMs: number): number {
  const option = block.findLast(({ name }) => name === "reload");
  return option === undefined ? otherwiseMs : durationOf(option, oneArg(option, "a duration"));
}

/** The plugin `file DBFILE [ZONES…] { reload DURATION; fallthrough; upstream }`. */
export const file: PluginKind = {
  name: "file",
  setup(directives, site, environment) {
    const block = directives.flatMap((directive) => onlyOptions(directive, ["reload", "fallthrough", "upstream"]));
    const load = (): ReadonlyMap<string, ZoneData> => {
      const zones = new Map<string, ZoneData>();
      for (const directive of directives) {
        const [path, ...texts] = directive.args;
        if (path === undefined) complain(directive, "wanted a zone file");
        for (const zone of zonesOf(directive, texts, site.zones))
          zones.set(zone, readZone(directive, path, zone, environment));
      }
      return zones;
    };
    return new ZonesPlugin("file", environment, {
      everyMs: reloadOf(block, 60_000),
      fallthrough: fallthroughOf(block, site.zones),
      load,
    });
  },
};

function readZone(directive: Directive, path: string, zone: string, { readFile }: Environment): ZoneData {
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    return complain(directive, `cannot read ${path}: ${messageOf(error)}`);
  }
  const data = new ZoneData(zone, parseZoneFile(text, path, zone));
  return data.hasSOA ? data : complain(directive, `${path} has no SOA of its zone`);
}

/** The plugin `auto [ZONES…] { directory DIR [REGEX ORIGIN]; reload DURATION }`. */
export const auto: PluginKind = {
  name: "auto",
  setup([directive], site, environment) {
    if (directive === undefined) throw new TypeError("auto needs a directive");
    const block = onlyOptions(directive, ["directory", "reload", "fallthrough", "upstream"]);
    const directory = block.find(({ name }) => name === "directory") ?? complain(directive, "wanted directory DIR");
    const [folder = "", regexText = "db\\.(.*)", originText = "{1}"] = directory.args;
    const pattern = regexOf(directory, regexText);
    const allowed = zonesOf(directive, directive.args, site.zones);
    const load = (): ReadonlyMap<string, ZoneData> => {
      const zones = new Map<string, ZoneData>();
      for (const name of environment.readFolder(folder)) {
        const match = pattern.exec(name);
        if (match === null) continue;
        const zone = toKey(originText.replaceAll(/\{([0-9])\}/g, (_, index: string) => match[Number(index)] ?? ""));
        if (zone === undefined || closestZone(zone, allowed) === undefined) continue;
        zones.set(zone, readZone(directory, join(folder, name), zone, environment));
      }
      return zones;
    };
    return new ZonesPlugin("auto", environment, {
      everyMs: reloadOf(block, 60_000),
      fallthrough: fallthroughOf(block, allowed),
      load,
    });
  },
};
