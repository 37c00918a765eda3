/**
 * Zone files, and what an authoritative server says of their names. Pure.
 *
 *   text ─▶ parseZoneFile ─▶ RR[] ─▶ ZoneData.find(name, type) ─▶ records and rcode
 *
 * Knows $ORIGIN, $TTL, parentheses, wildcards (RFC 4592), delegations and aliases within the zone. $INCLUDE and
 * $GENERATE are refused. Signed zones are served as they are, without proofs.
 */
import { DNSError } from "./errors.ts";
import { rcodes, types } from "./wire/constants.ts";
import { soaMinimum, targetOf } from "./wire/data.ts";
import { parentOf, suffixOffset, toText } from "./wire/name.ts";
import type { Records, RR } from "./wire/record.ts";
import { parseRecord, parseTTL, resolveName, splitWords } from "./wire/text.ts";

/** Records of a zone, at most. */
const recordsMax = 1_000_000;
const aliasesMax = 10;

/** The records of a zone file. Throws DNSError ZoneFile with file and line. */
export function parseZoneFile(text: string, file: string, zone: string): readonly RR[] {
  const records: RR[] = [];
  let origin = zone;
  let owner = zone;
  let ttl = 3600;
  for (const { line, words, hasOwner } of logicalLines(text)) {
    const fail = (problem: string): never => {
      throw new DNSError("ZoneFile", `Cannot read ${file}:${line}: ${problem}`);
    };
    const [first = "", second = ""] = words;
    if (first.startsWith("$")) {
      if (first === "$ORIGIN") origin = resolveName(second, origin) ?? fail(`"${second}", wanted a name`);
      else if (first === "$TTL") ttl = parseTTL(second) ?? fail(`"${second}", wanted seconds`);
      else fail(`${first} is not supported, wanted $ORIGIN or $TTL`);
      continue;
    }
    const record =
      parseRecord(words, { origin, owner, ttl }, hasOwner) ?? fail(`"${words.join(" ")}", wanted a record`);
    if (suffixOffset(record.name, zone) < 0) fail(`${toText(record.name)} is outside ${toText(zone)}`);
    owner = record.name;
    records.push(record);
    if (records.length > recordsMax) fail(`more than ${recordsMax} records`);
  }
  return records;
}

/** Lines with parentheses joined. */
function* logicalLines(text: string): Iterable<{ line: number; words: readonly string[]; hasOwner: boolean }> {
  let words: string[] = [];
  let depth = 0;
  let start = 1;
  let hasOwner = true;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (depth === 0) {
      words = [];
      start = index + 1;
      hasOwner = !/^\s/.test(line);
    }
    for (const word of splitWords(line)) {
      if (word.startsWith('"')) words.push(word);
      else {
        depth += word.split("(").length - word.split(")").length;
        const bare = word.replaceAll(/[()]/g, "");
        if (bare !== "") words.push(bare);
      }
    }
    if (depth <= 0 && words.length > 0) yield { line: start, words, hasOwner };
  }
}

/** What a zone says of a name. `outside`: an alias that leads out of the zone. */
export interface ZoneAnswer {
  readonly rcode: number;
  readonly isAuthoritative: boolean;
  readonly records: Records;
  readonly outside: string | undefined;
}

/** The records of one zone, by name. */
export class ZoneData {
  readonly zone: string;
  readonly records: readonly RR[];
  readonly #byName: ReadonlyMap<string, readonly RR[]>;
  /** Names between others, without records. */
  readonly #empty = new Set<string>();
  readonly #soa: RR | undefined;

  constructor(zone: string, records: readonly RR[]) {
    this.zone = zone;
    this.records = records;
    this.#byName = Map.groupBy(records, ({ name }) => name);
    this.#soa = records.find(({ type, name }) => type === types.soa && name === zone);
    for (const name of this.#byName.keys()) {
      for (let parent = name; parent.length > zone.length; parent = parentOf(parent)) {
        if (!this.#byName.has(parent)) this.#empty.add(parent);
      }
    }
  }

  get hasSOA(): boolean {
    return this.#soa !== undefined;
  }

  find(name: string, type: number): ZoneAnswer {
    const answer: RR[] = [];
    let current = name;
    for (let length = 0; length < aliasesMax; length++) {
      const referral = this.#delegationOf(current, type);
      if (referral !== undefined) return this.#refer(referral, answer);
      const found = this.#recordsAt(current);
      if (found === undefined) return this.#negative(answer.length > 0 ? rcodes.noError : rcodes.nxDomain, answer);
      const matching = found.filter((record) => record.type === type || type === types.any);
      const alias = found.find((record) => record.type === types.cname);
      if (matching.length > 0) return this.#positive([...answer, ...matching]);
      if (alias === undefined) return this.#negative(rcodes.noError, answer);
      answer.push(alias);
      const target = targetOf(alias) ?? "\0";
      if (suffixOffset(target, this.zone) < 0) return { ...this.#positive(answer), outside: target };
      current = target;
    }
    return this.#positive(answer);
  }

  /** Records of the name, or of the wildcard that stands for it; undefined when there is no such name. */
  #recordsAt(name: string): readonly RR[] | undefined {
    const own = this.#byName.get(name) ?? (this.#empty.has(name) || name === this.zone ? [] : undefined);
    if (own !== undefined) return own;
    for (let parent = parentOf(name); parent.length >= this.zone.length; parent = parentOf(parent)) {
      const wild = this.#byName.get(`\x01*${parent}`);
      if (wild !== undefined) return wild.map((record) => ({ ...record, name }));
      // The closest name that exists decides (RFC 4592 §3.3.1).
      if (this.#byName.has(parent) || this.#empty.has(parent)) return undefined;
      if (parent === this.zone) return undefined;
    }
    return undefined;
  }

  /** NS records between the apex and the name: the name is another server's. */
  #delegationOf(name: string, type: number): readonly RR[] | undefined {
    let found: readonly RR[] | undefined;
    for (let at = name; at.length > this.zone.length; at = parentOf(at)) {
      const nameservers = this.#byName.get(at)?.filter((record) => record.type === types.ns) ?? [];
      if (nameservers.length > 0 && !(at === name && type === types.ds)) found = nameservers;
    }
    return found;
  }

  #refer(authority: readonly RR[], answer: readonly RR[]): ZoneAnswer {
    const additional = authority.flatMap((record) => this.#addressesOf(targetOf(record)));
    return {
      rcode: rcodes.noError,
      isAuthoritative: answer.length > 0,
      records: { answer, authority, additional },
      outside: undefined,
    };
  }

  #positive(answer: readonly RR[]): ZoneAnswer {
    const additional = answer
      .filter(({ type }) => type === types.srv || type === types.mx || type === types.ns)
      .flatMap((record) => this.#addressesOf(targetOf(record)));
    return { rcode: rcodes.noError, isAuthoritative: true, records: { answer, additional }, outside: undefined };
  }

  #negative(rcode: number, answer: readonly RR[]): ZoneAnswer {
    const soa = this.#soa;
    const authority = soa === undefined ? [] : [{ ...soa, ttl: Math.min(soa.ttl, soaMinimum(soa)) }];
    return { rcode, isAuthoritative: true, records: { answer, authority }, outside: undefined };
  }

  #addressesOf(name: string | undefined): readonly RR[] {
    const all = name === undefined ? [] : (this.#byName.get(name) ?? []);
    return all.filter(({ type }) => type === types.a || type === types.aaaa);
  }
}
