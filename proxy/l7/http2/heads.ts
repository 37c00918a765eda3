/**
 * HTTP/2 header lists ⇄ the heads that the engine works with. Pure.
 *
 *   raw list (node:http2) ─▶ parseRequest(), parseResponse() ─▶ RequestHead, ResponseHead ─▶ routes, HTTP/1 writers
 *   RequestHead, ResponseHead ─▶ toRequestList(), toResponseList() ─▶ raw list
 *
 * nghttp2 has refused by then: names in upper case or that are no tokens, control bytes in values, headers that are for
 * one connection, pseudo-headers that are missing, unknown, twice or behind others, and a Content-Length that is not
 * the body's. What is left is checked here as strictly as in HTTP/1, so that a head that goes on in HTTP/1 has one
 * reading. Source: RFC 9113 §8.2, §8.3; RFC 8441 for `:protocol`.
 */
import { STATUS_CODES } from "node:http";
import { formatDate } from "../http1/date.ts";
import { HTTP1Error } from "../http1/errors.ts";
import { type Framing, type Hop, chunkedBody, noBody, plainHop } from "../http1/framing.ts";
import { type Headers, hopHeaders } from "../http1/headers.ts";
import { type RequestHead, checkMethod, checkTarget, connectHead, parseAuthority } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import { type OutgoingRequest, isTrailer, keptWhenListed } from "../http1/write.ts";

/** Where toRequestList() has the value of :scheme. */
const schemeAt = 5;

/** Names and values by turns, as node:http2 has them. */
export type HeaderList = readonly string[];

interface MutableHeaders {
  readonly names: string[];
  readonly keys: string[];
  readonly values: string[];
}

/** `isWhole`: the stream ended with the head. Throws HTTP1Error. */
export function parseRequest(list: HeaderList, isWhole: boolean): RequestHead {
  let method = "";
  let target = "";
  let authority = "";
  let upgrade: string | undefined;
  let at = 0;
  for (; at < list.length && list[at]!.startsWith(":"); at += 2) {
    const value = list[at + 1]!;
    if (list[at] === ":method") method = value;
    else if (list[at] === ":path") target = value;
    else if (list[at] === ":authority") authority = value;
    else if (list[at] === ":protocol") upgrade = value;
  }
  const headers: MutableHeaders = { names: [], keys: [], values: [] };
  const length = readHeaders(list, at, headers);
  const host = takeHost(headers, authority);
  // nghttp2 has refused one with :path or :scheme (RFC 9113 §8.5).
  if (method === "CONNECT" && upgrade === undefined)
    return connectHead(authority, { method, host, protocol: "HTTP/2", headers, hop: hopOf(length, undefined) });
  if (method === "CONNECT") method = "GET";
  else checkMethod(method);
  checkTarget(target);
  if (!target.startsWith("/") && !(target === "*" && method === "OPTIONS"))
    throw new HTTP1Error("BAD_TARGET", 400, "Cannot parse request target: it is not a path");
  const mark = target.indexOf("?");
  return {
    method,
    target,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? "" : target.slice(mark + 1),
    host,
    protocol: "HTTP/2",
    headers,
    hop: hopOf(length, upgrade),
    framing: isWhole || upgrade !== undefined ? noBody : bodyOf(length),
  };
}

export interface ParsedResponse {
  readonly head: ResponseHead;
  readonly framing: Framing;
}

/** `method` is what was asked; `isWhole`: the stream ended with the head. */
export function parseResponse(list: HeaderList, method: string, isWhole: boolean): ParsedResponse {
  const status = list[0] === ":status" ? Number(list[1]) : 0;
  if (!(status >= 100 && status <= 999))
    throw new HTTP1Error("BAD_START_LINE", 502, "Cannot parse response: the status is not a number of three digits");
  const headers: MutableHeaders = { names: [], keys: [], values: [] };
  const length = readHeaders(list, 2, headers);
  const reason = STATUS_CODES[status] ?? "";
  const head: ResponseHead = { status, protocol: "HTTP/2", reason, headers, hop: hopOf(length, undefined) };
  const isBodiless = method === "HEAD" || status === 204 || status === 304 || status < 200;
  if (isBodiless) return { head, framing: noBody };
  return { head, framing: isWhole ? { kind: "length", bytes: 0 } : bodyOf(length) };
}

/** A trailer section; undefined when nothing of it may go on. */
export function parseTrailers(list: HeaderList): Headers | undefined {
  const headers: MutableHeaders = { names: [], keys: [], values: [] };
  readHeaders(list, 0, headers);
  return headers.keys.length > 0 ? headers : undefined;
}

/** The list for an upstream. Its scheme is that of x-forwarded-proto, else `scheme`. */
export function toRequestList({ head, added, addedLines, authority }: OutgoingRequest, scheme: string): string[] {
  const { keys, values } = head.headers;
  const { listed, upgrade } = head.hop;
  const isTunnel = upgrade !== undefined;
  const host = head.host === "" ? authority : head.host;
  const list = [":method", isTunnel ? "CONNECT" : head.method, ":authority", host];
  // Its value is at `schemeAt`.
  if (head.method !== "CONNECT") list.push(":scheme", scheme, ":path", head.target);
  if (isTunnel) list.push(":protocol", upgrade.toLowerCase());
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at]!;
    if (hopHeaders.has(key)) {
      // The one that HTTP/2 has too: gRPC asks for its trailers by it.
      if (key === "te" && values[at]!.toLowerCase().includes("trailers")) list.push("te", "trailers");
      continue;
    }
    if (key === "host" || (added !== undefined && added.replaces.has(key))) continue;
    if (isTunnel && (key === "sec-websocket-key" || key === "sec-websocket-accept")) continue;
    if (listed.length > 0 && listed.includes(key) && !keptWhenListed.has(key)) continue;
    // How the request came, as in Envoy, and not how it goes on.
    if (key === "x-forwarded-proto" && head.method !== "CONNECT") setScheme(list, values[at]!);
    list.push(key, values[at]!);
  }
  pushLines(list, addedLines);
  if (!isTunnel && head.framing.kind === "length") list.push("content-length", String(head.framing.bytes));
  return list;
}

/** What is no scheme of HTTP changes nothing. */
function setScheme(list: string[], forwarded: string): void {
  const scheme = forwarded.toLowerCase();
  if (scheme === "https" || scheme === "http") list[schemeAt] = scheme;
}

/** The list that opens a tunnel to a downstream: without a length, and with a status that ends no stream. */
export function toTunnelList(head: ResponseHead, wallMs: number): string[] {
  const isOpening = head.status >= 200 && head.status < 300 && head.status !== 204 && head.status !== 205;
  const list = toResponseList(
    { ...head, hop: { ...head.hop, contentLength: undefined } },
    isOpening ? head.status : 200,
    wallMs,
  );
  const at = list.indexOf("sec-websocket-accept");
  if (at >= 0) list.splice(at, 2);
  return list;
}

/** The list for a downstream, at the wall-clock time `wallMs` in ms since 1970. */
export function toResponseList(head: ResponseHead, status: number, wallMs: number): string[] {
  const { keys, values } = head.headers;
  const { listed, contentLength } = head.hop;
  const list = [":status", String(status)];
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at]!;
    if (hopHeaders.has(key) || (listed.length > 0 && listed.includes(key))) continue;
    list.push(key, values[at]!);
  }
  if (contentLength !== undefined && status >= 200 && status !== 204)
    list.push("content-length", String(contentLength));
  if (!keys.includes("date")) list.push("date", formatDate(wallMs));
  return list;
}

/** In the form that node:http2 takes trailers and interim heads in. */
export function toObject(headers: Headers, isAllowed: (key: string) => boolean): Record<string, string | string[]> {
  const object: Record<string, string | string[]> = {};
  for (let at = 0; at < headers.keys.length; at++) {
    const key = headers.keys[at]!;
    if (!isAllowed(key)) continue;
    const before = object[key];
    const value = headers.values[at]!;
    object[key] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [before, value];
  }
  return object;
}

export function trailersOf(headers: Headers): Record<string, string | string[]> {
  return toObject(headers, isTrailer);
}

/** Reads the fields from `from` on; returns Content-Length, which is kept apart. Cookies become one (RFC 9113 §8.2.3). */
function readHeaders(list: HeaderList, from: number, { names, keys, values }: MutableHeaders): number | undefined {
  let length: number | undefined;
  let cookieAt = -1;
  for (let at = from; at < list.length; at += 2) {
    const key = list[at]!;
    const value = list[at + 1]!;
    if (key === "content-length") length = Number(value);
    else if (key === "cookie" && cookieAt >= 0) {
      values[cookieAt] = `${values[cookieAt]!}; ${value}`;
      continue;
    } else if (key === "cookie") cookieAt = keys.length;
    names.push(key);
    keys.push(key);
    values.push(value);
  }
  if (length !== undefined && !Number.isSafeInteger(length))
    throw new HTTP1Error("BAD_CONTENT_LENGTH", 400, "Cannot parse Content-Length: it is not a decimal number");
  return length;
}

/** `:authority` and Host must say the same; one Host remains, in front. */
function takeHost(headers: MutableHeaders, authority: string): string {
  const { names, keys, values } = headers;
  const at = keys.indexOf("host");
  if (at >= 0) {
    if (keys.indexOf("host", at + 1) >= 0)
      throw new HTTP1Error("DUPLICATE_HOST", 400, "Cannot parse head: Host is there twice");
    if (authority !== "" && values[at]!.toLowerCase() !== authority.toLowerCase())
      throw new HTTP1Error("HOST_MISMATCH", 400, "Cannot parse head: :authority is not Host's");
    return parseAuthority(values[at]!);
  }
  if (authority === "") throw new HTTP1Error("MISSING_HOST", 400, "Cannot parse head: neither :authority nor Host");
  names.unshift("host");
  keys.unshift("host");
  values.unshift(authority);
  return parseAuthority(authority);
}

function hopOf(contentLength: number | undefined, upgrade: string | undefined): Hop {
  if (contentLength === undefined && upgrade === undefined) return plainHop;
  return { ...plainHop, contentLength, upgrade };
}

function bodyOf(length: number | undefined): Framing {
  return length === undefined ? chunkedBody : { kind: "length", bytes: length };
}

/** Whole header lines, each with its CRLF, as HTTP/1 takes them. */
function pushLines(list: string[], lines: string): void {
  for (let at = 0; at < lines.length;) {
    const colon = lines.indexOf(":", at);
    const end = lines.indexOf("\r\n", at);
    if (colon < 0 || end < 0) return;
    list.push(lines.slice(at, colon).toLowerCase(), lines.slice(colon + 1, end).trim());
    at = end + 2;
  }
}
