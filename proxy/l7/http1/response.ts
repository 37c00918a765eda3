/**
 * A response head: the scanner's text → ResponseHead. Pure.
 *
 *   scanner.ts ─▶ parseResponseHead() ─▶ ResponseHead ─▶ write.ts
 *
 * As strict about framing as for requests: an upstream must not be able to smuggle a response either.
 * Source: RFC 9112 §4. An absent reason phrase is accepted with or without the space before it.
 */
import { HTTP1Error } from "./errors.ts";
import { type Hop, type Protocol, hopOf } from "./framing.ts";
import { type Headers, type ParseOptions, parseHeaders } from "./headers.ts";

export interface ResponseHead {
  /** 100 to 999. */
  readonly status: number;
  readonly protocol: Protocol;
  readonly reason: string;
  readonly headers: Headers;
  readonly hop: Hop;
}

/** Parses a whole head, its empty line included. Throws HTTP1Error. */
export function parseResponseHead(text: string, options?: ParseOptions): ResponseHead {
  const lineEnd = text.indexOf("\r");
  const isHTTP1 = text.startsWith("HTTP/1.1 ") || text.startsWith("HTTP/1.0 ");
  if (!isHTTP1) throw statusLineError("it does not start with HTTP/1.1 or HTTP/1.0");
  const protocol = text.charCodeAt(7) === 49 ? "HTTP/1.1" : "HTTP/1.0";
  const status = digit(text, 9) * 100 + digit(text, 10) * 10 + digit(text, 11);
  if (status < 100) throw statusLineError("the status is below 100");
  if (lineEnd > 12 && text.charCodeAt(12) !== 32) throw statusLineError("the status has more than three digits");
  const headers = parseHeaders(text, lineEnd + 2, options);
  const reason = text.slice(13, Math.max(13, lineEnd));
  return { status, protocol, reason, headers, hop: hopOf(headers, protocol) };
}

function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - 48;
  if (!(value >= 0 && value <= 9)) throw statusLineError("the status is not a number");
  return value;
}

function statusLineError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_START_LINE", 502, `Cannot parse status line: ${why}`);
}
