/**
 * One connection to an endpoint: reads the responses and tells the exchange that uses it.
 *
 *   Connecting ─▶ Busy ⇄ Idle (pool.ts) ─▶ Closed        Busy ─▶ Tunnel (after 101) ─▶ Closed
 *
 * Invariants: at most one exchange at a time; an idle connection that receives a byte, an end or an error is closed and
 * leaves the pool at once; after a response that broke HTTP the connection is closed.
 */
import type { Socket } from "node:net";
import { readInto } from "./direct-reads.ts";
import type { DialFailure } from "./dial-failure.ts";
import { type DialOwner, type DialTarget, Dialing } from "./dial.ts";
import { GatheredWriter } from "./gathered-writer.ts";
import { BodyReader } from "./http1/body.ts";
import { HTTP1Error } from "./http1/errors.ts";
import { responseFraming } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import { type ResponseHead, parseResponseHead } from "./http1/response.ts";
import { HeadScanner } from "./http1/scanner.ts";
import { formatChunkLine, formatRequestHead, formatTrailers, type OutgoingRequest } from "./http1/write.ts";
import { ReadBuffer, type ReadResult } from "./read-buffers.ts";
import type { PendingStream, UpstreamFailure, UpstreamHandler, UpstreamStream } from "./stream.ts";
import { resetSocket } from "./tcp.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";
import { type ConnectionOwner, opened, tunnelMethod } from "./upstream-owner.ts";
import { readPastWriteErrors } from "./write-errors.ts";

/** Interim responses (1xx) in a row before the upstream is taken for broken. */
const interimMax = 16;

type State = "connecting" | "idle" | "busy" | "tunnel" | "closed";

export class UpstreamConnection implements UpstreamStream, PendingStream, DialOwner {
  readonly deps: EngineDeps;
  readonly protocol = "HTTP/1.1";
  readonly #pool: ConnectionOwner;
  readonly #scanner = new HeadScanner(false);
  readonly #body = new BodyReader();
  readonly #deadline: Deadline;
  readonly #reads = new ReadBuffer((chunk) => this.#onData(chunk));
  readonly #emit = (slice: Buffer): void => this.#handler?.onBody(slice);
  #state: State = "connecting";
  #dialing: Dialing | undefined;
  #socket: Socket | undefined;
  #out: GatheredWriter | undefined;
  #handler: UpstreamHandler | undefined;
  #method: string;
  #hasHead = false;
  #sawBytes = false;
  #interims = 0;
  #requests = 0;
  #isReusable = false;
  /** A write failed: what is there still of an answer is read, and its end says nothing. */
  #isCut = false;
  #isChunked = false;
  /** A head was sent. */
  #isAsked = false;
  #requestEnded = false;
  #idleSinceMs = 0;

  constructor(pool: ConnectionOwner, handler: UpstreamHandler, method: string) {
    this.#pool = pool;
    this.deps = pool.deps;
    this.#handler = handler;
    this.#method = method;
    this.#deadline = new Deadline((nowMs) => this.#onIdleDeadline(nowMs));
  }

  get socket(): Socket | undefined {
    return this.#socket;
  }

  connect(target: DialTarget): void {
    const { options: onread } = this.#reads;
    this.#dialing = new Dialing(this, target.tls === undefined ? { ...target, onread } : target);
  }

  onDialFailed(failure: DialFailure): void {
    this.#pool.countFailure(failure, 1);
    this.#close({ kind: "connect", ...failure });
  }

  onDialed(socket: Socket): void {
    this.attach(socket);
    this.#handler?.onConnected(this);
  }

  /** Serves by a socket that is open. */
  attach(socket: Socket): void {
    this.#dialing = undefined;
    this.#socket = socket;
    const passOver = readPastWriteErrors(socket, () => (this.#isCut = this.#state === "busy"));
    this.#out = new GatheredWriter(socket, { passOver });
    // A socket of TCP was dialed with it.
    readInto(socket, this.#reads.options);
    socket.on("data", (chunk: Buffer) => this.#reads.pass(chunk));
    socket.on("drain", () => this.#handler?.onDrain());
    socket.on("end", () => this.#onEnd());
    socket.on("error", () => socket.destroy()).on("close", () => this.#onClose());
    this.begin(this.#handler!, this.#method);
  }

  /** Busy with a new request. */
  begin(handler: UpstreamHandler, method: string): void {
    this.#state = "busy";
    this.#handler = handler;
    this.#method = method;
    this.#hasHead = false;
    this.#sawBytes = false;
    this.#interims = 0;
    this.#requests++;
    this.#isAsked = false;
    this.#requestEnded = false;
  }

  /** True when it went idle after `sinceMs` and is still open. */
  isFresh(sinceMs: number): boolean {
    return this.#state === "idle" && this.#idleSinceMs > sinceMs;
  }

  cork(): void {
    this.#out?.cork();
  }

  uncork(): void {
    this.#out?.uncork();
  }

  sendHead(request: OutgoingRequest): boolean {
    this.#isAsked = true;
    if (this.#method === tunnelMethod) {
      // Told behind the call, as an upstream's answer is.
      queueMicrotask(() => this.#state === "busy" && this.#openTunnel(opened, Buffer.alloc(0)));
      return true;
    }
    this.#isChunked = request.head.framing.kind === "chunked";
    return this.#out!.text(formatRequestHead(request));
  }

  sendBody(slice: Buffer): boolean {
    const out = this.#out!;
    if (!this.#isChunked || this.#state === "tunnel") return out.bytes(slice);
    // An empty chunk would be the last.
    if (slice.length === 0) return true;
    out.text(formatChunkLine(slice.length));
    out.bytes(slice);
    return out.text("\r\n");
  }

  end(trailers: Headers | undefined): void {
    const out = this.#out!;
    if (this.#state === "tunnel") {
      out.flush();
      this.#socket?.end();
      return;
    }
    const isWanted = trailers !== undefined && this.#pool.upstream.sendsTrailers;
    if (this.#isChunked) out.text(isWanted ? formatTrailers(trailers) : "0\r\n\r\n");
    this.#requestEnded = true;
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Closes without telling the handler; a connection that nothing was asked on yet is kept. */
  cancel(): void {
    this.#handler = undefined;
    if (this.#state !== "busy" || this.#isAsked) return this.#close(undefined);
    this.#becomeIdle();
    queueMicrotask(() => this.#pool.serveWaiting());
  }

  #onData(chunk: Buffer): ReadResult {
    const handler = this.#handler;
    // Bytes that no request asked for: whose answer they are cannot be known.
    if (handler === undefined) return this.#refuse();
    this.#sawBytes = true;
    handler.onBatchStart();
    try {
      this.#read(chunk, handler);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.#pool.deps.counters.protocolErrors++;
      this.#close({ kind: "malformed", why: error.message });
    }
    const loan = handler.onBatchEnd();
    const isInBody = this.#handler === handler && (this.#state === "tunnel" || (this.#hasHead && !this.#body.isDone));
    // A part of a head or of trailers is held until the rest of it is there.
    const isHeld = this.#scanner.isStarted || this.#body.isHolding;
    return { isFree: loan.isFree && !isHeld, isInBody, loan: isHeld ? undefined : loan };
  }

  #refuse(): ReadResult {
    this.cancel();
    return { isFree: true, isInBody: false };
  }

  /**
   * Invariant: each callback may have taken the connection away; nothing is touched after without a look at the state.
   */
  #read(chunk: Buffer, handler: UpstreamHandler): void {
    if (this.#state === "tunnel") return handler.onBody(chunk);
    let at = 0;
    while (at < chunk.length && this.#handler === handler) {
      if (this.#hasHead) {
        at = this.#body.consume(chunk, at, this.#emit);
        if (this.#handler === handler && this.#body.isDone) this.#finish(at < chunk.length);
        return;
      }
      const end = this.#scanner.push(chunk, at);
      if (end < 0) return;
      const text = this.#scanner.take(chunk, at, end);
      const head = parseResponseHead(text, { marks: this.#scanner.marks });
      at = end;
      if (head.status === 101 || this.#isConnected(head)) return this.#openTunnel(head, chunk.subarray(at));
      if (head.status < 200) this.#onInterim(head, handler);
      else this.#onHead(head, handler, at < chunk.length);
    }
  }

  #onInterim(head: ResponseHead, handler: UpstreamHandler): void {
    if (++this.#interims > interimMax)
      throw new HTTP1Error("UNEXPECTED", 502, `Cannot read response: more than ${interimMax} interim responses`);
    handler.onInterim(head);
  }

  #onHead(head: ResponseHead, handler: UpstreamHandler, hasMore: boolean): void {
    const framing = responseFraming(head.hop, head.status, this.#method);
    this.#hasHead = true;
    this.#isReusable =
      head.protocol === "HTTP/1.1" && !head.hop.wantsClose && framing.kind !== "untilClose" && !this.#isWornOut();
    this.#body.start(framing);
    handler.onHead(head, framing, framing.kind === "chunked");
    if (this.#handler === handler && this.#body.isDone) this.#finish(hasMore);
  }

  /** Busy => (Idle | Closed). Kept only when both messages are whole and nothing came behind the response. */
  #finish(hasSurplus: boolean): void {
    const handler = this.#handler;
    this.#handler = undefined;
    if (this.#isReusable && this.#requestEnded && !hasSurplus && !this.#isCut) this.#becomeIdle();
    else this.#close(undefined);
    handler?.onResponseEnd(this.#body.trailers);
    this.#pool.serveWaiting();
  }

  #becomeIdle(): void {
    const { deps, idleMs } = this.#pool;
    this.#state = "idle";
    this.#idleSinceMs = deps.nowMs();
    if (idleMs !== Infinity) deps.wheel.arm(this.#deadline, this.#idleSinceMs + idleMs);
    this.#pool.give(this);
    if (this.#socket?.isPaused() === true) this.#socket.resume();
  }

  /** A 2xx to CONNECT has no body: what follows is the tunnel (RFC 9110 §9.3.6). */
  #isConnected(head: ResponseHead): boolean {
    return this.#method === "CONNECT" && head.status >= 200 && head.status < 300;
  }

  #isWornOut(): boolean {
    const { requestsMax } = this.#pool.upstream;
    return requestsMax > 0 && this.#requests >= requestsMax;
  }

  /** Busy => Tunnel. */
  #openTunnel(head: ResponseHead, rest: Buffer): void {
    if (head.status === 101 && head.hop.upgrade === undefined)
      throw new HTTP1Error("UNEXPECTED", 502, "Cannot read response: 101 without Upgrade");
    this.#state = "tunnel";
    this.#handler?.onTunnel(head);
    if (rest.length > 0) this.#handler?.onBody(rest);
  }

  #onEnd(): void {
    if (!this.#isCut) {
      if (this.#state === "tunnel") return this.#handler?.onResponseEnd(undefined);
      if (this.#state === "busy" && this.#hasHead && this.#body.finishAtClose()) return this.#finish(false);
    }
    this.#close({ kind: "reset", sawBytes: this.#sawBytes });
  }

  #onClose(): void {
    this.deps.wheel.cancel(this.#deadline);
    this.#pool.forget(this);
    this.#close({ kind: "reset", sawBytes: this.#sawBytes });
  }

  #onIdleDeadline(nowMs: number): void {
    if (this.#state !== "idle") return;
    // Used and given back since: the later time counts.
    const dueMs = this.#idleSinceMs + this.#pool.idleMs;
    if (nowMs < dueMs) this.deps.wheel.arm(this.#deadline, dueMs);
    else this.cancel();
  }

  /** Any => Closed. Once; the handler, if there is one still, is told why. */
  #close(failure: UpstreamFailure | undefined): void {
    const handler = this.#handler;
    const state = this.#state;
    this.#handler = undefined;
    if (state === "closed") return;
    if (state === "idle") this.#pool.removeIdle(this);
    this.#state = "closed";
    if (this.#socket === undefined) {
      this.#dialing?.cancel();
      this.#pool.forget(this);
    } else if (state === "tunnel") {
      this.#out?.flush();
      resetSocket(this.#socket, this.#out?.isWriting);
    } else this.#socket.destroy();
    if (failure !== undefined) handler?.onBroken(failure);
  }
}
