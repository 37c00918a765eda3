/**
 * One request: route → cluster → endpoint → connection → response, with retries.
 *
 *   downstream.ts (head, body) ─▶ Exchange ─▶ upstream.ts ─▶ Exchange ─▶ downstream socket
 *
 *   Trying ─▶ Sending ─▶ Responding ─▶ Ended          (Trying | Sending) ─▶ Trying on a retry
 *
 * One state machine with two sides, so one file. Invariants: exactly one of: a whole response, a local reply, a reset,
 * a hand-back; one record to the observer for each but the hand-back. No body byte is copied. What is held is bounded:
 * `replayBytesMax` and what the sockets buffer.
 *
 * Hand-back (inbound): when the local application refuses or breaks the connection before the first byte, the
 * downstream connection is closed without an answer instead of 503. The calling sidecar knows other endpoints and may
 * retry there; a 503 from here would look like the application's own answer, which nobody may repeat. The caller counts
 * the request.
 */
import type { Socket } from "node:net";
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo, ExchangeRecord, HTTPContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { HTTP1Error } from "./http1/errors.ts";
import { type Framing, chunkedBody, untilCloseBody } from "./http1/framing.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import { formatChunkLine, formatInterimHead, formatRequestHead, formatResponseHead, upgradeOf } from "./http1/write.ts";
import { formatLocalReply } from "./reply.ts";
import { ResponseWriter } from "./response-writer.ts";
import { replayBytesMax, shouldRetry } from "./retry.ts";
import { type CompiledRoute, pickCluster } from "./route/table.ts";
import type { ResponseFlag } from "./types.ts";
import type { UpstreamConnection, UpstreamFailure, UpstreamHandler } from "./upstream.ts";

/** First delay before the same endpoint is tried again, in ms; doubled each time (Envoy's base interval). */
const sameEndpointDelayMs = 25;

/** The downstream connection, as an exchange needs it. */
export interface ExchangeOwner {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  /** The downstream wants, and may have, another request on this connection. */
  readonly keepsAlive: boolean;
  /** Stops or goes on reading the request's body. */
  setBlocked(isBlocked: boolean): void;
  /** Something moved: the stream is not idle. */
  touch(): void;
  /** The request must be done by then, in ms. */
  setDeadline(dueMs: number): void;
  /** The response is whole; without `keepsAlive` the connection is closed behind it. */
  onExchangeEnd(keepsAlive: boolean): void;
  /** Closes with a reset: what was sent is not whole. */
  abort(): void;
  /** Closes without an answer. */
  handBack(): void;
  /** Hands the socket over to a splice with the upstream. */
  switchTo(upstream: Socket, upstreamBytes: Buffer, onEnd: (received: number, sent: number) => void): void;
}

export class Exchange implements UpstreamHandler, ExchangeRecord {
  readonly connection: ConnectionInfo;
  readonly head: RequestHead;
  cluster: Cluster | undefined;
  endpoint: Endpoint | undefined;
  status = 0;
  flag: ResponseFlag = "-";
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;

  readonly #owner: ExchangeOwner;
  readonly #context: HTTPContext;
  readonly #startMs: number;
  readonly #response: ResponseWriter;
  #route: CompiledRoute | undefined;
  #requestText = "";
  #upstream: UpstreamConnection | undefined;
  /** Body slices for the first connection and for retries. */
  #replay: Buffer[] = [];
  #replayBytes = 0;
  #isReplayable = true;
  #tried: Endpoint[] = [];
  #retries = 0;
  #hasRequest = false;
  #isCorked = false;
  #isResponding = false;
  #hasEnded = false;
  #keepsAlive = false;

  constructor(owner: ExchangeOwner, context: HTTPContext, head: RequestHead, startMs: number) {
    this.#owner = owner;
    this.#context = context;
    this.head = head;
    this.#startMs = startMs;
    this.#response = new ResponseWriter(owner.socket);
    this.connection = owner.info;
  }

  get isResponding(): boolean {
    return this.#isResponding;
  }

  /** Routes the request and begins the first try. `isWhole`: no body follows. */
  start(isWhole: boolean): void {
    const { head } = this;
    this.#hasRequest = isWhole;
    const route = this.#context.routes()?.find(head);
    if (route === undefined) return this.#reply(404, "NR", "Cannot route request: no route matches its host and path");
    this.#route = route;
    if (isWhole) this.#startTimeout();
    if (route.target.kind === "direct") return this.#reply(route.target.status, "-", route.target.body);
    const name = pickCluster(route.target)!;
    this.cluster = this.#context.cluster(name);
    if (this.cluster === undefined)
      return this.#reply(
        route.unknownCluster ?? 503,
        "NC",
        `Cannot route request: cluster ${name} of its route is unknown`,
      );
    const { destination } = this.connection;
    const authority = destination === undefined ? name : `${destination.address}:${destination.port}`;
    this.#requestText = formatRequestHead(head, this.#context.requestHeaders, authority);
    const endpoint = this.cluster.pick(this.#tried, destination);
    if (endpoint === undefined)
      return this.#reply(503, "UH", `Cannot send request: cluster ${name} has no endpoint that serves`);
    this.#try(endpoint, true);
  }

  // Downstream side.

  onRequestBody(slice: Buffer): void {
    if (this.#hasEnded) return;
    this.requestBytes += slice.length;
    const upstream = this.#upstream;
    const isSending = upstream !== undefined && upstream.isConnected;
    // Without a retry rule nothing is held once there is a connection.
    if (this.#isReplayable && (!isSending || this.#route?.retry !== undefined)) this.#hold(slice, isSending);
    if (isSending && !this.#writeBody(upstream, slice)) this.#owner.setBlocked(true);
  }

  onRequestEnd(): void {
    if (this.#hasEnded) return;
    this.#hasRequest = true;
    this.#startTimeout();
    if (this.#upstream?.isConnected === true) this.#endRequest(this.#upstream);
  }

  /** The bytes at hand are handled: what was gathered goes out in one write. */
  flush(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    if (this.#upstream?.isConnected === true) this.#upstream.socket.uncork();
  }

  onDownstreamDrain(): void {
    if (this.#upstream?.isConnected === true) this.#upstream.socket.resume();
  }

  /** The downstream is gone: nobody waits for the response. */
  onDownstreamGone(): void {
    if (this.#hasEnded) return;
    this.flag = "DC";
    this.#end();
  }

  /** The request's body broke HTTP. */
  onDownstreamError(error: HTTP1Error): void {
    if (this.#hasEnded) return;
    if (!this.#isResponding) return this.#reply(error.status, "DPE", error.message);
    this.#abort("DPE");
  }

  /** The route's time is over, or no byte moved for the stream's idle time. */
  onTimeout(kind: "route" | "idle"): void {
    if (this.#hasEnded) return;
    const flag = kind === "route" ? "UT" : "SI";
    if (this.#isResponding) return this.#abort(flag);
    if (kind === "route") return this.#reply(504, "UT", "Cannot finish request: the route's timeout passed");
    if (this.#hasRequest) return this.#reply(504, "SI", "Cannot finish request: the upstream was silent for too long");
    this.#reply(408, "SI", "Cannot finish request: the downstream was silent for too long");
  }

  // Upstream side.

  onConnected(): void {
    const { socket } = this.#upstream!;
    socket.cork();
    this.#send(this.#upstream!);
    socket.uncork();
  }

  onBatchStart(): void {
    this.#owner.touch();
    this.#owner.socket.cork();
  }

  onBatchEnd(): void {
    this.#owner.socket.uncork();
  }

  onInterim(head: ResponseHead): void {
    // HTTP/1.0 has no interim responses.
    if (this.head.minor === 1) this.#owner.socket.write(formatInterimHead(head), "latin1");
  }

  onHead(head: ResponseHead, framing: Framing): void {
    this.status = head.status;
    this.#isResponding = true;
    this.#replay = [];
    this.#isReplayable = false;
    // A response before the end of the request: the rest of it is not read, so that nothing can follow.
    this.#keepsAlive = this.#owner.keepsAlive && this.#hasRequest;
    const isDelimited = framing.kind === "none" || framing.kind === "length";
    const down = isDelimited ? framing : this.head.minor === 1 ? chunkedBody : untilCloseBody;
    const text = formatResponseHead(head, {
      framing: down,
      isBodiless: framing.kind === "none",
      keepsAlive: this.#keepsAlive,
    });
    this.#response.start(text, down.kind === "chunked");
  }

  onBody(slice: Buffer): void {
    this.responseBytes += slice.length;
    if (!this.#response.body(slice)) this.#upstream?.socket.pause();
  }

  onResponseEnd(): void {
    this.#upstream = undefined;
    this.#response.end();
    this.#end();
    this.#owner.onExchangeEnd(this.#keepsAlive);
  }

  onSwitch(head: ResponseHead, socket: Socket, rest: Buffer): void {
    this.#upstream = undefined;
    if (upgradeOf(this.head) === undefined) {
      socket.destroy();
      return this.#reply(502, "UPE", "Cannot read response: 101 to a request that did not ask for an upgrade");
    }
    this.status = 101;
    this.#isResponding = true;
    this.#owner.socket.write(formatInterimHead(head), "latin1");
    this.#owner.switchTo(socket, rest, (received, sent) => {
      this.requestBytes += received;
      this.responseBytes += sent;
      this.#end();
    });
  }

  onDrain(): void {
    this.#owner.touch();
    this.#owner.setBlocked(false);
  }

  onBroken(failure: UpstreamFailure): void {
    this.#upstream = undefined;
    this.#isCorked = false;
    if (this.#isResponding) return this.#abort(failure.kind === "malformed" ? "UPE" : "UC");
    const request = { method: this.head.method, retries: this.#retries, isReplayable: this.#isReplayable };
    if (shouldRetry(this.#route?.retry, failure, request)) return this.#retry(failure);
    if (failure.kind === "malformed") return this.#reply(502, "UPE", failure.why);
    if (this.connection.direction === "inbound" && (failure.kind === "connect" || !failure.sawBytes))
      return this.#handBack(failure.kind);
    if (failure.kind === "connect")
      return this.#reply(503, "UF", `Cannot connect to an endpoint of ${this.cluster!.name}: ${failure.why}`);
    this.#reply(503, "UC", `Cannot read response of ${this.cluster!.name}: the upstream closed before its end`);
  }

  // Steps.

  /** Envoy's route timeout runs from the end of the request, over all tries. */
  #startTimeout(): void {
    const timeoutMs = this.#route?.timeoutMs ?? 0;
    if (timeoutMs > 0) this.#owner.setDeadline(this.#context.deps.nowMs() + timeoutMs);
  }

  #try(endpoint: Endpoint, mayReuse: boolean): void {
    this.endpoint = endpoint;
    const { method } = this.head;
    const idle = mayReuse ? endpoint.pool.take(this.#startMs) : undefined;
    if (idle !== undefined) {
      idle.begin(this, method);
      this.#upstream = idle;
      this.#isCorked = !this.#hasRequest;
      if (this.#isCorked) idle.socket.cork();
      return this.#send(idle);
    }
    this.#upstream = endpoint.pool.open(this, method, this.cluster!.spec.connectTimeoutMs);
    if (this.#upstream === undefined)
      this.#reply(503, "UO", `Cannot connect to ${this.cluster!.name}: it has all the connections it may have`);
  }

  #retry(failure: UpstreamFailure): void {
    this.#retries++;
    this.#context.deps.counters.retries++;
    this.#tried.push(this.endpoint!);
    const endpoint = this.cluster!.pick(this.#tried, this.connection.destination);
    if (endpoint === undefined)
      return this.#reply(503, "UH", `Cannot send request: cluster ${this.cluster!.name} has no endpoint that serves`);
    // A connection that was idle may have been closed by a healthy endpoint; one that refused wants a moment.
    if (failure.kind === "reset" || !this.#tried.includes(endpoint)) return this.#try(endpoint, false);
    this.#context.deps.after(sameEndpointDelayMs * 2 ** (this.#retries - 1), () => {
      if (!this.#hasEnded) this.#try(endpoint, false);
    });
  }

  /** Writes the head and what came of the body so far. */
  #send(upstream: UpstreamConnection): void {
    const { socket } = upstream;
    let isWritable = socket.write(this.#requestText, "latin1");
    for (const slice of this.#replay) isWritable = this.#writeBody(upstream, slice);
    if (this.#replayBytes > replayBytesMax || this.#route?.retry === undefined) this.#dropReplay();
    if (this.#hasRequest) this.#endRequest(upstream);
    if (!this.#hasRequest) this.#owner.setBlocked(!isWritable);
  }

  #writeBody({ socket }: UpstreamConnection, slice: Buffer): boolean {
    if (this.head.framing.kind !== "chunked") return socket.write(slice);
    socket.write(formatChunkLine(slice.length), "latin1");
    socket.write(slice);
    return socket.write("\r\n", "latin1");
  }

  #endRequest(upstream: UpstreamConnection): void {
    if (this.head.framing.kind === "chunked") upstream.socket.write("0\r\n\r\n", "latin1");
    upstream.requestEnded();
  }

  #hold(slice: Buffer, isSending: boolean): void {
    this.#replay.push(slice);
    this.#replayBytes += slice.length;
    if (this.#replayBytes <= replayBytesMax) return;
    // While there is no connection yet, nothing may be dropped: the downstream waits instead.
    if (isSending) this.#dropReplay();
    else this.#owner.setBlocked(true);
  }

  #dropReplay(): void {
    if (this.#replayBytes > 0) this.#isReplayable = false;
    this.#replay = [];
  }

  #reply(status: number, flag: ResponseFlag, sentence: string): void {
    this.status = status;
    this.flag = flag;
    const keepsAlive = this.#owner.keepsAlive && this.#hasRequest;
    const text = formatLocalReply({ status, flag, sentence, keepsAlive, isHead: this.head.method === "HEAD" });
    this.responseBytes = sentence.length;
    this.#end();
    this.#owner.socket.write(text, "latin1");
    this.#owner.onExchangeEnd(keepsAlive);
  }

  #abort(flag: ResponseFlag): void {
    this.flag = flag;
    this.#end();
    this.#owner.abort();
  }

  #handBack(reason: "connect" | "reset"): void {
    this.#hasEnded = true;
    this.#context.deps.counters.handedBack[reason]++;
    this.#owner.handBack();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#upstream?.destroy();
    this.#upstream = undefined;
    this.#replay = [];
    this.durationMs = this.#context.deps.nowMs() - this.#startMs;
    this.#context.observer.onExchange(this);
  }
}
