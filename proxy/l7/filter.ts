/**
 * HTTP filters: what a chain does to requests and responses beside routing them.
 *
 *   config (names) ─▶ HttpFilterFactory, one a chain ─▶ create() a request ─▶ HttpFilter ─▶ filters/run.ts calls it
 *
 * Requests pass the filters in order, responses in reverse order. A filter that is not asked about an event has no
 * method for it, and a chain without filters costs nothing. "stop" holds the message back until `resume()`; a reply
 * ends it. Invariant: what a filter throws fails its own request with 500 and is logged; it never ends the process.
 * Source: Envoy's StreamFilter, without its buffering variants: held bytes are bounded and kept in order for it.
 */
import type { FormatRecord } from "./accesslog/types.ts";
import type { ConnectionInfo } from "./context.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { Logger } from "#lib/log.ts";
import type { Descriptor } from "./route/rate-limits.ts";
import type { ResponseFlag, SocketAddress } from "./types.ts";

/** Go on with the next filter, or hold the message here until `resume()`. */
export type Verdict = "continue" | "stop";

/** What is done with body bytes: passed on, held with all behind them, or replaced. */
export type DataVerdict = Verdict | Buffer;

/** Bytes that go in front of the end, or that the end waits for `resumeWith()`. */
export type EndVerdict = Buffer | "stop" | undefined;

/** An answer instead of the upstream's. */
export interface FilterReply {
  readonly status: number;
  readonly body?: string;
  /** Of x-wherry-error; default the body. */
  readonly sentence?: string;
  /** Default "-". */
  readonly flag?: ResponseFlag;
  /** Added to the answer; names as they are to be written. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** Envoy's RESPONSE_CODE_DETAILS; default by the flag. */
  readonly details?: string;
  /** The gRPC status for a gRPC request; default by Envoy's mapping of `status`. */
  readonly grpcStatus?: number;
}

/** Where the first try of a request is to go. */
export interface EndpointOverride {
  /** "ADDRESS:PORT", IPv6 in brackets. */
  readonly to: string;
  readonly isStrict: boolean;
}

/** Headers that a filter may change; names are compared without case. */
export interface HeaderEditor {
  get(name: string): string | undefined;
  /** Replaces all of the name. */
  set(name: string, value: string): void;
  append(name: string, value: string): void;
  remove(name: string): void;
  entries(): Iterable<readonly [name: string, value: string]>;
}

/** What a filter sees of the request in hand, and can do to it. */
export interface FilterContext {
  readonly connection: ConnectionInfo;
  /** As it came, before the listener changed it. */
  readonly received: RequestHead;
  /** As it is now, changes of filters included. */
  readonly request: RequestHead;
  /** Undefined before onResponseHeaders. */
  readonly response: ResponseHead | undefined;
  readonly requestHeaders: HeaderEditor;
  /** Throws before onResponseHeaders. */
  readonly responseHeaders: HeaderEditor;
  readonly log: Logger;
  /**
   * What the request's route says to the filter of this name (typed_per_filter_config): its configuration, "disabled",
   * or undefined.
   */
  routeConfigOf(name: string): unknown;
  /** The request's route says something to the filter of this name, be it that it is on. */
  isNamedByRoute(name: string): boolean;
  /** What the rate limits of the request's route count it by, for filters of that stage. */
  descriptorsOf(stage: number): readonly Descriptor[];
  /** An endpoint of the cluster whose turn it is, for a call of the filter's own. Undefined: none serves. */
  endpointOf(cluster: string): SocketAddress | undefined;
  /**
   * The first try goes to the endpoint "ADDRESS:PORT" of the request's cluster, where it is there and healthy; else to
   * whom the balancer picks, or with `isStrict` to nobody (503). Only in onRequestHeaders.
   */
  overrideEndpoint(override: EndpointOverride): void;
  /** Whose answer it is; undefined in a request, and in an answer of the proxy's own. */
  readonly endpoint: SocketAddress | undefined;
  /** What is known of the request so far, for values with %OPERATORS%. */
  facts(): FormatRecord;
  /** Wall-clock time, in ms since 1970. */
  wallMs(): number;
  /** Monotonic time, in ms, as of the read that is being handled: it stands still until the call is over. */
  nowMs(): number;
  /** Runs once after a delay, in ms, unless the request is done by then. */
  after(delayMs: number, callback: () => void): void;
  /** Changes the request's method, path with query, or authority; only in onRequestHeaders. */
  setTarget(target: { readonly method?: string; readonly path?: string; readonly host?: string }): void;
  setStatus(status: number): void;
  /** Goes on behind a "stop" of the filter's own, in the direction that it stopped. */
  resume(): void;
  /**
   * Goes on behind a "stop" of onRequestData, onResponseData or their ends, with `data` instead of what was stopped;
   * behind that of an end, in front of it.
   */
  resumeWith(data: Buffer): void;
  /** Ends the request as a filter that throws does. */
  fail(error: unknown): void;
  /**
   * Behind a "stop" of onRequestHeaders: the request goes on by itself once its body is whole, with its length told.
   * More than `bytesMax` is answered with 413. A downstream that asks whether it may send the body is told that it may.
   */
  gatherRequest(bytesMax: number): void;
  /**
   * Answers the request here, once the call at hand is over; the answer passes all filters of the chain as a response
   * does. In a response: only before its head went out, and the answer passes none.
   */
  reply(reply: FilterReply): void;
}

/** Responses are the proxy's own answers, too: one may be that of a filter in front, to a request not seen here. */
export interface HttpFilter {
  onRequestHeaders?(context: FilterContext, isWhole: boolean): Verdict;
  onRequestData?(context: FilterContext, data: Buffer): DataVerdict;
  /** The body is over: bytes that were kept back may follow. */
  onRequestEnd?(context: FilterContext): EndVerdict;
  onRequestTrailers?(context: FilterContext, trailers: Headers): Verdict;
  onResponseHeaders?(context: FilterContext, isWhole: boolean): Verdict;
  onResponseData?(context: FilterContext, data: Buffer): DataVerdict;
  /** The body is over: bytes that were kept back may follow. */
  onResponseEnd?(context: FilterContext): EndVerdict;
  onResponseTrailers?(context: FilterContext, trailers: Headers): Verdict;
  /**
   * True when this response's body passes as it is, so that its length stays; looked at behind onResponseHeaders.
   * Default: whether it has methods for the body.
   */
  readonly passesResponseData?: boolean;
  /** The request is done, however it ended. */
  onEnd?(context: FilterContext): void;
}

/** One filter of a chain, configured. */
export interface HttpFilterFactory {
  /** The filter's name in the configuration; `typed_per_filter_config` refers to it. */
  readonly name: string;
  /** For one request; undefined when the filter has nothing to do with it. */
  create(): HttpFilter | undefined;
}
