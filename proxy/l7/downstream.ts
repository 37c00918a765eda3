/**
 * One HTTP/1 connection from a downstream: reads requests one at a time and runs an Exchange for each.
 *
 *   socket ─▶ request-reader.ts ─▶ Exchange ─▶ response-writer.ts ─▶ socket        states: downstream-state.ts
 *
 * Pipelined requests wait: reading stops while bytes of the next request are held, so that at most what one read gave
 * is. A downstream that ends its side in a request is gone, as for Envoy: who waits with half a connection cannot be
 * told from who left. Invariant: a connection on which framing broke carries no other request; before it closes, what
 * was answered is delivered (closing with unread bytes would reset it away, RFC 9112 §9.6).
 */
import type { Socket } from "node:net";
import type { ConnectionInfo, HTTPContext } from "./context.ts";
import { type State, expectations, mayFollow } from "./downstream-state.ts";
import { DownstreamTimer } from "./downstream-timer.ts";
import { startExchange } from "./filters/start.ts";
import type { HTTP1Error } from "./http1/errors.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import { ReadBuffer, type ReadResult } from "./read-buffers.ts";
import { readInto } from "./direct-reads.ts";
import { formatReply } from "./reply.ts";
import { type ReaderOwner, RequestReader } from "./request-reader.ts";
import { ResponseWriter, type WriterOwner } from "./response-writer.ts";
import { type Starter, startQueue } from "./start-queue.ts";
import type { DownstreamHandler } from "./stream.ts";
import { resetSocket } from "./tcp.ts";
import { type Unread, answerUnread, detailsOfError } from "./unread.ts";

/** Time for the downstream to take the last answer, in ms. */
const lingerMs = 2000;
/** Time for a slow one, where its listener has no idle time for streams, in ms. */
const slowReaderMs = 3_600_000;
/** Of a read that is a part of a body. */
const largeBytes: number = 64 * 1024;
const oldVersion: Unread = {
  status: 426,
  sentence: "Cannot serve HTTP/1.0: this listener wants HTTP/1.1",
  details: "low_version",
};
const lateHead: Unread = {
  status: 408,
  sentence: "Cannot read request: its head did not come in time",
  details: "request_header_timeout",
};
const dropped: ReadResult = { isFree: true, isInBody: false };
const held: ReadResult = { isFree: false, isInBody: false };

export class DownstreamConnection implements WriterOwner, ReaderOwner, Starter {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  readonly #context: HTTPContext;
  readonly timer: DownstreamTimer;
  readonly #reader: RequestReader;
  readonly #reads = new ReadBuffer((chunk) => this.#onData(chunk), largeBytes);
  #state: State = "idle";
  readonly #writer: ResponseWriter;
  #exchange: DownstreamHandler | undefined;
  #head: RequestHead | undefined;
  #isBlocked = false;

  constructor(socket: Socket, info: ConnectionInfo, context: HTTPContext) {
    this.socket = socket;
    readInto(socket, this.#reads.options);
    this.info = info;
    this.#context = context;
    this.timer = new DownstreamTimer(context.deps, (nowMs) => this.#onDeadline(nowMs));
    this.#writer = new ResponseWriter(this);
    this.#reader = new RequestReader(this, context.options);
  }

  /** Serves the socket from now on; `initial` is what was read from it before. */
  start(initial: Buffer | undefined): void {
    const { socket } = this;
    socket.on("data", (chunk: Buffer) => this.#reads.pass(chunk));
    socket.on("drain", () => {
      this.timer.touch();
      this.#exchange?.onDownstreamDrain();
    });
    socket.on("end", () => this.#onEnd());
    // "close" follows and acts; the reason does not matter to a downstream that is gone.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#onClose());
    this.#becomeIdle();
    if (initial !== undefined) this.#onData(initial);
    this.#updateReading();
    if (socket.readableEnded) this.#onEnd();
  }

  get keepsAlive(): boolean {
    const { connectionMsMax } = this.#context.options;
    if (connectionMsMax > 0 && this.timer.ageMs >= connectionMsMax) return false;
    return mayFollow(this.#head) && !this.#context.isDraining();
  }

  get wallMs(): () => number {
    return this.#context.deps.wallMs;
  }

  get head(): RequestHead | undefined {
    return this.#head;
  }

  get sendsTrailers(): boolean {
    return this.#context.options.sendsTrailers;
  }

  drain(): void {
    // Nothing to say before the next response: that one asks isDraining(), and closes the connection.
  }

  endKeepAlive(): void {
    // As drain().
  }

  /** Closes the connection when it is between requests; one in a request closes behind its response. */
  closeIfIdle(): void {
    if (this.#state === "idle") this.#linger();
  }

  destroy(): void {
    this.#writer.flush();
    this.socket.destroy();
  }

  setBlocked(isBlocked: boolean): void {
    this.#isBlocked = isBlocked;
    this.#updateReading();
  }

  onResponseEnd(keepsAlive: boolean): void {
    this.#exchange = undefined;
    this.#head = undefined;
    this.#isBlocked = false;
    if (this.#state !== "exchange") return;
    if (!keepsAlive || !this.#reader.isWhole) return this.#linger();
    this.#becomeIdle();
    this.#reader.next();
    this.#updateReading();
  }

  abort(): void {
    this.#exchange = undefined;
    this.#writer.flush();
    resetSocket(this.socket, this.#writer.isWriting);
  }

  handBack(): void {
    this.#exchange = undefined;
    // The answers before it are whole.
    this.destroy();
  }

  /** Exchange => Tunnel. What came behind the request belongs to the tunnel. */
  onTunnel(): void {
    this.#state = "tunnel";
    this.#isBlocked = false;
    this.timer.armStream();
    const stash = this.#reader.takeStash();
    if (stash !== undefined) this.#exchange?.onRequestBody(stash);
    this.#updateReading();
  }

  #onData(chunk: Buffer): ReadResult {
    if (this.#state === "lingering") return dropped;
    this.timer.touch();
    if (this.#state === "idle" && !startQueue.admit(this)) {
      this.#state = "waiting";
      this.#reader.hold(chunk);
      return held;
    }
    this.#reader.push(chunk);
    this.#updateReading();
    const isInBody = this.#state === "tunnel" || (this.#state === "exchange" && !this.#reader.isWhole);
    return { isFree: false, isInBody };
  }

  /** Waiting => (Head | Exchange | Lingering). */
  begin(): void {
    if (this.#state !== "waiting") return;
    this.#state = "idle";
    this.#reader.next();
    this.#updateReading();
  }

  get expects(): ReaderOwner["expects"] {
    return expectations[this.#state];
  }

  onRequestBody(slice: Buffer): void {
    this.#exchange?.onRequestBody(slice);
  }

  onReadEnd(): void {
    this.#exchange?.flush();
  }

  onRequestHead(head: RequestHead): void {
    this.#state = "exchange";
    this.#head = head;
    const { options, streamIdleMs } = this.#context;
    if (head.protocol === "HTTP/1.0" && !options.acceptsHTTP10) return this.#refuse(oldVersion);
    this.#reader.startBody(head.framing);
    this.timer.beginStream(streamIdleMs, this.#reader.isWhole ? 0 : options.requestMs);
    const exchange = startExchange(this.#writer, this.#context, head, this.timer.lastMs);
    this.#exchange = exchange;
    exchange.start(this.#reader.isWhole, this.timer.lastMs);
    if (this.#exchange === exchange) this.timer.armStream();
  }

  onRequestEnd(trailers: Headers | undefined): void {
    this.timer.wholeDueMs = Infinity;
    this.#exchange?.onRequestEnd(trailers);
  }

  onPartialHead(): void {
    if (this.#state === "head") return;
    this.#state = "head";
    this.timer.arm(this.timer.lastMs + this.#context.options.requestHeadMs);
  }

  onProtocolError(error: HTTP1Error): void {
    this.#context.deps.counters.protocolErrors++;
    const exchange = this.#exchange;
    if (exchange !== undefined) return exchange.onDownstreamError(error.status, error.message);
    if (this.#state !== "idle" && this.#state !== "head") return;
    this.#refuse({ status: error.status, sentence: error.message, details: detailsOfError(error.code) });
  }

  /** Answers a request that could not be read. */
  #refuse(unread: Unread): void {
    const reply = answerUnread(unread, this.info, this.#context);
    this.#writer.flush();
    this.socket.write(formatReply(reply, { keepsAlive: false, isHead: false, wallMs: this.wallMs() }));
    this.#linger();
  }

  #onEnd(): void {
    switch (this.#state) {
      case "idle":
      case "head":
      case "lingering":
        this.#writer.flush();
        this.socket.end();
        return;
      case "waiting":
        this.begin();
        return this.#onEnd();
      case "exchange":
        this.#exchange?.onDownstreamGone();
        this.#exchange = undefined;
        // What was answered before is delivered; what was begun must not look whole, as HTTP/1.0's would.
        this.#writer.flush();
        if (this.#head?.protocol === "HTTP/1.0") resetSocket(this.socket, this.#writer.isWriting);
        else this.socket.destroySoon();
        return;
      case "tunnel":
        return this.#exchange?.onRequestEnd(undefined);
      case "closed":
    }
  }

  #onClose(): void {
    this.timer.cancel();
    this.#state = "closed";
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onDownstreamGone();
  }

  #becomeIdle(): void {
    this.#state = "idle";
    this.timer.touch();
    const { keepAliveIdleMs, connectionMsMax } = this.#context.options;
    this.timer.armIdle(keepAliveIdleMs, connectionMsMax);
  }

  /** Ends the answer and drops what still comes, until the downstream closes or time is up. */
  #linger(): void {
    this.#state = "lingering";
    this.#reader.takeStash();
    this.#isBlocked = false;
    this.#writer.flush();
    this.socket.end();
    this.timer.arm(this.#context.deps.nowMs() + lingerMs);
    this.#updateReading();
  }

  #updateReading(): void {
    const isWanted = !this.#isBlocked && !this.#reader.hasStash;
    const { socket } = this;
    if (socket.destroyed) return;
    if (!isWanted) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }

  #onDeadline(nowMs: number): void {
    switch (this.#state) {
      case "idle":
        return this.#linger();
      case "waiting":
        // What comes next has a time of its own.
        return;
      case "head":
        return this.#refuse(lateHead);
      case "exchange":
      case "tunnel":
        return this.#onStreamDeadline(nowMs, this.#state === "tunnel");
      case "lingering": {
        // A slow reader has what is left of the stream's idle time to take the rest of the answer.
        const mayRead = nowMs < this.timer.lastMs + (this.timer.streamIdleMs || slowReaderMs);
        if (this.socket.writableFinished || !mayRead) this.socket.destroy();
        else this.timer.arm(nowMs + lingerMs);
        return;
      }
      case "closed":
    }
  }

  #onStreamDeadline(nowMs: number, isTunnel: boolean): void {
    switch (this.timer.streamVerdict(nowMs)) {
      case "whole":
        return this.#exchange?.onDownstreamError(408, "Cannot read request: it did not come in time");
      case "route":
        this.#exchange?.onTimeout("route");
        if (isTunnel) this.destroy();
        return;
      case "idle":
        this.#exchange?.onTimeout("idle");
        // A tunnel whose both sides have ended may still wait for a peer that takes nothing.
        if (isTunnel) this.destroy();
        return;
      case "nothing":
        return this.timer.armStream();
    }
  }
}
