/**
 * One connection to an endpoint: reads the responses and tells the exchange that uses it.
 *
 *   Connecting ─▶ Busy ⇄ Idle (pool.ts) ─▶ Closed        Busy ─▶ Detached (after 101: the socket is spliced)
 *
 * Invariants: at most one exchange at a time; an idle connection that receives a byte, an end or an error is closed and
 * leaves the pool at once; after a response that broke HTTP the connection is closed.
 */
import type { Socket } from "node:net";
import { BodyReader } from "./http1/body.ts";
import { HTTP1Error } from "./http1/errors.ts";
import { type Framing, responseFraming } from "./http1/framing.ts";
import { type ResponseHead, parseResponseHead } from "./http1/response.ts";
import { HeadScanner } from "./http1/scanner.ts";
import { Deadline } from "./timer-wheel.ts";
import { type EngineDeps, type SocketAddress, dialOptions } from "./types.ts";

export type UpstreamFailure =
  /** No connection came about: not a byte was sent. */
  | { readonly kind: "connect"; readonly why: string }
  /** Closed or reset before the response was complete; `sawBytes` when some of it had come. */
  | { readonly kind: "reset"; readonly sawBytes: boolean }
  /** The response broke HTTP. */
  | { readonly kind: "malformed"; readonly why: string };

/** What an exchange is told. After onBroken, onResponseEnd and onSwitch the connection is no longer the exchange's. */
export interface UpstreamHandler {
  onConnected(): void;
  /** Around the events of one read, so that what they write goes out in one write. */
  onBatchStart(): void;
  onBatchEnd(): void;
  onInterim(head: ResponseHead): void;
  onHead(head: ResponseHead, framing: Framing): void;
  onBody(slice: Buffer): void;
  onResponseEnd(): void;
  onSwitch(head: ResponseHead, socket: Socket, rest: Buffer): void;
  onDrain(): void;
  onBroken(failure: UpstreamFailure): void;
}

/** What a connection needs of its pool. */
export interface ConnectionOwner {
  readonly deps: EngineDeps;
  /** Takes back a connection whose response is complete. */
  give(connection: UpstreamConnection): void;
  removeIdle(connection: UpstreamConnection): void;
  /** The connection's socket is closed. */
  forget(connection: UpstreamConnection): void;
}

/**
 * Longest idle time, in ms (linkerd2-proxy's). Below the 5 s after which Node.js servers close their idle connections:
 * who closes first decides whether a request can be lost in the gap.
 */
export const idleMsMax = 3000;

/** Interim responses (1xx) in a row before the upstream is taken for broken. */
const interimMax = 16;

type State = "connecting" | "idle" | "busy" | "closed" | "detached";

export class UpstreamConnection {
  readonly #pool: ConnectionOwner;
  readonly #scanner = new HeadScanner(false);
  readonly #body = new BodyReader();
  readonly #deadline: Deadline;
  readonly #emit = (slice: Buffer): void => this.#handler?.onBody(slice);
  #state: State = "connecting";
  #socket: Socket | undefined;
  #handler: UpstreamHandler | undefined;
  #method: string;
  #hasHead = false;
  #sawBytes = false;
  #interims = 0;
  #isReusable = false;
  #requestEnded = false;
  #idleSinceMs = 0;

  constructor(pool: ConnectionOwner, handler: UpstreamHandler, method: string) {
    this.#pool = pool;
    this.#handler = handler;
    this.#method = method;
    this.#deadline = new Deadline((nowMs) => this.#onDeadline(nowMs));
  }

  /** The socket; only while Busy. */
  get socket(): Socket {
    return this.#socket!;
  }

  get isConnected(): boolean {
    return this.#state === "busy";
  }

  connect(to: SocketAddress, timeoutMs: number): void {
    const { deps } = this.#pool;
    let socket: Socket;
    try {
      socket = deps.dial(to.address, to.port, dialOptions);
    } catch (error) {
      // Told later, as every other failure is, so that callers meet one order of events.
      const why = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => this.#close({ kind: "connect", why }));
      return;
    }
    this.#socket = socket;
    let why = "the connection was closed";
    deps.wheel.arm(this.#deadline, deps.nowMs() + timeoutMs);
    socket.once("connect", () => this.#onConnect());
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("drain", () => this.#handler?.onDrain());
    socket.on("end", () => this.#onEnd());
    // "close" follows and acts; the message is kept for it.
    socket.on("error", (error) => (why = error.message));
    socket.on("close", () => this.#onClose(why));
  }

  /** Busy with a new request. */
  begin(handler: UpstreamHandler, method: string): void {
    this.#state = "busy";
    this.#handler = handler;
    this.#method = method;
    this.#hasHead = false;
    this.#sawBytes = false;
    this.#interims = 0;
    this.#requestEnded = false;
  }

  /** The whole request was written: the connection may be used again after the response. */
  requestEnded(): void {
    this.#requestEnded = true;
  }

  /** True when it went idle after `sinceMs` and is still open. */
  isFresh(sinceMs: number): boolean {
    return this.#state === "idle" && this.#idleSinceMs > sinceMs;
  }

  /** Closes without telling the handler. */
  destroy(): void {
    this.#handler = undefined;
    this.#close(undefined);
  }

  #onConnect(): void {
    if (this.#state !== "connecting") return;
    this.#pool.deps.wheel.cancel(this.#deadline);
    const handler = this.#handler!;
    this.begin(handler, this.#method);
    handler.onConnected();
  }

  #onData(chunk: Buffer): void {
    // Bytes that no request asked for: whose answer they are cannot be known.
    if (this.#state !== "busy") return this.destroy();
    const handler = this.#handler!;
    this.#sawBytes = true;
    handler.onBatchStart();
    try {
      this.#read(chunk, handler);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.#pool.deps.counters.protocolErrors++;
      this.#close({ kind: "malformed", why: error.message });
    } finally {
      handler.onBatchEnd();
    }
  }

  /**
   * Invariant: each callback may have taken the connection away; nothing is touched after without a look at the state.
   */
  #read(chunk: Buffer, handler: UpstreamHandler): void {
    let at = 0;
    while (at < chunk.length && this.#handler === handler) {
      if (this.#hasHead) {
        at = this.#body.consume(chunk, at, this.#emit);
        if (this.#handler === handler && this.#body.isDone) this.#finish(at < chunk.length);
        return;
      }
      const end = this.#scanner.push(chunk, at);
      if (end < 0) return;
      const head = parseResponseHead(this.#scanner.take(chunk, at, end));
      at = end;
      if (head.status === 101) return this.#detach(head, chunk.subarray(at));
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
    this.#isReusable = head.minor === 1 && !head.hop.wantsClose && framing.kind !== "untilClose";
    this.#body.start(framing);
    handler.onHead(head, framing);
    if (this.#handler === handler && this.#body.isDone) this.#finish(hasMore);
  }

  /** Busy => (Idle | Closed). Kept only when both messages are whole and nothing came behind the response. */
  #finish(hasSurplus: boolean): void {
    const handler = this.#handler;
    this.#handler = undefined;
    if (this.#isReusable && this.#requestEnded && !hasSurplus) {
      const { deps } = this.#pool;
      this.#state = "idle";
      this.#idleSinceMs = deps.nowMs();
      deps.wheel.arm(this.#deadline, this.#idleSinceMs + idleMsMax);
      this.#pool.give(this);
      if (this.#socket?.isPaused() === true) this.#socket.resume();
    } else this.#close(undefined);
    handler?.onResponseEnd();
  }

  #detach(head: ResponseHead, rest: Buffer): void {
    if (head.hop.upgrade === undefined)
      throw new HTTP1Error("UNEXPECTED", 502, "Cannot read response: 101 without Upgrade");
    const handler = this.#handler!;
    const socket = this.#socket!;
    this.#handler = undefined;
    this.#state = "detached";
    socket.removeAllListeners("data").removeAllListeners("end").removeAllListeners("drain");
    handler.onSwitch(head, socket, rest);
  }

  #onEnd(): void {
    if (this.#state === "detached") return;
    if (this.#state === "busy" && this.#hasHead && this.#body.finishAtClose()) return this.#finish(false);
    this.#close({ kind: "reset", sawBytes: this.#sawBytes });
  }

  #onClose(why: string): void {
    this.#pool.deps.wheel.cancel(this.#deadline);
    this.#pool.forget(this);
    if (this.#state === "connecting") this.#close({ kind: "connect", why });
    else if (this.#state !== "detached") this.#close({ kind: "reset", sawBytes: this.#sawBytes });
  }

  #onDeadline(nowMs: number): void {
    if (this.#state === "connecting") return this.#close({ kind: "connect", why: "the connect timeout passed" });
    if (this.#state !== "idle") return;
    // Used and given back since: the later time counts.
    const dueMs = this.#idleSinceMs + idleMsMax;
    if (nowMs < dueMs) this.#pool.deps.wheel.arm(this.#deadline, dueMs);
    else this.destroy();
  }

  /** (Connecting | Idle | Busy) => Closed. Once; the handler, if there is one still, is told why. */
  #close(failure: UpstreamFailure | undefined): void {
    const handler = this.#handler;
    this.#handler = undefined;
    if (this.#state === "closed") return;
    if (this.#state === "idle") this.#pool.removeIdle(this);
    this.#state = "closed";
    if (this.#socket === undefined) this.#pool.forget(this);
    else this.#socket.destroy();
    if (failure !== undefined) handler?.onBroken(failure);
  }
}
