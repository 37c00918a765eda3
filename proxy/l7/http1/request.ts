/**
 * A request head: the scanner's text → RequestHead. Pure.
 *
 *   scanner.ts ─▶ parseRequestHead() ─▶ RequestHead ─▶ route/, write.ts
 *
 * Invariant: a head that comes out can be written by write.ts and read by any HTTP/1 parser in one way only.
 * Source: RFC 9112 §3, RFC 9110 §7.2; refusals follow the strict profile of the design reference (section 3d).
 */
import { SP, authorityBytes, isAll, targetBytes } from "./bytes.ts";
import { HTTP1Error } from "./errors.ts";
import { type Framing, type Hop, type Protocol, hopOf, noBody, requestFraming } from "./framing.ts";
import { type Headers, type ParseOptions, parseHeaders } from "./headers.ts";

export interface RequestHead {
  readonly method: string;
  /** Origin form ("/path?query") or "*", whatever form was received. */
  readonly target: string;
  /** The target without its query. */
  readonly path: string;
  /** Behind the "?", without it; empty when there is none. */
  readonly query: string;
  /** The value of Host, lower case, with its port if it has one. Empty in HTTP/1.0 without Host. */
  readonly host: string;
  readonly protocol: Protocol;
  readonly headers: Headers;
  readonly hop: Hop;
  readonly framing: Framing;
}

/** Methods of the IANA registry that llhttp reads too; CONNECT and PRI have their own refusals. */
const methods: ReadonlySet<string> = new Set(
  (
    "GET HEAD POST PUT DELETE OPTIONS PATCH TRACE ACL BIND CHECKOUT COPY LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL " +
    "MOVE NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
  ).split(" "),
);

/** Parses a whole head, its empty line included. Throws HTTP1Error. */
export function parseRequestHead(text: string, options?: ParseOptions): RequestHead {
  const lineEnd = text.indexOf("\r");
  const firstSpace = text.indexOf(" ");
  if (firstSpace <= 0 || firstSpace > lineEnd) throw startLineError("wanted method, target and version");
  // Where it is before "HTTP/1.1", else it is looked for.
  const beforeVersion = lineEnd - 9;
  const isThere = beforeVersion > firstSpace && text.charCodeAt(beforeVersion) === SP;
  const lastSpace = isThere ? beforeVersion : text.lastIndexOf(" ", lineEnd - 1);
  const method = text.slice(0, firstSpace);
  const isConnect = method === "CONNECT";
  if (!isConnect) checkMethod(method);
  if (lastSpace === firstSpace)
    throw new HTTP1Error("BAD_VERSION", 505, "Cannot parse request line: no version (HTTP/0.9 is not supported)");
  const protocol = parseVersion(text.slice(lastSpace + 1, lineEnd));
  const received = text.slice(firstSpace + 1, lastSpace);
  checkTarget(received);
  const headers = parseHeaders(text, lineEnd + 2, options);
  const host = hostOf(headers, protocol);
  if (isConnect) return connectHead(received, { method, host, protocol, headers, hop: hopOf(headers, protocol) });
  const target = received.charCodeAt(0) === 47 ? received : originForm(received, method, host);
  const hop = hopOf(headers, protocol);
  const mark = target.indexOf("?");
  return {
    method,
    target,
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? "" : target.slice(mark + 1),
    host,
    protocol,
    headers,
    hop,
    framing: requestFraming(hop),
  };
}

/** Throws unless `method` is one that every HTTP/1 parser on the way reads too. */
export function checkMethod(method: string): void {
  if (methods.has(method)) return;
  if (method === "CONNECT")
    throw new HTTP1Error("CONNECT_UNSUPPORTED", 501, "Cannot serve CONNECT: wanted an authority and nothing else");
  if (method === "PRI")
    throw new HTTP1Error("BAD_VERSION", 505, "Cannot serve HTTP/2: this listener speaks HTTP/1.1 (use HTTP/1.1)");
  throw new HTTP1Error("BAD_METHOD", 400, "Cannot parse request line: the method is not a registered one");
}

function parseVersion(version: string): Protocol {
  if (version === "HTTP/1.1" || version === "HTTP/1.0") return version;
  const isHTTP = version.length === 8 && version.startsWith("HTTP/") && version.charCodeAt(6) === 46;
  if (!isHTTP) throw startLineError("the version is not HTTP/x.y");
  if (version.charCodeAt(5) !== 49)
    throw new HTTP1Error("BAD_VERSION", 505, "Cannot serve request: only HTTP/1.0 and HTTP/1.1 are supported");
  throw startLineError("the minor version is unknown");
}

/**
 * CONNECT: its target is an authority, which Host says too, and it has neither path nor body. What follows it are bytes
 * of the tunnel, or nothing: a length would make two parsers disagree where they begin (RFC 9110 §9.3.6).
 */
export function connectHead(
  received: string,
  head: Omit<RequestHead, "target" | "path" | "query" | "framing">,
): RequestHead {
  const { hop, host, protocol } = head;
  if (protocol === "HTTP/1.0")
    throw new HTTP1Error("CONNECT_UNSUPPORTED", 501, "Cannot serve CONNECT: HTTP/1.0 does not have it");
  if (hop.isChunked)
    throw new HTTP1Error("BAD_TRANSFER_ENCODING", 501, "Cannot frame body: CONNECT has none, and came in chunks");
  if ((hop.contentLength ?? 0) > 0)
    throw new HTTP1Error("BAD_CONTENT_LENGTH", 400, "Cannot frame body: CONNECT has none, and came with a length");
  const target = parseAuthority(received);
  if (!/:\d+$/.test(target)) throw targetError("CONNECT wants host:port");
  if (target !== host)
    throw new HTTP1Error("HOST_MISMATCH", 400, "Cannot parse head: the target's authority is not Host's");
  return { ...head, hop: { ...hop, contentLength: undefined }, target, path: "", query: "", framing: noBody };
}

function hostOf(headers: Headers, protocol: Protocol): string {
  const at = headers.keys.indexOf("host");
  if (at < 0) {
    if (protocol === "HTTP/1.0") return "";
    throw new HTTP1Error("MISSING_HOST", 400, "Cannot parse head: HTTP/1.1 without Host");
  }
  if (headers.keys.indexOf("host", at + 1) >= 0)
    throw new HTTP1Error("DUPLICATE_HOST", 400, "Cannot parse head: Host is there twice");
  return parseAuthority(headers.values[at]!);
}

/** `host` or `host:port` in lower case. */
export function parseAuthority(host: string): string {
  if (!isAll(host, authorityBytes) || !hasGoodPort(host))
    throw new HTTP1Error("BAD_HOST", 400, "Cannot parse Host: it is not host or host:port");
  return host.toLowerCase();
}

/** At most one colon outside brackets, and digits alone behind it. */
function hasGoodPort(authority: string): boolean {
  const bracket = authority.includes("]") ? authority.lastIndexOf("]") : -1;
  if (bracket >= 0 && !authority.startsWith("[")) return false;
  const colon = authority.indexOf(":", bracket + 1);
  if (bracket >= 0 && bracket !== authority.length - 1 && colon !== bracket + 1) return false;
  if (colon < 0) return true;
  if (colon === 0) return false;
  for (let at = colon + 1; at < authority.length; at++) {
    const code = authority.charCodeAt(at);
    if (code < 48 || code > 57) return false;
  }
  return authority.length - colon <= 6;
}

/** Absolute form → origin form; its authority must be Host's, else two parsers could route the request differently. */
function originForm(received: string, method: string, host: string): string {
  if (received === "*") {
    if (method === "OPTIONS") return received;
    throw targetError("* goes with OPTIONS only");
  }
  const scheme = received.slice(0, 8).toLowerCase();
  const from = scheme.startsWith("http://") ? 7 : scheme === "https://" ? 8 : 0;
  if (from === 0) throw targetError("it is neither a path nor an http URL");
  const slash = received.indexOf("/", from);
  const mark = received.indexOf("?", from);
  const end = slash < 0 ? (mark < 0 ? received.length : mark) : mark < 0 ? slash : Math.min(slash, mark);
  const authority = received.slice(from, end).toLowerCase();
  if (authority !== host)
    throw new HTTP1Error("HOST_MISMATCH", 400, "Cannot parse head: the target's authority is not Host's");
  const rest = received.slice(end);
  return rest.startsWith("/") ? rest : `/${rest}`;
}

/** Throws unless every byte is one that a request target may have. */
export function checkTarget(target: string): void {
  if (!isAll(target, targetBytes)) throw targetError("it has a byte that is not allowed");
}

function startLineError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_START_LINE", 400, `Cannot parse request line: ${why}`);
}

function targetError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_TARGET", 400, `Cannot parse request target: ${why}`);
}
