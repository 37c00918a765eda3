/**
 * One HTTP/1 connection from a downstream: reads requests one at a time and runs an Exchange for each.
 *
 *   Idle ─▶ Head ─▶ Exchange ─▶ Idle …        Exchange ─▶ Tunnel (after 101)        any ─▶ Lingering ─▶ Closed
 *
 * Pipelined requests wait: reading stops while bytes of the next request are held, so that at most what one read gave
 * is. A downstream that half-closes behind its request still gets the response, as it would without a proxy. Invariant:
 * a connection on which framing broke carries no other request; before it closes, what was answered is delivered
 * (closing with unread bytes would reset it away, RFC 9112 §9.6).
 */
import type { Socket } from "node:net";
import type { ConnectionInfo, HTTPContext } from "./context.ts";
import { startExchange } from "./filters/run.ts";
import { BodyReader } from "./http1/body.ts";
import { HTTP1Error } from "./http1/errors.ts";
import { type RequestHead, parseRequestHead } from "./http1/request.ts";
import { HeadScanner } from "./http1/scanner.ts";
import { countRead } from "./read-buffers.ts";
import { formatReply, renderReply } from "./reply.ts";
import { ResponseWriter, type WriterOwner } from "./response-writer.ts";
import type { DownstreamHandler } from "./stream.ts";
import { resetSocket } from "./tcp.ts";
import { Deadline } from "./timer-wheel.ts";

/** Time without a byte before a tunnel is closed, in ms: Envoy's tcp_proxy default. */
const tunnelIdleMs = 3_600_000;
/** Time for the downstream to take the last answer, in ms. */
const lingerMs = 2000;

const tooSlow = "Cannot read request: it did not come in time";

type State = "idle" | "head" | "exchange" | "tunnel" | "lingering" | "closed";

export class DownstreamConnection implements WriterOwner {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  readonly #context: HTTPContext;
  readonly #scanner: HeadScanner;
  readonly #body = new BodyReader();
  readonly #deadline: Deadline;
  readonly #emit = (slice: Buffer): void => this.#exchange?.onRequestBody(slice);
  #state: State = "idle";
  readonly #writer: ResponseWriter;
  #exchange: DownstreamHandler | undefined;
  #head: RequestHead | undefined;
  readonly #startMs: number;
  /** Bytes behind the request in progress. */
  #stash: Buffer | undefined;
  #isBlocked = false;
  #isReading = false;
  #hasEnded = false;
  #lastMs = 0;
  #requestDueMs = Infinity;
  /** When the request must have come, in ms. */
  #wholeDueMs = Infinity;
  /** Of the request in hand. */
  #streamIdleMs = 0;

  constructor(socket: Socket, info: ConnectionInfo, context: HTTPContext) {
    this.socket = socket;
    this.info = info;
    this.#context = context;
    this.#deadline = new Deadline((nowMs) => this.#onDeadline(nowMs));
    this.#writer = new ResponseWriter(this);
    this.#startMs = context.deps.nowMs();
    this.#scanner = new HeadScanner(true, context.options.headBytesMax);
  }

  /** Serves the socket from now on; `initial` is what was read from it before. */
  start(initial: Buffer | undefined): void {
    const { socket } = this;
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("drain", () => this.#onDrain());
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
    const head = this.#head;
    if (head === undefined || head.protocol === "HTTP/1.0" || head.hop.wantsClose || this.#hasEnded) return false;
    const { connectionMsMax } = this.#context.options;
    if (connectionMsMax > 0 && this.#lastMs - this.#startMs >= connectionMsMax) return false;
    return !this.#context.isDraining();
  }

  get head(): RequestHead | undefined {
    return this.#head;
  }

  get sendsTrailers(): boolean {
    return this.#context.options.sendsTrailers;
  }

  /** Nothing to say before the next response: that one closes the connection. */
  drain(): void {
    // Responses ask isDraining().
  }

  /** Closes the connection when it is between requests; one in a request closes behind its response. */
  closeIfIdle(): void {
    if (this.#state === "idle") this.#linger();
  }

  /** Closes the connection whatever it is doing. */
  destroy(): void {
    this.socket.destroy();
  }

  setBlocked(isBlocked: boolean): void {
    this.#isBlocked = isBlocked;
    this.#updateReading();
  }

  touch(): void {
    this.#lastMs = this.#context.deps.nowMs();
  }

  setIdle(idleMs: number): void {
    this.#streamIdleMs = idleMs;
  }

  setDeadline(dueMs: number): void {
    this.#requestDueMs = dueMs;
    this.#armExchange();
  }

  onResponseEnd(keepsAlive: boolean): void {
    this.#exchange = undefined;
    this.#head = undefined;
    this.#isBlocked = false;
    if (this.#state !== "exchange") return;
    if (!keepsAlive || !this.#body.isDone) return this.#linger();
    this.#becomeIdle();
    // The loop of #read goes on by itself; otherwise the stash is taken up here.
    if (this.#isReading) return;
    const stash = this.#stash;
    this.#stash = undefined;
    if (stash !== undefined) this.#read(stash);
    this.#updateReading();
  }

  abort(): void {
    this.#exchange = undefined;
    resetSocket(this.socket);
  }

  handBack(): void {
    this.#exchange = undefined;
    this.socket.destroy();
  }

  /** Exchange => Tunnel. What came behind the request belongs to the tunnel. */
  onTunnel(): void {
    this.#state = "tunnel";
    this.#isBlocked = false;
    this.#requestDueMs = Infinity;
    this.#armExchange();
    const stash = this.#stash;
    this.#stash = undefined;
    if (stash !== undefined) this.#exchange?.onRequestBody(stash);
    if (this.#hasEnded) this.#exchange?.onRequestEnd(undefined);
    this.#updateReading();
  }

  #onDrain(): void {
    this.touch();
    this.#exchange?.onDownstreamDrain();
  }

  #onData(chunk: Buffer): void {
    if (this.#state === "lingering") return;
    this.touch();
    countRead(chunk.length);
    if (this.#stash !== undefined) this.#stash = Buffer.concat([this.#stash, chunk]);
    else this.#read(chunk);
    this.#updateReading();
  }

  #read(chunk: Buffer): void {
    this.#isReading = true;
    try {
      this.#readMessages(chunk);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.#onProtocolError(error);
    } finally {
      this.#isReading = false;
    }
    this.#exchange?.flush();
  }

  #readMessages(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case "idle":
        case "head": {
          const end = this.#scanner.push(chunk, at);
          if (end < 0) return this.#onPartialHead();
          const head = parseRequestHead(this.#scanner.take(chunk, at, end), this.#context.options.headersMax);
          at = end;
          this.#begin(head);
          break;
        }
        case "exchange":
          if (this.#body.isDone) {
            this.#stash = chunk.subarray(at);
            return;
          }
          at = this.#body.consume(chunk, at, this.#emit);
          if (this.#body.isDone) this.#onRequestEnd();
          break;
        case "tunnel":
          this.#exchange?.onRequestBody(at === 0 ? chunk : chunk.subarray(at));
          return;
        case "lingering":
        case "closed":
          return;
      }
    }
  }

  #begin(head: RequestHead): void {
    this.#state = "exchange";
    this.#head = head;
    const { options, streamIdleMs } = this.#context;
    if (head.protocol === "HTTP/1.0" && !options.acceptsHTTP10)
      return this.#refuse(426, "Cannot serve HTTP/1.0: this listener wants HTTP/1.1");
    this.#requestDueMs = Infinity;
    this.#streamIdleMs = streamIdleMs;
    this.#body.start(head.framing);
    this.#wholeDueMs = options.requestMs > 0 && !this.#body.isDone ? this.#lastMs + options.requestMs : Infinity;
    const exchange = startExchange(this.#writer, this.#context, head, this.#lastMs);
    this.#exchange = exchange;
    exchange.start(this.#body.isDone);
    if (this.#exchange === exchange) this.#armExchange();
  }

  #onRequestEnd(): void {
    this.#wholeDueMs = Infinity;
    this.#exchange?.onRequestEnd(this.#body.trailers);
  }

  #onPartialHead(): void {
    if (this.#state === "head") return;
    this.#state = "head";
    this.#arm(this.#lastMs + this.#context.options.requestHeadMs);
  }

  #onProtocolError(error: HTTP1Error): void {
    this.#context.deps.counters.protocolErrors++;
    this.#stash = undefined;
    const exchange = this.#exchange;
    if (exchange !== undefined) return exchange.onDownstreamError(error.status, error.message);
    if (this.#state === "idle" || this.#state === "head") this.#refuse(error.status, error.message);
  }

  /** Answers a request that could not be read. */
  #refuse(status: number, sentence: string): void {
    const reply = renderReply({ status, flag: "DPE", sentence }, undefined);
    this.#writer.flush();
    this.socket.write(formatReply(reply, { keepsAlive: false, isHead: false }));
    this.#context.observer.onExchange({
      connection: this.info,
      head: undefined,
      cluster: undefined,
      endpoint: undefined,
      status,
      flag: "DPE",
      requestBytes: 0,
      responseBytes: sentence.length,
      durationMs: 0,
    });
    this.#linger();
  }

  #onEnd(): void {
    this.#hasEnded = true;
    switch (this.#state) {
      case "idle":
      case "head":
        this.socket.end();
        return;
      case "exchange":
        // The request can not become whole any more; behind a whole one the response is still wanted.
        if (this.#body.isDone) return;
        this.#exchange?.onDownstreamGone();
        this.#exchange = undefined;
        this.socket.destroy();
        return;
      case "tunnel":
        return this.#exchange?.onRequestEnd(undefined);
      case "lingering":
        this.socket.end();
        return;
      case "closed":
    }
  }

  #onClose(): void {
    this.#context.deps.wheel.cancel(this.#deadline);
    this.#state = "closed";
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onDownstreamGone();
  }

  #becomeIdle(): void {
    this.#state = "idle";
    this.touch();
    this.#arm(this.#lastMs + this.#context.options.keepAliveIdleMs);
  }

  /** Ends the answer and drops what still comes, until the downstream closes or time is up. */
  #linger(): void {
    this.#state = "lingering";
    this.#stash = undefined;
    this.#isBlocked = false;
    this.#writer.flush();
    this.socket.end();
    this.#arm(this.#context.deps.nowMs() + lingerMs);
    this.#updateReading();
  }

  #updateReading(): void {
    const isWanted = !this.#isBlocked && this.#stash === undefined;
    const { socket } = this;
    if (socket.destroyed) return;
    if (!isWanted) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }

  #armExchange(): void {
    const idleMs = this.#idleMs();
    const idleDueMs = idleMs === 0 ? Infinity : this.#lastMs + idleMs;
    this.#arm(Math.min(idleDueMs, this.#requestDueMs, this.#wholeDueMs));
  }

  #idleMs(): number {
    return this.#state === "tunnel" ? tunnelIdleMs : this.#streamIdleMs;
  }

  #onIdle(): void {
    this.#exchange?.onTimeout("idle");
    // A tunnel whose both sides have ended may still wait for a peer that takes nothing.
    if (this.#state === "tunnel") this.socket.destroy();
  }

  #arm(dueMs: number): void {
    const { wheel } = this.#context.deps;
    if (dueMs === Infinity) wheel.cancel(this.#deadline);
    else wheel.arm(this.#deadline, dueMs);
  }

  #onDeadline(nowMs: number): void {
    switch (this.#state) {
      case "idle":
        return this.#linger();
      case "head":
        return this.#refuse(408, "Cannot read request: its head did not come in time");
      case "exchange":
      case "tunnel": {
        const idleMs = this.#idleMs();
        if (nowMs >= this.#wholeDueMs) return this.#exchange?.onDownstreamError(408, tooSlow);
        if (nowMs >= this.#requestDueMs) return this.#exchange?.onTimeout("route");
        if (idleMs > 0 && nowMs >= this.#lastMs + idleMs) return this.#onIdle();
        return this.#armExchange();
      }
      case "lingering": {
        // A slow reader has what is left of the stream's idle time to take the rest of the answer.
        const mayRead = nowMs < this.#lastMs + (this.#streamIdleMs || tunnelIdleMs);
        if (this.socket.writableFinished || !mayRead) this.socket.destroy();
        else this.#arm(nowMs + lingerMs);
        return;
      }
      case "closed":
    }
  }
}
