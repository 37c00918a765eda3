/**
 * Records as zone files and dig write them.
 *
 *   "www 300 IN A 10.0.0.1" ─▶ parseRecord ─▶ RR
 *
 * Types known by name: A, AAAA, CNAME, NS, PTR, DNAME, MX, SRV, TXT, SPF, HINFO, SOA, CAA; any other as `\# LENGTH
 * HEX` (RFC 3597 §5). Follows: RFC 1035 §5.
 */
import { toBytes } from "../address.ts";
import { classIN, types, typeNumber } from "./constants.ts";
import { characterStrings } from "./data.ts";
import { toKey } from "./name.ts";
import type { RR } from "./record.ts";

/** What a line does not say itself. */
export interface LineContext {
  /** Key that relative names end in. */
  readonly origin: string;
  /** Key of the line before. */
  readonly owner: string;
  readonly ttl: number;
}

/** Words of a line: white space parts, quotes keep together, `;` opens a comment. */
export function splitWords(line: string): readonly string[] {
  return [...line.matchAll(/"((?:\\.|[^"\\])*)"|;.*$|([^\s;"]+)/g)].flatMap(([whole, quoted, plain]) => {
    if (whole.startsWith(";")) return [];
    return quoted === undefined ? [plain ?? ""] : [`"${unescape(quoted)}`];
  });
}

/** `\"` and `\065` in text. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-9]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number(code) & 255) : code,
  );
}

/** The key of a name in a zone file: relative to the origin unless it ends in a dot. */
export function resolveName(text: string, origin: string): string | undefined {
  if (text === "@") return origin;
  if (text.endsWith(".")) return toKey(text);
  const relative = toKey(text);
  const name = relative === undefined ? undefined : relative.slice(0, -1) + origin;
  return name === undefined || name.length > 255 ? undefined : name;
}

/** A record of one line; undefined when it is none. `hasOwner`: the line starts with a name. */
export function parseRecord(words: readonly string[], context: LineContext, hasOwner: boolean): RR | undefined {
  const rest = [...words];
  const name = hasOwner ? resolveName(rest.shift() ?? "", context.origin) : context.owner;
  let ttl = context.ttl;
  // TTL and class may come in either order.
  for (let word = rest[0]; word !== undefined; word = rest[0]) {
    const seconds = parseTTL(word);
    if (seconds !== undefined) ttl = seconds;
    else if (word.toUpperCase() !== "IN") break;
    rest.shift();
  }
  const type = typeNumber(rest.shift() ?? "");
  if (name === undefined || type === undefined) return undefined;
  const data = parseData(type, rest, context.origin);
  return data === undefined ? undefined : { name, type, class: classIN, ttl, data };
}

/** Seconds, or `1h30m` as BIND has it. */
export function parseTTL(text: string): number | undefined {
  if (!/^([0-9]+[smhdw]?)+$/i.test(text) || text.length > 12) return undefined;
  const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  let seconds = 0;
  for (const [, number, unit] of text.toLowerCase().matchAll(/([0-9]+)([smhdw]?)/g)) {
    seconds += Number(number) * (units[unit ?? ""] ?? 1);
  }
  return seconds <= 2 ** 31 - 1 ? seconds : undefined;
}

function parseData(type: number, words: readonly string[], origin: string): Uint8Array | undefined {
  if (words[0] === "\\#") return parseGeneric(words);
  const [first = "", second = "", third = "", fourth = ""] = words;
  switch (type) {
    case types.a:
    case types.aaaa: {
      const bytes = toBytes(first);
      return bytes?.length === (type === types.a ? 4 : 16) && words.length === 1 ? bytes : undefined;
    }
    case types.cname:
    case types.ns:
    case types.ptr:
    case types.dname:
      return words.length === 1 ? nameBytes(first, origin) : undefined;
    case types.mx:
      return join(numbers(2, first), nameBytes(second, origin));
    case types.srv:
      return join(numbers(2, first, second, third), nameBytes(fourth, origin));
    case types.txt:
    case types.spf:
    case types.hinfo:
      return words.length === 0 ? undefined : characterStrings(words.map((word) => word.replace(/^"/, "")));
    case types.soa:
      return join(
        join(nameBytes(first, origin), nameBytes(second, origin)),
        numbers(4, third, ...words.slice(3).map((word) => String(parseTTL(word) ?? "?"))),
      );
    case types.caa:
      return join(
        join(/^[0-9]{1,3}$/.test(first) ? Uint8Array.of(Number(first)) : undefined, characterStrings([second])),
        Buffer.from(third.replace(/^"/, ""), "latin1"),
      );
    default:
      return undefined;
  }
}

function parseGeneric([, length = "", ...hex]: readonly string[]): Uint8Array | undefined {
  const text = hex.join("");
  const bytes = Buffer.from(text, "hex");
  return bytes.length === Number(length) && bytes.length * 2 === text.length ? bytes : undefined;
}

function nameBytes(text: string, origin: string): Uint8Array | undefined {
  const name = text === "" ? undefined : resolveName(text, origin);
  return name === undefined ? undefined : Buffer.from(name, "latin1");
}

/** Numbers of `size` bytes each. */
function numbers(size: 2 | 4, ...texts: readonly string[]): Uint8Array | undefined {
  const bytes = Buffer.alloc(size * texts.length);
  for (const [index, text] of texts.entries()) {
    const number = Number(text);
    if (!/^[0-9]{1,10}$/.test(text) || number >= 2 ** (8 * size)) return undefined;
    bytes.writeUIntBE(number, index * size, size);
  }
  return bytes;
}

function join(first: Uint8Array | undefined, second: Uint8Array | undefined): Uint8Array | undefined {
  return first === undefined || second === undefined ? undefined : Buffer.concat([first, second]);
}
