/**
 * Trace context in request headers: reads and writes W3C `traceparent` and B3. Pure.
 *
 *   request headers ─▶ readContext() ─▶ TraceContext ─▶ formatContext() ─▶ header lines for the upstream
 *
 * What cannot be read counts as absent. Sources: W3C Trace Context level 1 §3.2 (level 2 for versions above 00);
 * openzipkin/b3-propagation: `b3: TRACE-SPAN[-SAMPLED[-PARENT]]`, or x-b3-traceid, -spanid, -sampled, -flags.
 */
import { type Headers, headerValue, joinedHeaderValue } from "#proxy/l7/http1/headers.ts";
import type { Propagation } from "./tracing-config.ts";

export interface TraceContext {
  /** 32 hexadecimal digits; a B3 trace of 16 has zeros in front. */
  readonly traceId: string;
  /** 16 hexadecimal digits: the span that the request comes from. */
  readonly spanId: string;
  /** Undefined: whoever sent it left the decision to us (B3 only). */
  readonly isSampled: boolean | undefined;
  /** W3C's `tracestate` as received; empty when there is none. */
  readonly traceState: string;
}

/** The sender wants no trace, and names none: `b3: 0`, `x-b3-sampled: 0`. */
export type Denied = "denied";

/** Lower-case names of the headers that are written anew for each propagation. */
export const contextHeaders: Readonly<Record<Propagation, readonly string[]>> = {
  w3c: ["traceparent", "tracestate"],
  b3: ["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"],
  get both() {
    return [...this.w3c, ...this.b3];
  },
};

/** 1 at the codes of 0 to 9 and a to f: every digit of every request's trace is looked up. */
const hexDigits = new Uint8Array(128);
for (const digit of "0123456789abcdef") hexDigits[digit.charCodeAt(0)] = 1;

/** The trace that a request belongs to; W3C counts before B3 where both are read. */
export function readContext(headers: Headers, propagation: Propagation): TraceContext | Denied | undefined {
  const w3c = propagation === "b3" ? undefined : readW3C(headers);
  if (w3c !== undefined || propagation === "w3c") return w3c;
  return readB3Single(headers) ?? readB3Multi(headers);
}

/** Header lines, each with its CRLF. B3 is written in its many headers, which every receiver reads. */
export function formatContext(context: TraceContext, propagation: Propagation, parentId = ""): string {
  const { traceId, spanId, isSampled, traceState } = context;
  let text = "";
  if (propagation !== "b3") {
    text += `traceparent: 00-${traceId}-${spanId}-${isSampled === true ? "01" : "00"}\r\n`;
    if (traceState !== "") text += `tracestate: ${traceState}\r\n`;
  }
  if (propagation === "w3c") return text;
  text += `x-b3-traceid: ${traceId}\r\nx-b3-spanid: ${spanId}\r\nx-b3-sampled: ${isSampled === true ? "1" : "0"}\r\n`;
  return parentId === "" ? text : `${text}x-b3-parentspanid: ${parentId}\r\n`;
}

function readW3C(headers: Headers): TraceContext | undefined {
  const text = headerValue(headers, "traceparent");
  if (text === undefined || !isTraceparent(text)) return undefined;
  // Flags are hexadecimal; only the lowest bit has a meaning here.
  const isSampled = (Number.parseInt(text[54]!, 16) & 1) === 1;
  const traceState = joinedHeaderValue(headers, "tracestate") ?? "";
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), isSampled, traceState };
}

/** `version-trace-parent-flags`; longer ones are for versions above 00 and go on behind another dash. */
function isTraceparent(text: string): boolean {
  if (text.length < 55 || text[2] !== "-" || text[35] !== "-" || text[52] !== "-") return false;
  if (!isHex(text, 0, 2) || !isHex(text, 3, 35) || !isHex(text, 36, 52) || !isHex(text, 53, 55)) return false;
  if (text.startsWith("ff") || isZero(text, 3, 35) || isZero(text, 36, 52)) return false;
  return text.length === 55 || (!text.startsWith("00") && text[55] === "-");
}

function readB3Single(headers: Headers): TraceContext | Denied | undefined {
  const text = headerValue(headers, "b3");
  if (text === undefined) return undefined;
  if (text === "0") return "denied";
  const [trace = "", span = "", sampled] = text.split("-");
  return toContext(trace, span, sampled === "d" ? true : decisionOf(sampled));
}

function readB3Multi(headers: Headers): TraceContext | Denied | undefined {
  const isDebug = headerValue(headers, "x-b3-flags") === "1";
  const isSampled = isDebug ? true : decisionOf(headerValue(headers, "x-b3-sampled"));
  const trace = headerValue(headers, "x-b3-traceid") ?? "";
  const span = headerValue(headers, "x-b3-spanid") ?? "";
  return toContext(trace, span, isSampled) ?? (isSampled === false ? "denied" : undefined);
}

function decisionOf(text: string | undefined): boolean | undefined {
  if (text === "1" || text === "true") return true;
  return text === "0" || text === "false" ? false : undefined;
}

function toContext(trace: string, span: string, isSampled: boolean | undefined): TraceContext | undefined {
  if ((trace.length !== 32 && trace.length !== 16) || span.length !== 16) return undefined;
  const [traceId, spanId] = [trace.toLowerCase().padStart(32, "0"), span.toLowerCase()];
  if (!isHex(traceId, 0, 32) || !isHex(spanId, 0, 16) || isZero(traceId, 0, 32) || isZero(spanId, 0, 16))
    return undefined;
  return { traceId, spanId, isSampled, traceState: "" };
}

function isHex(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (hexDigits[text.charCodeAt(at)] !== 1) return false;
  return true;
}

/** Whether all digits are zero, which means "none" in every format. */
export function isZero(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (text.charCodeAt(at) !== 48) return false;
  return true;
}
