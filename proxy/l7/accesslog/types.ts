/**
 * What a line of an access log, or a header's value with %OPERATORS%, is made of.
 *
 *   exchange.ts (the record) ─▶ Template.render(record) ─▶ text
 *
 * Every field is optional: a line is written for what could not be read, too, and a request header is made before there
 * is a response. Source: Envoy's access log command operators.
 */
import type { Socket } from "node:net";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { SchemeRule } from "../route/scheme.ts";
import type { TLSFacts } from "../tls/facts.ts";

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
  readonly tls?: TLSFacts | undefined;
  /** The filter chain that serves it. */
  readonly chainName?: string | undefined;
  readonly chainMetadata?: Metadata | undefined;
  readonly listenerMetadata?: Metadata | undefined;
}

/** filter_metadata: namespace → value. */
export type Metadata = Readonly<Record<string, unknown>>;

export interface FormatCluster {
  readonly name: string;
  readonly spec?: { readonly metadata?: Metadata | undefined } | undefined;
}

export interface FormatEndpoint {
  readonly address: string;
  readonly port: number;
  /** The name by which it was configured, or its address. */
  readonly hostname?: string | undefined;
  readonly filterMetadata?: Metadata | undefined;
}

export interface FormatUpstream {
  /** Undefined for TCP. */
  readonly protocol?: "HTTP/1.1" | "HTTP/2";
  readonly socket: Socket | undefined;
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
  readonly cluster?: FormatCluster | undefined;
  readonly endpoint?: FormatEndpoint | undefined;
  /** The connection of the last try, where one came about. */
  readonly upstream?: FormatUpstream | undefined;
  readonly route?:
    | { readonly metadata?: Metadata | undefined; readonly hostMetadata?: Metadata | undefined }
    | undefined;
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

/** A text, a number, or what metadata have; undefined: there is none. */
export type OperatorValue = string | number | boolean | object | null | undefined;

/** The value of one operator. */
export type Operator = (record: FormatRecord) => OperatorValue;

export type Fail = (why: string) => Error;

/** One that takes no argument, or one that is made by its argument: empty where there is none. */
export type OperatorSpec =
  | Operator
  | { readonly wantsArgument: boolean; readonly make: (argument: string, fail: Fail) => Operator };

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
