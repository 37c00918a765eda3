/**
 * The two sides of an exchange, whatever protocol each speaks: HTTP/1 or HTTP/2.
 *
 *   downstream ─▶ Exchange (DownstreamHandler)   Exchange ─▶ DownstreamStream ─▶ downstream
 *   upstream   ─▶ Exchange (UpstreamHandler)     Exchange ─▶ UpstreamStream   ─▶ upstream
 *
 * Heads are RequestHead and ResponseHead for both protocols. Bodies are slices that are passed on as they came; a send
 * that answers false asks for a pause until the drain. Invariant: after end(), reset(), cancel() and their like a
 * stream is told nothing more, and tells nothing more.
 */
import type { Socket } from "node:net";
import type { ConnectionInfo } from "./context.ts";
import type { DialFailure } from "./dial-failure.ts";
import type { Framing } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { OutgoingRequest } from "./http1/write.ts";
import type { RenderedReply } from "./reply.ts";

/** Memory that was handed on. */
export interface Loan {
  /** Nobody looks any more at what was handed on before the loan was asked for: it may be written to. */
  readonly isFree: boolean;
}

/** Nobody looks at it. */
export const free: Loan = { isFree: true };
/** Nobody knows when it is over. */
export const neverFree: Loan = { isFree: false };

/** How a response goes out. */
export interface ResponseOptions {
  /** Towards an HTTP/1.1 downstream. */
  readonly framing: Framing;
  /** The request is whole: another may follow on its connection. */
  readonly isRequestWhole: boolean;
  /** Trailers may follow the body. */
  readonly mayHaveTrailers: boolean;
}

/** One request's downstream side, as an exchange needs it. */
export interface DownstreamStream {
  readonly info: ConnectionInfo;
  /** Around several sends, so that they go out in one write. */
  cork(): void;
  /** Says when nothing that was sent is looked at any more. */
  uncork(): Loan;
  sendInterim(head: ResponseHead): void;
  sendHead(head: ResponseHead, options: ResponseOptions): void;
  /** False when the downstream takes no more for now: onDownstreamDrain() follows. */
  sendBody(slice: Buffer): boolean;
  /** The response is whole. */
  end(trailers: Headers | undefined): void;
  /** A whole response of the proxy's own. */
  reply(reply: RenderedReply, isRequestWhole: boolean): void;
  /** The tunnel that the request asked for is open: from now on bodies are bytes both ways. */
  openTunnel(head: ResponseHead): void;
  /** What was sent is not whole, and must not look so. */
  reset(): void;
  /** Ends without an answer: the caller may ask elsewhere. */
  handBack(): void;
  /** Stops or goes on reading the request's body. */
  setBlocked(isBlocked: boolean): void;
  /** Something moved: the stream is not idle. */
  touch(): void;
  /** The request must be done by then, in ms. */
  setDeadline(dueMs: number): void;
  /** Time without a byte for this request, in ms, instead of the listener's; 0 is none. */
  setIdle(idleMs: number): void;
}

/** What a downstream tells its exchange. */
export interface DownstreamHandler {
  /** Routes the request. `isWhole`: no body follows; since `nowMs`, where it has waited to be routed. */
  start(isWhole: boolean, nowMs?: number): void;
  onRequestBody(slice: Buffer): void;
  onRequestEnd(trailers: Headers | undefined): void;
  onDownstreamDrain(): void;
  /** The bytes at hand are handled: what was gathered may go out. */
  flush(): void;
  /** The downstream is gone: nobody waits for the response. */
  onDownstreamGone(): void;
  /** The request's body broke its protocol. */
  onDownstreamError(status: number, sentence: string): void;
  /** The deadline that was set passed, or no byte moved for the stream's idle time. */
  onTimeout(kind: "route" | "idle"): void;
}

/** One try's upstream side, as an exchange needs it. */
export interface UpstreamStream {
  readonly protocol: "HTTP/1.1" | "HTTP/2";
  /** Undefined before it is connected. */
  readonly socket: Socket | undefined;
  cork(): void;
  uncork(): void;
  /** `isWhole`: no body follows. False when the upstream takes no more for now: onDrain() follows. */
  sendHead(request: OutgoingRequest, isWhole: boolean): boolean;
  sendBody(slice: Buffer): boolean;
  /** The request is whole. */
  end(trailers: Headers | undefined): void;
  /** Stops or goes on reading the response's body. */
  pause(): void;
  resume(): void;
  /** Ends the try; the handler is told nothing. */
  cancel(): void;
}

/** A stream that is not there yet: onConnected() or onBroken() of its handler follows, unless it is cancelled. */
export interface PendingStream {
  cancel(): void;
}

export type UpstreamFailure =
  /** No connection came about: not a byte was sent. */
  | ({ readonly kind: "connect" } & DialFailure)
  /** The upstream said that it did not look at the request (RFC 9113 §8.7). */
  | { readonly kind: "refused" }
  /**
   * Closed or reset before the response was complete; `sawBytes` when some of it had come. "stream": the upstream reset
   * this stream alone; "protocol": it broke HTTP/2, on this stream or on another of its connection.
   */
  | { readonly kind: "reset"; readonly sawBytes: boolean; readonly by?: "stream" | "protocol" }
  /** The response broke HTTP. */
  | { readonly kind: "malformed"; readonly why: string };

/** What an exchange is told. After onBroken() and onResponseEnd() the stream is no longer the exchange's. */
export interface UpstreamHandler {
  /** The stream may be sent to. Not called for one that was at hand. */
  onConnected(stream: UpstreamStream): void;
  /** Around the events of one read, so that what they write goes out in one write. */
  onBatchStart(): void;
  /** Says when no slice of a body is looked at any more. */
  onBatchEnd(): Loan;
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing, mayHaveTrailers: boolean): void;
  onBody(slice: Buffer): void;
  onResponseEnd(trailers: Headers | undefined): void;
  /** The upstream opened the tunnel that was asked for: from now on bodies are bytes both ways. */
  onTunnel(head: ResponseHead): void;
  onDrain(): void;
  onBroken(failure: UpstreamFailure): void;
}
