/**
 * What is wrong with an HTTP/1 message, as a coded error.
 *
 *   scanner, parsers, body reader (throw) ─▶ downstream.ts (answers `status`) or upstream.ts (answers 502)
 *
 * Invariant: after one of these errors the connection is never used for another message: its framing is in doubt.
 * Source: RFC 9112, and the strict profile in the design reference (section 3d).
 */
import { CodedError } from "#lib/errors.ts";

export type HTTP1ErrorCode =
  | "BARE_CR" // CR without LF behind it
  | "BARE_LF" // LF without CR before it
  | "CONTROL_BYTE" // NUL or another control byte in a head
  | "BAD_START_LINE" // request or status line that does not parse
  | "BAD_METHOD" // a method outside the registered ones
  | "CONNECT_UNSUPPORTED" // CONNECT over HTTP/1.0, or as a request of HTTP/2
  | "BAD_TARGET" // request target with bytes or a form that is not allowed
  | "BAD_VERSION" // major version other than 1, or HTTP/0.9
  | "BAD_HEADER" // a header line that does not parse
  | "OBS_FOLD" // a header continued on the next line
  | "MISSING_HOST" // HTTP/1.1 without Host
  | "DUPLICATE_HOST" // two Host headers
  | "BAD_HOST" // Host with bytes that no authority has
  | "HOST_MISMATCH" // absolute target and Host disagree
  | "BAD_CONTENT_LENGTH" // not a plain decimal number, or more than one
  | "BAD_TRANSFER_ENCODING" // not exactly "chunked", or in HTTP/1.0
  | "UNKNOWN_TRANSFER_CODING" // a coding that is not implemented
  | "AMBIGUOUS_LENGTH" // Content-Length and Transfer-Encoding together: request smuggling
  | "BAD_CONNECTION" // a Connection header that does not parse
  | "HEAD_TOO_LARGE" // head over the limit
  | "TARGET_TOO_LONG" // start line alone over the limit
  | "TOO_MANY_HEADERS" // more header lines than the limit
  | "BAD_CHUNK" // chunk framing that does not parse
  | "CHUNK_EXTENSION_TOO_LARGE" // chunk extensions over the limit
  | "BAD_TRAILER" // trailer section that does not parse or holds framing
  | "TRUNCATED" // the connection ended inside a message
  | "UNEXPECTED"; // a message that the protocol does not allow here

/** `status` is what a downstream is answered; an upstream's error is always answered 502. */
export class HTTP1Error extends CodedError<HTTP1ErrorCode> {
  readonly status: number;

  constructor(code: HTTP1ErrorCode, status: number, message: string) {
    super(code, message);
    this.status = status;
  }
}
