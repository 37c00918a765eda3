/**
 * The header block of an HTTP/1 head: text → parallel arrays of names, lower-case keys and values, in order, as
 * received.
 *
 *   request.ts, response.ts ─▶ parseHeaders() ─▶ Headers ─▶ framing.ts, route/match.ts, write.ts
 *
 * Input is the scanner's text: CRLF line ends only, no control bytes. Bytes from 0x80 in values are kept as they are
 * (RFC 9110 §5.5 obs-text): applications send UTF-8 there, and nothing here acts on it.
 * Source: RFC 9112 §5. Names are looked up in a cache of fixed size: a known name costs no checks and no new text.
 */
import { HTAB, SP, isAll, tokenBytes } from "./bytes.ts";
import { HTTP1Error } from "./errors.ts";
import type { HeadMarks } from "./scanner.ts";

/** Most header lines in one head, where none is said: Envoy's default. */
const headersMaxDefault = 100;
/** Places for names that were met, a power of two; where two want the same one the later has it. */
const placeCount = 1024;
/** Longest name that is kept, in bytes. */
const keptMax = 64;

/** Headers that are for one hop only, whether Connection lists them or not. Each is written anew where it is needed. */
export const hopHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "content-length",
  "upgrade",
  // Belongs to "Upgrade: h2c", which is not forwarded: upgrading behind the proxy's back is a smuggling path.
  "http2-settings",
]);

/** So many headers `HeaderLines.hopMask` tells of: the rest is looked up. */
export const hopBits = 31;

export interface Headers {
  /** As received: forwarded with the same capitals. */
  readonly names: readonly string[];
  /** Lower case, for comparison. */
  readonly keys: readonly string[];
  /** Without the white space around them. */
  readonly values: readonly string[];
  /** Where the first of them stand, letter for letter as they are written; undefined: nowhere. */
  readonly lines?: HeaderLines | undefined;
}

/** The first `count` headers as "Name: value" and CRLF, one behind the other from offset `from` of `text`. */
export interface HeaderLines {
  readonly text: string;
  readonly from: number;
  readonly count: number;
  /** A bit for each of the first `hopBits`, from the lowest: 1 where it is one of `hopHeaders`. */
  readonly hopMask: number;
}

interface KnownName {
  readonly name: string;
  readonly key: string;
  readonly isHop: boolean;
}

const knownNames: (KnownName | undefined)[] = Array.from({ length: placeCount }, () => undefined);

export interface ParseOptions {
  /** Most header lines; 100 where none is said. */
  readonly countMax?: number | undefined;
  /** Where the lines stand, the start line first; undefined: they are looked for. */
  readonly marks?: HeadMarks | undefined;
}

/** Headers of `text` from offset `from` (behind the start line) to the empty line that ends it. */
export function parseHeaders(
  text: string,
  from: number,
  { countMax = headersMaxDefault, marks }: ParseOptions = {},
): Headers {
  const lines = marks === undefined ? 0 : marks.count - 1;
  // Arrays that grow would have room for 17.
  const names = Array<string>(lines);
  const keys = Array<string>(lines);
  const values = Array<string>(lines);
  const end = text.length - 2;
  let areWritten = true;
  let at = from;
  let count = 0;
  let hopMask = 0;
  while (at < end) {
    // One letter is found faster than two, and no CR is without its LF.
    const lineEnd = marks === undefined ? text.indexOf("\r", at) : marks.ends[count + 1]!;
    const colon = marks === undefined ? text.indexOf(":", at) : marks.colons[count + 1]!;
    if (colon < 0 || colon > lineEnd) throw badLine(text, at);
    if (count === countMax)
      throw new HTTP1Error("TOO_MANY_HEADERS", 431, `Cannot parse headers: there are more than ${countMax}`);
    const { name, key, isHop } = nameAt(text, at, colon);
    // One blank in front of it, and none behind it.
    const start = colon + 2;
    const isPlain =
      text.charCodeAt(start - 1) === SP &&
      (start === lineEnd || !(isBlank(text.charCodeAt(start)) || isBlank(text.charCodeAt(lineEnd - 1))));
    const value = isPlain ? text.slice(start, lineEnd) : trimmed(text, colon + 1, lineEnd);
    names[count] = name;
    keys[count] = key;
    values[count] = value;
    if (isHop && count < hopBits) hopMask |= 1 << count;
    count++;
    if (!isPlain) areWritten = false;
    at = lineEnd + 2;
  }
  return { names, keys, values, lines: areWritten ? { text, from, count, hopMask } : undefined };
}

/** The first value of `key` (lower case), or undefined. */
export function headerValue(headers: Headers, key: string): string | undefined {
  const index = headers.keys.indexOf(key);
  return index < 0 ? undefined : headers.values[index];
}

/** `headers` with one more line; `key` is `name` in lower case. */
export function withHeader({ names, keys, values, lines }: Headers, name: string, key: string, value: string): Headers {
  return { names: appended(names, name), keys: appended(keys, key), values: appended(values, value), lines };
}

/** All values of `key` joined with a comma, as RFC 9110 §5.2 has it, or undefined. */
export function joinedHeaderValue(headers: Headers, key: string): string | undefined {
  const first = headers.keys.indexOf(key);
  if (first < 0) return undefined;
  let joined = headers.values[first]!;
  for (let at = headers.keys.indexOf(key, first + 1); at >= 0; at = headers.keys.indexOf(key, at + 1))
    joined += `,${headers.values[at]!}`;
  return joined;
}

/** What a spread does, at half its cost: two of them are every request's way. */
function appended(list: readonly string[], last: string): readonly string[] {
  const { length } = list;
  const copy = Array<string>(length + 1);
  for (let at = 0; at < length; at++) copy[at] = list[at]!;
  copy[length] = last;
  return copy;
}

function nameAt(text: string, from: number, to: number): KnownName {
  const length = to - from;
  const place = (text.charCodeAt(from) * 31 + text.charCodeAt(to - 1) * 7 + length * 113) & (placeCount - 1);
  const known = knownNames[place];
  if (known !== undefined && known.name.length === length && text.startsWith(known.name, from)) return known;
  const name = text.slice(from, to);
  if (!isAll(name, tokenBytes)) throw badName(name);
  if (length > keptMax) return { name, key: name.toLowerCase(), isHop: false };
  // The copy keeps the whole head's text from staying alive for a name of a few bytes.
  const copy = Buffer.from(name, "latin1").toString("latin1");
  const key = copy.toLowerCase();
  const met = { name: copy, key, isHop: hopHeaders.has(key) };
  knownNames[place] = met;
  return met;
}

function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === SP || code === HTAB;
}

function badLine(text: string, at: number): HTTP1Error {
  if (isBlank(text.charCodeAt(at))) return obsFold();
  return new HTTP1Error("BAD_HEADER", 400, "Cannot parse headers: a line has no colon");
}

function badName(name: string): HTTP1Error {
  if (name.length === 0) return new HTTP1Error("BAD_HEADER", 400, "Cannot parse headers: a name is empty");
  if (isBlank(name.charCodeAt(0))) return obsFold();
  return new HTTP1Error("BAD_HEADER", 400, "Cannot parse headers: a name has a byte that is not allowed");
}

function obsFold(): HTTP1Error {
  return new HTTP1Error("OBS_FOLD", 400, "Cannot parse headers: a line starts with white space (folding is obsolete)");
}
