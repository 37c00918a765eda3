/**
 * Connections to one endpoint: kept alive, the most recently used first, so that the rest can go idle and be closed.
 *
 *   exchange.ts ─▶ take() or open() ─▶ HTTP/1: UpstreamConnection ─▶ (response complete) give() ─▶ idle ─▶ closed
 *                                  └─▶ HTTP/2: http2/pool.ts, many streams a connection
 *
 * Where the cluster has all its connections, a request of HTTP/1 waits for one (connection-budget.ts), one of HTTP/2 for
 * a stream. Invariants: what take() returns is open and may be sent to at once; at most `idleMax` idle HTTP/1
 * connections; a cluster never has more connections than its budget, but for the first one of each endpoint.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectionBudget, Waiting } from "./connection-budget.ts";
import type { DialFailure } from "./dial-failure.ts";
import { type DialOwner, Dialing } from "./dial.ts";
import type { RequestHead } from "./http1/request.ts";
import { HTTP2Pool, type HTTP2PoolOwner } from "./http2/pool.ts";
import { type UpstreamOptions, idleMsDefault, upstreamOptionsDefault } from "./options.ts";
import type { PendingStream, UpstreamHandler, UpstreamStream } from "./stream.ts";
import type { UpstreamTLS } from "./tls/types.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";
import { type ConnectionOwner, tunnelMethod } from "./upstream-owner.ts";
import { UpstreamConnection } from "./upstream.ts";

/** Most idle connections an endpoint; the oldest is closed beyond. */
export const idleMax = 2048;

export interface PoolOptions {
  readonly upstream: UpstreamOptions;
  readonly tls: UpstreamTLS | undefined;
}

export class Pool implements ConnectionOwner, HTTP2PoolOwner {
  readonly deps: EngineDeps;
  readonly upstream: UpstreamOptions;
  readonly idleMs: number;
  readonly tls: UpstreamTLS | undefined;
  readonly address: SocketAddress;
  readonly #budget: ConnectionBudget;
  readonly #idle: UpstreamConnection[] = [];
  #http2: HTTP2Pool | undefined;
  /** With ALPN: what the endpoint chose the last time. */
  #choseHTTP2 = false;
  #closed = false;
  /** Connections that are open or in the making. */
  openCount = 0;
  /** Connections made so far, those that failed among them, and those alone. */
  madeCount = 0;
  failedCount = 0;

  constructor(address: SocketAddress, budget: ConnectionBudget, deps: EngineDeps, options?: PoolOptions) {
    this.address = address;
    this.#budget = budget;
    this.deps = deps;
    this.upstream = options?.upstream ?? upstreamOptionsDefault;
    const { idleMs = idleMsDefault.http1 } = this.upstream;
    this.idleMs = idleMs === 0 ? Infinity : idleMs;
    this.tls = options?.tls;
  }

  /** There is a connection that a request could be sent on at once. */
  isReady(head: RequestHead): boolean {
    return this.#speaksHTTP2(head) ? this.#http2?.isReady === true : this.#idle.length > 0;
  }

  /** A stream on a connection that is open, or undefined when there is none fresh enough. */
  take(handler: UpstreamHandler, head: RequestHead, nowMs: number): UpstreamStream | undefined {
    if (this.#speaksHTTP2(head)) return this.#http2?.take(handler);
    const connection = this.#takeIdle(nowMs);
    connection?.begin(handler, head.method);
    return connection;
  }

  /** A stream on a new connection, or undefined when the cluster has all it may, and nobody may wait. */
  open(handler: UpstreamHandler, head: RequestHead, connectTimeoutMs: number): PendingStream | undefined {
    const wanted = { head, timeoutMs: connectTimeoutMs };
    if (this.#speaksHTTP2(head)) return this.#openHTTP2(handler, wanted);
    if (this.reserve(this.openCount === 0)) return this.#connect(handler, wanted);
    const request = new WaitingRequest(this, handler, wanted);
    if (this.#budget.wait(request)) return request;
    this.deps.counters.upstreamOverflows++;
    return undefined;
  }

  /** A connection of TCP alone, or undefined when the cluster has all it may. */
  openTunnel(handler: UpstreamHandler, connectTimeoutMs: number): PendingStream | undefined {
    if (!this.reserve(this.openCount === 0)) {
      this.deps.counters.upstreamOverflows++;
      return undefined;
    }
    const connection = new UpstreamConnection(this, handler, tunnelMethod);
    connection.connect({ to: this.address, timeoutMs: connectTimeoutMs, tls: this.tls });
    return connection;
  }

  /** For one that waited, while there is room. */
  dial(handler: UpstreamHandler, wanted: Wanted): PendingStream | undefined {
    if (this.#speaksHTTP2(wanted.head)) return this.#openHTTP2(handler, wanted);
    this.reserve(this.openCount === 0);
    return this.#connect(handler, wanted);
  }

  /** Nobody waits in this place any more. False: it was served meanwhile. */
  leave(request: WaitingRequest): boolean {
    return this.#budget.leave(request);
  }

  /** A connection is idle: for a request that waits here, or to make room for one that waits elsewhere. */
  serveWaiting(): void {
    if (!this.#budget.hasWaiting) return;
    const request = this.#budget.firstOf(this) as WaitingRequest | undefined;
    if (request === undefined) return this.#budget.isRoomAfterOne ? this.#idle.shift()?.cancel() : undefined;
    const connection = this.#takeIdle(this.deps.nowMs());
    if (connection === undefined) return;
    this.#budget.leave(request);
    request.serve(connection);
  }

  /** Takes back a connection whose response is complete. */
  give(connection: UpstreamConnection): void {
    if (this.#closed) return connection.cancel();
    this.#idle.push(connection);
    if (this.#idle.length > idleMax) this.#idle.shift()?.cancel();
  }

  /** The connection's socket is closed. */
  forget(connection: UpstreamConnection): void {
    this.release();
    this.removeIdle(connection);
  }

  removeIdle(connection: UpstreamConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Room for one more connection of the cluster; false when there is none. `isFirst`: max_connections gives way. */
  reserve(isFirst: boolean): boolean {
    if (!this.#budget.take(isFirst)) return false;
    this.deps.counters.upstreamOpen++;
    this.openCount++;
    this.madeCount++;
    return true;
  }

  /** A connection that was reserved did not come about, and `requests` waited for it; it is released apart. */
  countFailure({ isTimeout = false }: DialFailure, requests: number): void {
    this.failedCount++;
    this.#budget.countFailure(isTimeout, requests);
  }

  release(): void {
    this.openCount--;
    this.deps.counters.upstreamOpen--;
    this.#budget.release(this, this.openCount === 0);
  }

  /** The handshake is done: what was agreed on decides which connection the socket becomes. */
  onNegotiated(socket: Socket, handler: UpstreamHandler, head: RequestHead): void {
    this.#choseHTTP2 = (socket as TLSSocket).alpnProtocol === "h2";
    if (this.#choseHTTP2) {
      this.#http2Pool().adopt(socket, handler);
      return this.#moveWaiting();
    }
    const connection = new UpstreamConnection(this, handler, head.method);
    connection.attach(socket);
    handler.onConnected(connection);
  }

  /** Closes the idle connections, and those in use when their response is complete. */
  close(): void {
    this.#closed = true;
    this.#http2?.close();
    for (const connection of this.#idle.splice(0)) connection.cancel();
  }

  #takeIdle(nowMs: number): UpstreamConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.isFresh(nowMs - this.idleMs)) return connection;
      connection.cancel();
    }
  }

  /** Who waited for a connection of its own shares this one. */
  #moveWaiting(): void {
    for (;;) {
      const request = this.#budget.firstOf(this);
      if (request === undefined || !this.#budget.leave(request)) return;
      request.dial();
    }
  }

  #openHTTP2(handler: UpstreamHandler, { timeoutMs }: Wanted): PendingStream | undefined {
    const pending = this.#http2Pool().open(handler, { to: this.address, timeoutMs, tls: this.tls });
    if (pending === undefined) this.deps.counters.upstreamOverflows++;
    return pending;
  }

  #connect(handler: UpstreamHandler, wanted: Wanted): PendingStream {
    if (this.upstream.protocol === "auto") return new Negotiation(this, handler, wanted);
    const { head, timeoutMs } = wanted;
    const connection = new UpstreamConnection(this, handler, head.method);
    connection.connect({ to: this.address, timeoutMs, tls: this.tls });
    return connection;
  }

  #http2Pool(): HTTP2Pool {
    this.#http2 ??= new HTTP2Pool(this);
    return this.#http2;
  }

  #speaksHTTP2(head: RequestHead): boolean {
    switch (this.upstream.protocol) {
      case "http1":
        return false;
      case "http2":
        return true;
      case "downstream":
        return head.protocol === "HTTP/2";
      case "auto":
        return this.#choseHTTP2;
    }
  }
}

/** What a connection is wanted for. */
export interface Wanted {
  readonly head: RequestHead;
  /** For the connection to be made, in ms. */
  readonly timeoutMs: number;
}

/** A request that waits for a connection: one that comes free here, or one of its own. */
class WaitingRequest implements PendingStream, Waiting {
  readonly pool: Pool;
  readonly #handler: UpstreamHandler;
  readonly #wanted: Wanted;
  #dialing: PendingStream | undefined;

  constructor(pool: Pool, handler: UpstreamHandler, wanted: Wanted) {
    this.pool = pool;
    this.#handler = handler;
    this.#wanted = wanted;
  }

  serve(connection: UpstreamConnection): void {
    connection.begin(this.#handler, this.#wanted.head.method);
    this.#handler.onConnected(connection);
  }

  dial(): void {
    this.#dialing = this.pool.dial(this.#handler, this.#wanted);
    if (this.#dialing === undefined)
      this.#handler.onBroken({ kind: "connect", why: "the cluster has all its connections" });
  }

  cancel(): void {
    if (!this.pool.leave(this)) this.#dialing?.cancel();
  }
}

/** A connection whose protocol ALPN decides. */
class Negotiation implements PendingStream, DialOwner {
  readonly deps: EngineDeps;
  readonly #pool: Pool;
  readonly #handler: UpstreamHandler;
  readonly #head: RequestHead;
  readonly #dialing: Dialing;

  constructor(pool: Pool, handler: UpstreamHandler, { head, timeoutMs }: Wanted) {
    this.deps = pool.deps;
    this.#pool = pool;
    this.#handler = handler;
    this.#head = head;
    this.#dialing = new Dialing(this, { to: pool.address, timeoutMs, tls: pool.tls });
  }

  onDialed(socket: Socket): void {
    this.#pool.onNegotiated(socket, this.#handler, this.#head);
  }

  onDialFailed(failure: DialFailure): void {
    this.#pool.countFailure(failure, 1);
    this.#pool.release();
    this.#handler.onBroken({ kind: "connect", ...failure });
  }

  cancel(): void {
    this.#pool.release();
    this.#dialing.cancel();
  }
}
