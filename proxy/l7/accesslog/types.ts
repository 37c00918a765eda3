/**
 * What a line of an access log, or a header's value with %OPERATORS%, is made of.
 *
 *   exchange.ts (the record) ─▶ Template.render(record) ─▶ text
 *
 * Every field is optional: a line is written for what could not be read, too, and a request header is made before there
 * is a response. Source: Envoy's access log command operators.
 */
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { SchemeRule } from "../route/scheme.ts";

/** The downstream connection, as far as it is known. */
export interface FormatConnection {
  readonly remoteAddress: string;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly serverName?: string | undefined;
  readonly isTLS?: boolean | undefined;
  /** Whom the listener believes about where its requests come from, and how; undefined: nobody. */
  readonly trust?: SchemeRule | undefined;
  /** Counts up for each connection of the process. */
  readonly id?: number | undefined;
}

export interface FormatRecord {
  readonly connection: FormatConnection;
  /** As it was received, or as it stands now. */
  readonly head: RequestHead | undefined;
  /** As it was received, where `head` is not. */
  readonly received?: RequestHead | undefined;
  /** As it is sent on; with what routes and the listener changed. */
  readonly sentHead?: RequestHead | undefined;
  /** The x-request-id that was received or made, where a log asks for it. */
  readonly requestId?: string | undefined;
  readonly response?: ResponseHead | undefined;
  readonly cluster?: { readonly name: string } | undefined;
  readonly endpoint?: { readonly address: string; readonly port: number } | undefined;
  readonly upstreamLocalAddress?: string | undefined;
  /** "HTTP/1.1" and so on. */
  readonly protocol?: string | undefined;
  readonly routeName?: string | undefined;
  readonly virtualHostName?: string | undefined;
  readonly status: number;
  readonly flag: string;
  /** Envoy's RESPONSE_CODE_DETAILS. */
  readonly details?: string | undefined;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  /** From the start until now, in ms, of one that is not over; undefined: it is. */
  readonly elapsedMs?: number | undefined;
  /** Wall-clock time of the start, in ms since 1970. */
  readonly startMs?: number | undefined;
  /** From the start, in ms: to the end of the request, to the first and to the last byte of the response. */
  readonly requestMs?: number | undefined;
  readonly responseMs?: number | undefined;
  /** Tries made, the first included. */
  readonly attempts?: number | undefined;
  /** What the proxy is about to answer itself. */
  readonly localReplyBody?: string | undefined;
  readonly upstreamFailure?: string | undefined;
  readonly responseTrailers?: { readonly keys: readonly string[]; readonly values: readonly string[] } | undefined;
}

/** The value of one operator; undefined: there is none. */
export type Operator = (record: FormatRecord) => string | number | undefined;

/** A text with operators, compiled. */
export interface Template {
  /** The text when it has no operator. */
  readonly constant: string | undefined;
  readonly parts: readonly (string | Operator)[];
  /** It has %REQ(X-REQUEST-ID)%, so that an id that is made has to be kept. */
  readonly asksRequestId: boolean;
  /** `missing` stands for each value that is not there: "-" in logs, "" in headers. */
  render(record: FormatRecord, missing: string): string;
}
