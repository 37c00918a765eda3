/**
 * One request of an HTTP/2 downstream: a stream of node:http2 on one side, an exchange on the other.
 *
 *   HTTP2Connection ─▶ start(head) ─▶ Exchange ─▶ sendHead(), sendBody()*, end() ─▶ stream
 *
 * A paused stream's window is not opened again, which is what holds the downstream back. Invariants: the exchange is
 * told once that the downstream is gone; after a whole response to a request that is not, the stream is reset without
 * an error, so that the rest of the request is not waited for (RFC 9113 §8.1).
 */
import http2 from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import { messageOf } from "#lib/errors.ts";
import type { ConnectionInfo, HTTPContext } from "../context.ts";
import { startExchange } from "../filters/start.ts";
import { formatDate } from "../http1/date.ts";
import { type Headers, hopHeaders } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import { upgradeOf } from "../http1/write.ts";
import { type RenderedReply, mayHaveBody } from "../reply.ts";
import {
  type DownstreamHandler,
  type DownstreamStream,
  type Loan,
  type ResponseOptions,
  neverFree,
} from "../stream.ts";
import { Deadline } from "../timer-wheel.ts";
import { answerUnread } from "../unread.ts";
import { parseTrailers, toObject, toResponseList, toTunnelList, trailersOf } from "./heads.ts";
import { withKey } from "./websocket.ts";

const { NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_REFUSED_STREAM } = http2.constants;

const tooSlow = "Cannot read request: it did not come in time";

/** The connection, as its streams need it. */
export interface DownstreamOwner {
  readonly info: ConnectionInfo;
  readonly context: HTTPContext;
  onStreamEnd(): void;
}

export class HTTP2DownstreamStream implements DownstreamStream {
  readonly info: ConnectionInfo;
  readonly #owner: DownstreamOwner;
  readonly #stream: ServerHttp2Stream;
  readonly #deadline: Deadline;
  #exchange: DownstreamHandler | undefined;
  #head: RequestHead | undefined;
  #trailers: Headers | undefined;
  /** Trailers of the response, for when node:http2 asks for them. */
  #sentTrailers: Headers | undefined;
  #waitsForTrailers = false;
  #hasEnded = false;
  /** A request for a tunnel whose downstream ended its side: told when the tunnel is open. */
  #endsTunnel = false;
  #isTunnelAsked = false;
  #isTunnel = false;
  /** The downstream has ended its side. */
  #hasRequest = false;
  #idleMs: number;
  #lastMs: number;
  #dueMs = Infinity;
  /** When the request must have come, in ms. */
  #wholeDueMs = Infinity;

  constructor(owner: DownstreamOwner, stream: ServerHttp2Stream) {
    this.info = owner.info;
    this.#owner = owner;
    this.#stream = stream;
    this.#idleMs = owner.context.streamIdleMs;
    this.#lastMs = owner.context.deps.nowMs();
    this.#deadline = new Deadline((nowMs) => this.#onDeadline(nowMs));
    // "close" follows and acts.
    stream.on("error", () => undefined);
    stream.on("close", () => this.#onClose());
  }

  /** Begins the exchange. */
  start(received: RequestHead, isWhole: boolean): void {
    const stream = this.#stream;
    const head = withKey(received, this.#owner.context.deps.random);
    this.#head = head;
    this.#hasRequest = isWhole;
    const { requestMs } = this.#owner.context.options;
    if (requestMs > 0 && !isWhole) this.#wholeDueMs = this.#lastMs + requestMs;
    const exchange = startExchange(this, this.#owner.context, head, this.#lastMs);
    this.#exchange = exchange;
    stream.on("drain", () => this.#onDrain());
    const isTunnel = head.method === "CONNECT" || upgradeOf(head) !== undefined;
    this.#isTunnelAsked = isTunnel;
    // Its end is told when the stream closes: a stream whose end was told is destroyed before what was written is done,
    // which makes node:http2 an error, with a stack, for nobody.
    if (isWhole && !isTunnel) stream.pause();
    else this.#read(stream, exchange);
    // What comes before the tunnel is open waits for it.
    if (isTunnel) stream.pause();
    exchange.start(isWhole || isTunnel);
    // The first of the body may wait for what the head brings.
    exchange.flush();
    this.#arm();
  }

  /** Answers a request whose head was refused. */
  refuse(status: number, sentence: string): void {
    this.#stream.resume();
    this.reply(answerUnread({ status, sentence }, this.info, this.#owner.context));
  }

  cork(): void {
    // The session gathers what one turn writes by itself.
  }

  uncork(): Loan {
    // See cork(): it is written later.
    return neverFree;
  }

  sendInterim(head: ResponseHead): void {
    if (this.#wantsHead()) this.#stream.additionalHeaders({ ":status": head.status, ...interimOf(head) });
  }

  sendHead(head: ResponseHead, { framing, mayHaveTrailers }: ResponseOptions): void {
    const isEmpty = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0 && !mayHaveTrailers);
    this.#respond(toResponseList(head, head.status, this.#wallMs), isEmpty, mayHaveTrailers && !isEmpty);
  }

  sendBody(slice: Buffer): boolean {
    return this.#isOpen() ? this.#stream.write(slice) : true;
  }

  end(trailers: Headers | undefined): void {
    this.#sentTrailers = trailers;
    if (!this.#isTunnel) this.#finish();
    if (this.#isOpen()) this.#stream.end();
  }

  reply({ status, headers, body }: RenderedReply): void {
    const isEmpty = body.length === 0 || this.#head?.method === "HEAD" || !mayHaveBody(status);
    const list = [":status", String(status)];
    for (const [name, value] of headers) list.push(name.toLowerCase(), value);
    if (headers.every(([name]) => name.toLowerCase() !== "date")) list.push("date", formatDate(this.#wallMs));
    if (body.length > 0 && status !== 204) list.push("content-length", String(Buffer.byteLength(body)));
    this.#respond(list, isEmpty, false);
    this.#finish();
    if (!isEmpty && this.#isOpen()) this.#stream.end(body);
  }

  openTunnel(head: ResponseHead): void {
    this.#isTunnel = true;
    this.#wholeDueMs = Infinity;
    this.#respond(toTunnelList(head, this.#wallMs), false, false);
    this.#stream.resume();
    if (this.#endsTunnel) queueMicrotask(() => this.#exchange?.onRequestEnd(undefined));
  }

  /** INTERNAL_ERROR, by an error: close() would end the stream in front of the reset, and its body would look whole. */
  reset(): void {
    this.#exchange = undefined;
    if (!this.#stream.destroyed && !this.#stream.closed) this.#stream.destroy(new Error("the response is cut"));
  }

  /** The caller may ask elsewhere: the request was not looked at (RFC 9113 §8.7). */
  handBack(): void {
    this.#close(NGHTTP2_REFUSED_STREAM);
  }

  setBlocked(isBlocked: boolean): void {
    // A request without a body stays as it is: see start().
    if (this.#hasRequest && !this.#isTunnelAsked) return;
    if (isBlocked) this.#stream.pause();
    else this.#stream.resume();
  }

  touch(): void {
    this.#lastMs = this.#owner.context.deps.nowMs();
  }

  setIdle(idleMs: number): void {
    this.#idleMs = idleMs;
  }

  setDeadline(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#arm();
  }

  #read(stream: ServerHttp2Stream, exchange: DownstreamHandler): void {
    stream.on("data", (slice: Buffer) => {
      this.touch();
      exchange.onRequestBody(slice);
      exchange.flush();
    });
    stream.on("trailers", (_headers: object, _flags: number, raw: readonly string[]) => {
      this.#trailers = parseTrailers(raw);
    });
    // Trailers are told in the same turn, and may be behind the end.
    stream.on("end", () => queueMicrotask(() => this.#onEnd(stream, exchange)));
  }

  #onEnd(stream: ServerHttp2Stream, exchange: DownstreamHandler): void {
    // A reset ends the readable side too; the request is not whole by it.
    if (stream.rstCode !== NGHTTP2_NO_ERROR || stream.aborted) return;
    this.#hasRequest = true;
    this.#endsTunnel = this.#isTunnelAsked && !this.#isTunnel;
    if (this.#endsTunnel) return;
    exchange.onRequestEnd(this.#trailers);
    exchange.flush();
  }

  #respond(list: string[], endStream: boolean, waitForTrailers: boolean): void {
    const stream = this.#stream;
    if (!this.#wantsHead()) return;
    if (waitForTrailers)
      stream.once("wantTrailers", () => {
        const trailers = this.#sentTrailers;
        if (!stream.destroyed) stream.sendTrailers(trailers === undefined ? {} : trailersOf(trailers));
        this.#stopRequest();
      });
    this.#waitsForTrailers = waitForTrailers;
    try {
      stream.respond(list, { endStream, waitForTrailers, sendDate: false } as http2.ServerStreamResponseOptions);
    } catch (error) {
      // A head that node:http2 does not take: the stream is lost, the process is not.
      this.#owner.context.deps.log.warn("Cannot send response head over HTTP/2", { error: messageOf(error) });
      stream.close(NGHTTP2_INTERNAL_ERROR);
    }
  }

  /** Wall-clock time, in ms since 1970. */
  get #wallMs(): number {
    return this.#owner.context.deps.wallMs();
  }

  /** node:http2 has ended the writable side of a HEAD request from the start: its head is still to come. */
  #wantsHead(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.headersSent;
  }

  #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed && !this.#stream.writableEnded;
  }

  #onDrain(): void {
    this.touch();
    this.#exchange?.onDownstreamDrain();
  }

  /** The exchange is over: what is left is to deliver. */
  #finish(): void {
    const stream = this.#stream;
    this.#exchange = undefined;
    this.#owner.context.deps.wheel.cancel(this.#deadline);
    if (this.#hasRequest) return;
    stream.resume();
    if (this.#waitsForTrailers) return;
    if (stream.writableFinished) this.#stopRequest();
    else stream.once("finish", () => this.#stopRequest());
  }

  /** The response is out: the rest of the request is not waited for. */
  #stopRequest(): void {
    // A moment later, so that what was written goes out before the reset.
    if (!this.#hasRequest) this.#owner.context.deps.after(0, () => !this.#hasRequest && this.#close(NGHTTP2_NO_ERROR));
  }

  #close(code: number): void {
    this.#exchange = undefined;
    if (!this.#stream.destroyed && !this.#stream.closed) this.#stream.close(code);
  }

  #onClose(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#owner.context.deps.wheel.cancel(this.#deadline);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onDownstreamGone();
    this.#owner.onStreamEnd();
  }

  #arm(): void {
    if (this.#exchange === undefined) return;
    const idleDueMs = this.#idleMs === 0 ? Infinity : this.#lastMs + this.#idleMs;
    const dueMs = Math.min(idleDueMs, this.#dueMs, this.#hasRequest ? Infinity : this.#wholeDueMs);
    if (dueMs < Infinity) this.#owner.context.deps.wheel.arm(this.#deadline, dueMs);
  }

  #onDeadline(nowMs: number): void {
    if (!this.#hasRequest && nowMs >= this.#wholeDueMs) return this.#exchange?.onDownstreamError(408, tooSlow);
    if (nowMs >= this.#dueMs) return this.#exchange?.onTimeout("route");
    if (this.#idleMs > 0 && nowMs >= this.#lastMs + this.#idleMs) return this.#exchange?.onTimeout("idle");
    this.#arm();
  }
}

function interimOf(head: ResponseHead): Record<string, string | string[]> {
  return toObject(head.headers, (key) => !hopHeaders.has(key));
}
