/**
 * Trace context and request ids on each request that passes.
 *
 *   request head ─▶ lines() ─▶ "traceparent" and "x-request-id" of the request to the upstream
 *
 * A valid traceparent is continued: same trace, same flags, a new span id, so that the application's span is a child of
 * this hop. An absent or invalid one starts a trace. An application has to copy traceparent from the request it serves
 * to those it makes; no proxy can do that for it. tracestate is passed on as it came. Source: W3C Trace Context, level
 * 1 §3.2; level 2 for versions above 00.
 */
import type { Random } from "#lib/random.ts";
import { headerValue } from "#proxy/l7/http1/headers.ts";
import type { RequestHead } from "#proxy/l7/http1/request.ts";
import type { RequestHeaderSource } from "#proxy/l7/http1/write.ts";

/** Bytes drawn at a time: a system call for each id would cost more than the id. */
const poolBytes = 4096;

const replaced: ReadonlySet<string> = new Set(["traceparent", "x-request-id"]);

export class Tracing implements RequestHeaderSource {
  readonly replaces: ReadonlySet<string> = replaced;
  readonly #random: Random;
  #pool = "";
  #at = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  lines(head: RequestHead): string {
    const parent = headerValue(head.headers, "traceparent");
    const isValid = parent !== undefined && isTraceparent(parent);
    const trace = isValid ? parent.slice(3, 35) : this.#hex(32);
    const flags = isValid ? parent.slice(53, 55) : "01";
    const id = headerValue(head.headers, "x-request-id") || this.#uuid();
    return `traceparent: 00-${trace}-${this.#hex(16)}-${flags}\r\nx-request-id: ${id}\r\n`;
  }

  /** `digits` hexadecimal digits, not all of them zero (which would mean "none"). */
  #hex(digits: number): string {
    if (this.#at + digits > this.#pool.length) {
      this.#pool = Buffer.from(this.#random.bytes(poolBytes)).toString("hex");
      this.#at = 0;
    }
    const text = this.#pool.slice(this.#at, this.#at + digits);
    this.#at += digits;
    return isZero(text, 0, digits) ? `${text.slice(1)}1` : text;
  }

  /** A random UUID, RFC 9562 §5.4. */
  #uuid(): string {
    const hex = this.#hex(32);
    const variant = "89ab"[Number.parseInt(hex[16]!, 16) & 3]!;
    const high = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}`;
    return `${high}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}

/** `version-trace-parent-flags`; longer ones are for versions above 00 and go on behind another dash. */
function isTraceparent(text: string): boolean {
  if (text.length < 55 || text[2] !== "-" || text[35] !== "-" || text[52] !== "-") return false;
  if (!isHex(text, 0, 2) || !isHex(text, 3, 35) || !isHex(text, 36, 52) || !isHex(text, 53, 55)) return false;
  if (text.startsWith("ff") || isZero(text, 3, 35) || isZero(text, 36, 52)) return false;
  return text.length === 55 || (!text.startsWith("00") && text[55] === "-");
}

function isHex(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    const isDigit = code >= 48 && code <= 57;
    if (!isDigit && !(code >= 97 && code <= 102)) return false;
  }
  return true;
}

function isZero(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (text.charCodeAt(at) !== 48) return false;
  return true;
}
