/**
 * How long a body is: Content-Length, Transfer-Encoding and Connection of a head → Framing. Pure.
 *
 *   Headers ─▶ hopOf() ─▶ Hop ─▶ requestFraming(), responseFraming() ─▶ Framing ─▶ body.ts, write.ts
 *
 * Invariant: a head whose length two parsers could read differently is refused, never repaired: that difference is what
 * request smuggling lives on. Source: RFC 9112 §6.1, §6.2, §6.3; RFC 9110 §7.6.1 (Connection).
 */
import { isAll, tokenBytes } from "./bytes.ts";
import { HTTP1Error } from "./errors.ts";
import { type Headers, hopBits } from "./headers.ts";

export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  /** Responses only: the body ends with the connection. */
  | { readonly kind: "untilClose" };

/** What a message came in, in the words of access logs. */
export type Protocol = "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

export const noBody: Framing = { kind: "none" };
export const chunkedBody: Framing = { kind: "chunked" };
export const untilCloseBody: Framing = { kind: "untilClose" };

/** What a head says to the next hop alone. */
export interface Hop {
  readonly contentLength: number | undefined;
  readonly isChunked: boolean;
  /** Connection says "close". */
  readonly wantsClose: boolean;
  /** Connection says "keep-alive", which matters in HTTP/1.0 alone. */
  readonly wantsKeepAlive: boolean;
  /** Other names listed in Connection, lower case: these headers are for this hop and are not forwarded. */
  readonly listed: readonly string[];
  /** The value of Upgrade, when Connection lists it. */
  readonly upgrade: string | undefined;
}

const nothingListed: readonly string[] = [];
/** What a head says in Connection. */
type Said = Pick<Hop, "wantsClose" | "wantsKeepAlive" | "listed" | "upgrade">;
/** What most messages say there: nothing, or that they keep the connection, which is read without taking it apart. */
const nothingSaid: Said = { wantsClose: false, wantsKeepAlive: false, listed: nothingListed, upgrade: undefined };
const keepAliveSaid: Said = { ...nothingSaid, wantsKeepAlive: true };
/** Nothing that is for one hop. */
export const plainHop: Hop = { ...nothingSaid, contentLength: undefined, isChunked: false };

/** Reads the hop's fields. Throws HTTP1Error when the length is ambiguous. */
export function hopOf(headers: Headers, protocol: Protocol): Hop {
  let length: string | undefined;
  let coding: string | undefined;
  let connection: string | undefined;
  let upgrade: string | undefined;
  const { keys, values, lines } = headers;
  const known = lines === undefined ? 0 : Math.min(lines.count, hopBits);
  for (let at = 0; at < keys.length; at++) {
    if (at < known && ((lines!.hopMask >> at) & 1) === 0) continue;
    const key = keys[at]!;
    const value = values[at]!;
    switch (key) {
      case "content-length":
        if (length !== undefined) throw lengthError("it is there twice");
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== undefined) throw codingError("it is there twice");
        coding = value;
        break;
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case "upgrade":
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      default:
    }
  }
  if (length === undefined && coding === undefined && connection === undefined) return plainHop;
  if (length !== undefined && coding !== undefined)
    throw new HTTP1Error(
      "AMBIGUOUS_LENGTH",
      400,
      "Cannot frame body: Content-Length and Transfer-Encoding are both there (request smuggling)",
    );
  if (coding !== undefined) checkCoding(coding, protocol);
  const contentLength = length === undefined ? undefined : parseContentLength(length);
  const said = parseConnection(connection, upgrade);
  return {
    wantsClose: said.wantsClose,
    wantsKeepAlive: said.wantsKeepAlive,
    listed: said.listed,
    upgrade: said.upgrade,
    contentLength,
    isChunked: coding !== undefined,
  };
}

/** The framing of a request's body. */
export function requestFraming(hop: Hop): Framing {
  if (hop.isChunked) return chunkedBody;
  return hop.contentLength === undefined ? noBody : { kind: "length", bytes: hop.contentLength };
}

/** The framing of a response's body, which depends on what was asked. */
export function responseFraming(hop: Hop, status: number, requestMethod: string): Framing {
  if (requestMethod === "HEAD" || status === 204 || status === 304 || status < 200) return noBody;
  if (hop.isChunked) return chunkedBody;
  return hop.contentLength === undefined ? untilCloseBody : { kind: "length", bytes: hop.contentLength };
}

/** Digits alone, without leading zeros, at most 15 of them: nothing that another parser could read otherwise. */
function parseContentLength(text: string): number {
  if (text.length === 0) throw lengthError("it is empty");
  if (text.length > 15) throw lengthError("it has more than 15 digits");
  let value = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 48 || code > 57) throw lengthError("it is not a decimal number");
    value = value * 10 + code - 48;
  }
  if (text.length > 1 && text.startsWith("0")) throw lengthError("it has a leading zero");
  return value;
}

function checkCoding(coding: string, protocol: Protocol): void {
  if (protocol === "HTTP/1.0") throw codingError("HTTP/1.0 does not have it");
  const lower = coding.toLowerCase();
  if (lower === "chunked") return;
  // Known codings beside chunked are valid HTTP that is not implemented here (RFC 9112 §6.1: 501); the rest is noise.
  const isKnown = lower === "gzip, chunked" || lower === "deflate, chunked" || lower === "compress, chunked";
  if (isKnown)
    throw new HTTP1Error(
      "UNKNOWN_TRANSFER_CODING",
      501,
      "Cannot frame body: only transfer coding chunked is supported",
    );
  throw codingError("it is not exactly chunked");
}

function parseConnection(connection: string | undefined, upgrade: string | undefined): Said {
  if (connection === undefined) return nothingSaid;
  if (connection === "keep-alive") return keepAliveSaid;
  let wantsClose = false;
  let wantsKeepAlive = false;
  let upgrades = false;
  const listed: string[] = [];
  for (const part of connection.split(",")) {
    const option = part.trim().toLowerCase();
    if (option === "") continue;
    if (!isAll(option, tokenBytes))
      throw new HTTP1Error("BAD_CONNECTION", 400, "Cannot parse Connection: an option is not a token");
    if (option === "close") wantsClose = true;
    else if (option === "keep-alive") wantsKeepAlive = true;
    else if (option === "upgrade") upgrades = true;
    else listed.push(option);
  }
  return { wantsClose, wantsKeepAlive, listed, upgrade: upgrades ? upgrade : undefined };
}

function lengthError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_CONTENT_LENGTH", 400, `Cannot parse Content-Length: ${why}`);
}

function codingError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_TRANSFER_ENCODING", 400, `Cannot parse Transfer-Encoding: ${why}`);
}
