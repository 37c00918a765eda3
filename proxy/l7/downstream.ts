/**
 * One HTTP/1 connection from a downstream: reads requests one at a time and runs an Exchange for each.
 *
 *   Idle ─▶ Head ─▶ Exchange ─▶ Idle …        Exchange ─▶ Switched (after 101)        any ─▶ Lingering ─▶ Closed
 *
 * Pipelined requests wait: reading stops while bytes of the next request are held, so that at most what one read gave
 * is. A downstream that half-closes behind its request still gets the response, as it would without a proxy. Invariant:
 * a connection on which framing broke carries no other request; before it closes, what was answered is delivered
 * (closing with unread bytes would reset it away, RFC 9112 §9.6).
 */
import type { Socket } from "node:net";
import type { ConnectionInfo, HTTPContext } from "./context.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import { BodyReader } from "./http1/body.ts";
import { HTTP1Error } from "./http1/errors.ts";
import { type RequestHead, parseRequestHead } from "./http1/request.ts";
import { HeadScanner } from "./http1/scanner.ts";
import { formatLocalReply } from "./reply.ts";
import { resetSocket, splice } from "./tcp.ts";
import { Deadline } from "./timer-wheel.ts";

/** Time without a request before a connection is closed, in ms: Envoy's idle_timeout default. */
export const keepAliveIdleMs = 3_600_000;
/** Time from a head's first byte to its last, in ms. */
export const requestHeadMs = 60_000;
/** Time for the downstream to take the last answer, in ms. */
const lingerMs = 2000;

type State = "idle" | "head" | "exchange" | "lingering" | "switched" | "closed";

export class DownstreamConnection implements ExchangeOwner {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  readonly #context: HTTPContext;
  readonly #scanner = new HeadScanner(true);
  readonly #body = new BodyReader();
  readonly #deadline: Deadline;
  readonly #emit = (slice: Buffer): void => this.#exchange?.onRequestBody(slice);
  #state: State = "idle";
  #exchange: Exchange | undefined;
  #head: RequestHead | undefined;
  /** Bytes behind the request in progress. */
  #stash: Buffer | undefined;
  #isBlocked = false;
  #isReading = false;
  #hasEnded = false;
  #lastMs = 0;
  #requestDueMs = Infinity;

  constructor(socket: Socket, info: ConnectionInfo, context: HTTPContext) {
    this.socket = socket;
    this.info = info;
    this.#context = context;
    this.#deadline = new Deadline((nowMs) => this.#onDeadline(nowMs));
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
    if (head === undefined || head.minor === 0 || head.hop.wantsClose || this.#hasEnded) return false;
    return !this.#context.isDraining();
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

  setDeadline(dueMs: number): void {
    this.#requestDueMs = dueMs;
    this.#armExchange();
  }

  onExchangeEnd(keepsAlive: boolean): void {
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

  switchTo(upstream: Socket, upstreamBytes: Buffer, onEnd: (received: number, sent: number) => void): void {
    const { deps } = this.#context;
    this.#state = "switched";
    deps.wheel.cancel(this.#deadline);
    this.socket.removeAllListeners("data").removeAllListeners("end").removeAllListeners("drain");
    const counts = { receivedBytes: 0, sentBytes: 0 };
    splice(this.socket, upstream, {
      wheel: deps.wheel,
      nowMs: deps.nowMs,
      idleMs: keepAliveIdleMs,
      downstreamBytes: this.#stash,
      upstreamBytes,
      counts,
      onEnd: () => onEnd(counts.receivedBytes, counts.sentBytes),
    });
    this.#stash = undefined;
  }

  #onDrain(): void {
    this.touch();
    this.#exchange?.onDownstreamDrain();
  }

  #onData(chunk: Buffer): void {
    if (this.#state === "lingering") return;
    this.touch();
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
          const head = parseRequestHead(this.#scanner.take(chunk, at, end));
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
          if (this.#body.isDone) this.#exchange?.onRequestEnd();
          break;
        case "lingering":
        case "switched":
        case "closed":
          return;
      }
    }
  }

  #begin(head: RequestHead): void {
    this.#state = "exchange";
    this.#head = head;
    this.#requestDueMs = Infinity;
    this.#body.start(head.framing);
    const exchange = new Exchange(this, this.#context, head, this.#lastMs);
    this.#exchange = exchange;
    exchange.start(this.#body.isDone);
    if (this.#exchange === exchange) this.#armExchange();
  }

  #onPartialHead(): void {
    if (this.#state === "head") return;
    this.#state = "head";
    this.#arm(this.#lastMs + requestHeadMs);
  }

  #onProtocolError(error: HTTP1Error): void {
    this.#context.deps.counters.protocolErrors++;
    this.#stash = undefined;
    const exchange = this.#exchange;
    if (exchange !== undefined) return exchange.onDownstreamError(error);
    if (this.#state === "idle" || this.#state === "head") this.#refuse(error.status, error.message);
  }

  /** Answers a request that could not be read. */
  #refuse(status: number, sentence: string): void {
    this.socket.write(formatLocalReply({ status, flag: "DPE", sentence, keepsAlive: false, isHead: false }), "latin1");
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
      case "lingering":
        this.socket.end();
        return;
      case "switched":
      case "closed":
    }
  }

  #onClose(): void {
    this.#context.deps.wheel.cancel(this.#deadline);
    if (this.#state === "switched") return;
    this.#state = "closed";
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.onDownstreamGone();
  }

  #becomeIdle(): void {
    this.#state = "idle";
    this.touch();
    this.#arm(this.#lastMs + keepAliveIdleMs);
  }

  /** Ends the answer and drops what still comes, until the downstream closes or time is up. */
  #linger(): void {
    this.#state = "lingering";
    this.#stash = undefined;
    this.#isBlocked = false;
    this.socket.end();
    this.#arm(this.#context.deps.nowMs() + lingerMs);
    this.#updateReading();
  }

  #updateReading(): void {
    const isWanted = !this.#isBlocked && this.#stash === undefined;
    const { socket } = this;
    if (socket.destroyed || this.#state === "switched") return;
    if (!isWanted) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }

  #armExchange(): void {
    const { streamIdleMs } = this.#context;
    const idleDueMs = streamIdleMs === 0 ? Infinity : this.#lastMs + streamIdleMs;
    this.#arm(Math.min(idleDueMs, this.#requestDueMs));
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
      case "exchange": {
        const { streamIdleMs } = this.#context;
        if (nowMs >= this.#requestDueMs) return this.#exchange?.onTimeout("route");
        if (streamIdleMs > 0 && nowMs >= this.#lastMs + streamIdleMs) return this.#exchange?.onTimeout("idle");
        return this.#armExchange();
      }
      case "lingering": {
        // A slow reader has what is left of the stream's idle time to take the rest of the answer.
        const mayRead = nowMs < this.#lastMs + (this.#context.streamIdleMs || keepAliveIdleMs);
        if (this.socket.writableFinished || !mayRead) this.socket.destroy();
        else this.#arm(nowMs + lingerMs);
        return;
      }
      case "switched":
      case "closed":
    }
  }
}
