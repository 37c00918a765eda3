/**
 * loadbalance: the order of addresses in an answer, as most downstreams take the first; aliases stay before them.
 *
 *   Answer ─▶ drawn by chance (round_robin), or one drawn by its weight first (weighted FILE) ─▶ Answer
 *
 * A weight file is read again every `reload`; one that is wrong then leaves the old weights, with a line in the log.
 * Follows: CoreDNS plugin/loadbalance.
 */
import type { Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Random } from "#lib/random.ts";
import { canonical, isInRange, parseRange, toBytes } from "../address.ts";
import { type Answer, recordsOf, withRecords } from "../answer.ts";
import { complain, type Directive, durationOf, noArgs, oneArg, onlyOptions } from "../corefile/directive.ts";
import { DNSError } from "../errors.ts";
import type { Environment, Handler, Plugin, PluginKind, Repetition, Request } from "../plugin.ts";
import { rcodes, types } from "../wire/constants.ts";
import { toKey } from "../wire/name.ts";
import type { RR } from "../wire/record.ts";
import { mapAnswer } from "./shape.ts";

/** Name (a key) → address → weight. What is not listed weighs 1. */
export type Weights = ReadonlyMap<string, ReadonlyMap<string, number>>;

type Order = (records: readonly RR[]) => readonly RR[];

const weightMax = 255;
const reloadDefaultMs = 30_000;

/** The plugin `loadbalance [round_robin | weighted FILE] { reload …, prefer CIDR… }`. */
export const loadbalance: PluginKind = {
  name: "loadbalance",
  setup([directive], _site, environment) {
    if (directive === undefined) throw new TypeError("loadbalance needs a directive");
    const { random } = environment;
    const [policy = "round_robin", ...args] = directive.args;
    const options = onlyOptions(directive, policy === "weighted" ? ["prefer", "reload"] : ["prefer"]);
    const rankOf = readPreferred(options.filter(({ name }) => name === "prefer"));
    const ranked =
      (order: Order): Order =>
      (records) =>
        order(records).toSorted((a, b) => rankOf(a) - rankOf(b));
    if (policy === "round_robin") {
      noArgs({ ...directive, args });
      const order = ranked((records) => shuffle(records, random));
      return { name: "loadbalance", repeat, wrap: (next) => balanced(next, order) } satisfies Plugin;
    }
    if (policy !== "weighted") return complain(directive, `policy "${policy}", wanted round_robin or weighted FILE`);
    const file = oneArg({ ...directive, args }, "weighted FILE");
    const reload = options.findLast(({ name }) => name === "reload");
    const reloadMs = reload === undefined ? reloadDefaultMs : durationOf(reload, oneArg(reload, "a duration"));
    const weighted = new WeightFile({ directive, file, reloadMs, environment });
    const order = ranked((records) => heaviestFirst(records, weighted.weights, random));
    return {
      name: "loadbalance",
      repeat,
      wrap: (next) => balanced(next, order),
      start: () => weighted.start(),
      stop: () => weighted.stop(),
    } satisfies Plugin;
  },
};

/** How far back an address stands: that of the first range it is in, or behind all. */
function readPreferred(options: readonly Directive[]): (record: RR) => number {
  const preferred = options.flatMap((option) =>
    option.args.map((text) => parseRange(text) ?? complain(option, `"${text}", wanted a range such as 10.0.0.0/8`)),
  );
  return ({ data }) => {
    const at = preferred.findIndex((range) => isInRange(data, range));
    return at < 0 ? preferred.length : at;
  };
}

/** Whether there is an order to draw. */
function isBalanced({ query }: Request, { rcode, sections }: Answer): boolean {
  if (rcode !== rcodes.noError || sections.counts[0] < 2) return false;
  return query.type === types.a || query.type === types.aaaa || query.type === types.mx;
}

function repeat(request: Request, answer: Answer): Repetition | undefined {
  return isBalanced(request, answer) ? undefined : {};
}

function balanced(next: Handler, order: Order): Handler {
  return mapAnswer(next, (request: Request, answer: Answer) => {
    if (!isBalanced(request, answer)) return answer;
    const { query } = request;
    const records = recordsOf(query, answer);
    const isDrawn = ({ type }: RR): boolean => type === types.a || type === types.aaaa || type === types.mx;
    const isAlias = ({ type }: RR): boolean => type === types.cname || type === types.dname;
    const others = records.answer.filter((record) => !isDrawn(record));
    const aliases = others.filter(isAlias);
    const rest = others.filter((record) => !isAlias(record));
    const sorted = order(records.answer.filter(isDrawn));
    return withRecords(query, answer, { ...records, answer: [...aliases, ...sorted, ...rest] });
  });
}

function shuffle(records: readonly RR[], random: Random): RR[] {
  const all = [...records];
  for (let at = all.length - 1; at > 0; at--) {
    const other = Math.floor(random.next() * (at + 1));
    const [a, b] = [all[at], all[other]];
    if (a !== undefined && b !== undefined) [all[at], all[other]] = [b, a];
  }
  return all;
}

/** One address, drawn by its share of all weights, before the others; those of names without weights as they came. */
function heaviestFirst(records: readonly RR[], weights: Weights, random: Random): readonly RR[] {
  const ofName = records.flatMap(({ name }) => weights.get(name) ?? [])[0];
  if (ofName === undefined) return records;
  const weightOf = ({ data, type }: RR): number => (type === types.mx ? 0 : (ofName.get(canonical(data)) ?? 1));
  let left = random.next() * records.reduce((sum, record) => sum + weightOf(record), 0);
  const drawn = records.find((record) => (left -= weightOf(record)) < 0);
  return drawn === undefined ? records : [drawn, ...records.filter((record) => record !== drawn)];
}

interface WeightFileOptions {
  readonly directive: Directive;
  readonly file: string;
  /** 0: read once. */
  readonly reloadMs: number;
  readonly environment: Environment;
}

class WeightFile {
  weights: Weights;
  readonly #options: WeightFileOptions;
  #text: string;
  #timer: Timer | undefined;

  constructor(options: WeightFileOptions) {
    const { directive, file, environment } = options;
    this.#options = options;
    try {
      this.#text = environment.readFile(file);
      this.weights = parseWeights(this.#text, file);
    } catch (error) {
      if (error instanceof DNSError) throw error;
      complain(directive, `cannot read ${file}, wanted a file of weights`);
    }
  }

  start(): void {
    const { reloadMs, environment } = this.#options;
    if (reloadMs === 0) return;
    this.#timer = environment.clock.after(reloadMs, () => {
      this.#read();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #read(): void {
    const { file, environment } = this.#options;
    try {
      const text = environment.readFile(file);
      if (text === this.#text) return;
      this.#text = text;
      this.weights = parseWeights(text, file);
    } catch (error) {
      environment.log.error("Cannot take the changed weights: the old ones are used", { error: messageOf(error) });
    }
  }
}

/** Lines `NAME`, each followed by lines `ADDRESS WEIGHT`; `#` begins a comment. Throws DNSError Corefile. */
export function parseWeights(text: string, file: string): Weights {
  const weights = new Map<string, Map<string, number>>();
  let current: Map<string, number> | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const words = line.replace(/#.*/, "").trim().split(/\s+/);
    const [first = "", weightText] = words;
    if (first === "") continue;
    const fail = (wanted: string): never => {
      throw new DNSError("Corefile", `Cannot read ${file}:${index + 1}: "${line.trim()}", wanted ${wanted}`);
    };
    if (weightText === undefined) {
      const name = toKey(first) ?? fail("a name");
      if (toBytes(first) !== undefined) fail("an address with its weight");
      weights.set(name, (current = new Map<string, number>()));
      continue;
    }
    const address = toBytes(first);
    const weight = Number(weightText);
    const isWeight = /^[0-9]{1,3}$/.test(weightText) && weight >= 1 && weight <= weightMax;
    if (address === undefined || !isWeight || words.length > 2) fail(`an address and a weight from 1 to ${weightMax}`);
    else if (current === undefined) fail("a name before its addresses");
    else current.set(canonical(address), weight);
  }
  return weights;
}
