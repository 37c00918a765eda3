/**
 * What a connection speaks, from its first bytes. Pure.
 *
 *   first bytes ─▶ detectProtocol() ─▶ listener.ts picks the filter chain by application protocol
 *
 * HTTP/1 is recognised by a whole request line that ends in HTTP/1.x: other protocols have lines that start with GET
 * too (Redis' inline commands). What starts like no request is "other" at its first wrong byte, so that it does not
 * wait. Source: Envoy's http_inspector listener filter.
 */
import { LF, targetBytes } from "./http1/bytes.ts";

export type DetectedProtocol = "http/1.1" | "h2c" | "other";

const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** Longest method name looked for, in bytes. */
const methodBytesMax = 20;
/**
 * A request line longer than this that has looked like HTTP so far is taken for HTTP, which then answers 414 if need
 * be.
 */
export const detectBytesMax: number = 8 * 1024;

/** The protocol of a connection that starts with `bytes`, or undefined when more bytes are wanted. */
export function detectProtocol(bytes: Buffer): DetectedProtocol | undefined {
  const preface = bytes.toString("latin1", 0, Math.min(bytes.length, http2Preface.length));
  if (preface === http2Preface) return "h2c";
  if (preface.length > 3 && http2Preface.startsWith(preface)) return undefined;
  // An empty line before the request line is skipped, as the HTTP engine does.
  let at = bytes[0] === 13 && bytes[1] === 10 ? 2 : 0;
  const methodFrom = at;
  while (at < bytes.length && at - methodFrom < methodBytesMax && isUpper(bytes[at]!)) at++;
  if (at === bytes.length) return undefined;
  if (at === methodFrom) return bytes.length === 1 && bytes[0] === 13 ? undefined : "other";
  if (bytes[at] !== 32) return "other";
  const lineEnd = bytes.indexOf(LF, at);
  if (lineEnd >= 0) return isRequestLineEnd(bytes, lineEnd) ? "http/1.1" : "other";
  if (bytes.length > at + 1 && targetBytes[bytes[at + 1]!] !== 1) return "other";
  return bytes.length > detectBytesMax ? "http/1.1" : undefined;
}

function isUpper(byte: number): boolean {
  return (byte >= 65 && byte <= 90) || byte === 45;
}

function isRequestLineEnd(bytes: Buffer, lineEnd: number): boolean {
  const end = bytes[lineEnd - 1] === 13 ? lineEnd - 1 : lineEnd;
  return bytes.toString("latin1", Math.max(0, end - 9), end - 1) === " HTTP/1.";
}
