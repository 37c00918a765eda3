/**
 * Heads → text for the next hop. Pure. Framing and connection headers are always ours, whatever was received.
 *
 *   RequestHead ─▶ formatRequestHead() ─▶ upstream     ResponseHead ─▶ formatResponseHead() ─▶ downstream
 *
 * Invariant: what is written has one reading: at most one of Content-Length and Transfer-Encoding, one Host.
 * Source: RFC 9110 §7.6.1 (headers for one hop), RFC 9112 §6.
 */
import { formatDate } from "./date.ts";
import type { Framing } from "./framing.ts";
import { type Headers, hopBits, hopHeaders } from "./headers.ts";
import type { RequestHead } from "./request.ts";
import type { ResponseHead } from "./response.ts";

/** Never dropped because Connection lists them: a downstream could otherwise strip what the upstream decides on. */
export const keptWhenListed: ReadonlySet<string> = new Set([
  "host",
  "authorization",
  "cookie",
  "x-request-id",
  "x-forwarded-for",
  "x-forwarded-proto",
]);

/** Headers that the proxy sets on each request. */
export interface RequestHeaderSource {
  /** Lower-case names that are dropped from the request, because `lines` says them anew. */
  readonly replaces: ReadonlySet<string>;
  /** Whole header lines, each with its CRLF, for a request that came with `head` and goes on with `sent`. */
  lines(head: RequestHead, sent: RequestHead): string;
  /** Makes an x-request-id; undefined: this source sets none. */
  readonly newRequestId?: () => string;
}

/** A request as it goes out. */
export interface OutgoingRequest {
  readonly head: RequestHead;
  /** Headers that the proxy sets; `addedLines` are its lines for this request. */
  readonly added: RequestHeaderSource | undefined;
  readonly addedLines: string;
  /** Stands in where HTTP/1.0 came without Host. */
  readonly authority: string;
}

const none: ReadonlySet<string> = new Set();
const requestVersion = " HTTP/1.1\r\n";
const statusLineStart = "HTTP/1.1 ";
const chunkedLine = "Transfer-Encoding: chunked\r\n";
/** Methods whose requests say nothing of a body that they do not have, as in Envoy. */
const bodiless: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "TRACE", "CONNECT"]);

/** The head for the upstream. */
export function formatRequestHead({ head, added, addedLines, authority }: OutgoingRequest): string {
  const { listed } = head.hop;
  const hasLine = hasRequestLine(head);
  let text = hasLine ? "" : `${head.method} ${head.target} HTTP/1.1\r\n`;
  if (head.host === "") text += `Host: ${authority}\r\n`;
  const upgrade = upgradeOf(head);
  // RFC 9110 §8.6: where a body is expected its absence is said.
  const isEmpty = head.framing.kind === "none" && upgrade === undefined && !bodiless.has(head.method);
  const dropped = added?.replaces ?? none;
  const length = isEmpty ? "0" : lengthOf(head.framing);
  text += passedLines(head.headers, { listed, kept: keptWhenListed, dropped, length, hasStartLine: hasLine });
  text += addedLines;
  if (head.framing.kind === "chunked") text += chunkedLine;
  if (upgrade !== undefined) text += `Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n`;
  return `${text}\r\n`;
}

/** The request line as it is to be written stands in front of the lines that were received. */
function hasRequestLine({ method, target, host, headers: { lines } }: RequestHead): boolean {
  if (lines === undefined || lines.count === 0 || host === "") return false;
  const { text, from } = lines;
  const targetAt = method.length + 1;
  const isAsLong = from === targetAt + target.length + requestVersion.length;
  return (
    isAsLong &&
    text.startsWith(requestVersion, targetAt + target.length) &&
    text.startsWith(target, targetAt) &&
    text.startsWith(method)
  );
}

/**
 * The protocol that the request asks to switch to and that may be forwarded, or undefined. h2c is left out: the request
 * is then answered in HTTP/1.1, as RFC 9110 §7.8 allows (Java's HttpClient offers it on each first request).
 */
export function upgradeOf(head: RequestHead): string | undefined {
  const { upgrade } = head.hop;
  if (upgrade === undefined || head.protocol === "HTTP/1.0" || head.method === "CONNECT") return undefined;
  return upgrade.toLowerCase().includes("h2c") ? undefined : upgrade;
}

export interface ResponseOptions {
  /** Framing towards the downstream. */
  readonly framing: Framing;
  /** Keep Content-Length or Transfer-Encoding as received, with no body behind: answers to HEAD, and 304. */
  readonly isBodiless: boolean;
  readonly keepsAlive: boolean;
  /** Wall-clock time, in ms since 1970: of a response without Date. */
  readonly wallMs: () => number;
}

/** The head for the downstream. The status line says HTTP/1.1 always (RFC 9112 §2.3). */
export function formatResponseHead(head: ResponseHead, options: ResponseOptions): string {
  const { listed } = head.hop;
  const hasLine = hasStatusLine(head);
  const isChunked = options.isBodiless
    ? head.status !== 204 && head.hop.contentLength === undefined && head.hop.isChunked
    : options.framing.kind === "chunked";
  const length = options.isBodiless ? receivedLengthOf(head) : lengthOf(options.framing);
  let text = hasLine ? "" : `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  text += passedLines(head.headers, { listed, kept: none, dropped: none, length, hasStartLine: hasLine });
  if (!head.headers.keys.includes("date") || listed.includes("date"))
    text += `Date: ${formatDate(options.wallMs())}\r\n`;
  if (isChunked) text += chunkedLine;
  if (!options.keepsAlive) text += "Connection: close\r\n";
  return `${text}\r\n`;
}

/** The status line as it is to be written stands in front of the lines that were received. */
function hasStatusLine({ status, reason, headers: { lines } }: ResponseHead): boolean {
  if (lines === undefined || lines.count === 0) return false;
  const { text, from } = lines;
  return (
    from === statusLineStart.length + "200 ".length + reason.length + "\r\n".length &&
    text.startsWith(statusLineStart) &&
    text.startsWith(String(status), statusLineStart.length) &&
    text.startsWith(reason, from - reason.length - "\r\n".length)
  );
}

/** A 204 has none (RFC 9110 §8.6). */
function receivedLengthOf({ status, hop: { contentLength } }: ResponseHead): string | undefined {
  return contentLength === undefined || status === 204 ? undefined : String(contentLength);
}

interface Passing {
  /** In Connection. */
  readonly listed: readonly string[];
  /** Those that pass although they are listed. */
  readonly kept: ReadonlySet<string>;
  /** Others that do not pass. */
  readonly dropped: ReadonlySet<string>;
  /** What Content-Length says, which is there once; undefined: it is not there. */
  readonly length: string | undefined;
  /** The line in front of those that were received goes along. */
  readonly hasStartLine: boolean;
}

/**
 * The headers that pass, as lines. Those that stand side by side in what was received are taken from there in one
 * piece: a line put together anew is four pieces, and pieces are what the text costs when it is written.
 */
function passedLines({ names, keys, values, lines }: Headers, passing: Passing): string {
  const { listed, kept, dropped, length, hasStartLine } = passing;
  const count = lines?.count ?? 0;
  const drops = dropped.size > 0;
  let text = "";
  let isLengthSaid = length === undefined;
  /** The end of the line at hand, and where those begin that pass and are not in `text`. */
  let end = lines?.from ?? 0;
  let from = hasStartLine ? 0 : end;
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at]!;
    const isListed = listed.length > 0 && listed.includes(key) && !kept.has(key);
    const isHop = at < count && at < hopBits ? ((lines!.hopMask >> at) & 1) === 1 : hopHeaders.has(key);
    let passes = !isListed && !isHop && !(drops && dropped.has(key));
    if (at >= count) {
      if (passes) text += `${names[at]!}: ${values[at]!}\r\n`;
      continue;
    }
    const start = end;
    end += names[at]!.length + values[at]!.length + 4;
    if (!isLengthSaid && key === "content-length" && values[at] === length) {
      passes = true;
      isLengthSaid = true;
    }
    if (!passes) {
      if (start > from) text += lines!.text.slice(from, start);
      from = end;
    }
    if (at === count - 1 && end > from) text += lines!.text.slice(from, end);
  }
  return isLengthSaid ? text : `${text}Content-Length: ${length}\r\n`;
}

/** An interim response (1xx but 101) or, with the time in ms since 1970, what opens a tunnel on this connection. */
export function formatInterimHead(head: ResponseHead, wallMs?: number): string {
  const { names, keys, values } = head.headers;
  let text = `HTTP/1.1 ${head.status} ${head.reason}\r\n`;
  for (let at = 0; at < keys.length; at++) if (!hopHeaders.has(keys[at]!)) text += `${names[at]!}: ${values[at]!}\r\n`;
  if (wallMs !== undefined && !keys.includes("date")) text += `Date: ${formatDate(wallMs)}\r\n`;
  if (head.status === 101) text += `Connection: Upgrade\r\nUpgrade: ${head.hop.upgrade ?? ""}\r\n`;
  return `${text}\r\n`;
}

/**
 * What must not come behind a body, because it acts on the message before it: framing, routing, authentication and
 * content.
 * Source: RFC 9110 §6.5.1.
 */
const notInTrailers: ReadonlySet<string> = new Set([
  ...hopHeaders,
  "host",
  "authorization",
  "proxy-authorization",
  "www-authenticate",
  "set-cookie",
  "cookie",
  "expect",
  "range",
  "cache-control",
  "max-forwards",
  "content-encoding",
  "content-type",
  "content-range",
  "age",
  "expires",
  "date",
  "location",
  "retry-after",
  "vary",
  "warning",
]);

/** May `key` (lower case) be in a trailer section that is passed on? */
export function isTrailer(key: string): boolean {
  return !notInTrailers.has(key) && !key.startsWith("x-forwarded-") && !key.startsWith(":");
}

/** The end of a chunked body. */
export function formatTrailers(trailers: Headers): string {
  const { names, keys, values } = trailers;
  let text = "0\r\n";
  for (let at = 0; at < keys.length; at++) if (isTrailer(keys[at]!)) text += `${names[at]!}: ${values[at]!}\r\n`;
  return `${text}\r\n`;
}

/** The line in front of chunk data. */
export function formatChunkLine(bytes: number): string {
  return `${bytes.toString(16)}\r\n`;
}

function lengthOf(framing: Framing): string | undefined {
  return framing.kind === "length" ? String(framing.bytes) : undefined;
}
