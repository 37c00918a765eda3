/**
 * Connections to one endpoint: kept alive, the most recently used first, so that the rest can go idle and be closed.
 *
 *   exchange.ts ─▶ take() or open() ─▶ HTTP/1: UpstreamConnection ─▶ (response complete) give() ─▶ idle ─▶ closed
 *                                  └─▶ HTTP/2: http2/pool.ts, many streams a connection
 *
 * Where the cluster has all its connections, a request of HTTP/1 waits for one (connection-budget.ts).
 * Invariants: what take() returns is open and may be sent to at once; at most `idleMax` idle HTTP/1 connections; a
 * cluster never has more connections than its budget.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ConnectionBudget, Waiting } from "./connection-budget.ts";
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

  constructor(address: SocketAddress, budget: ConnectionBudget, deps: EngineDeps, options?: PoolOptions) {
    this.address = address;
    this.#budget = budget;
    this.deps = deps;
    this.upstream = options?.upstream ?? upstreamOptionsDefault;
    this.idleMs = this.upstream.idleMs ?? idleMsDefault.http1;
    this.tls = options?.tls;
  }

  get idleCount(): number {
    return this.#idle.length;
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
    const isHTTP2 = this.#speaksHTTP2(head);
    // Streams may share a connection that is still in the making.
    const shared = isHTTP2 ? this.#http2?.join(handler) : undefined;
    if (shared !== undefined) return shared;
    const isWaiting = !this.reserve();
    if (isWaiting && !isHTTP2 && this.upstream.protocol !== "auto") {
      const request = new WaitingRequest(this, handler, { head, timeoutMs: connectTimeoutMs });
      if (this.#budget.wait(request)) return request;
    }
    if (isWaiting) {
      this.deps.counters.upstreamOverflows++;
      return undefined;
    }
    const target = { to: this.address, timeoutMs: connectTimeoutMs, tls: this.tls };
    if (isHTTP2) return this.#http2Pool().open(handler, target);
    if (this.upstream.protocol === "auto") return new Negotiation(this, handler, { head, timeoutMs: connectTimeoutMs });
    return this.#connect(handler, head, connectTimeoutMs);
  }

  /** A connection of TCP alone, or undefined when the cluster has all it may. */
  openTunnel(handler: UpstreamHandler, connectTimeoutMs: number): PendingStream | undefined {
    if (!this.reserve()) {
      this.deps.counters.upstreamOverflows++;
      return undefined;
    }
    const connection = new UpstreamConnection(this, handler, tunnelMethod);
    connection.connect({ to: this.address, timeoutMs: connectTimeoutMs, tls: this.tls });
    return connection;
  }

  /** For one that waited, while there is room. */
  dial(handler: UpstreamHandler, head: RequestHead, connectTimeoutMs: number): PendingStream {
    this.reserve();
    return this.#connect(handler, head, connectTimeoutMs);
  }

  /** Nobody waits in this place any more. False: it was served meanwhile. */
  leave(request: WaitingRequest): boolean {
    return this.#budget.leave(request);
  }

  /** A connection is idle: for a request that waits here, or to make room for one that waits elsewhere. */
  serveWaiting(): void {
    if (!this.#budget.hasWaiting) return;
    const request = this.#budget.firstOf(this) as WaitingRequest | undefined;
    if (request === undefined) return this.#idle.shift()?.cancel();
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

  /** Room for one more connection of the cluster; false when there is none. */
  reserve(): boolean {
    if (!this.#budget.take()) return false;
    this.deps.counters.upstreamOpen++;
    return true;
  }

  release(): void {
    this.deps.counters.upstreamOpen--;
    this.#budget.release();
  }

  /** The handshake is done: what was agreed on decides which connection the socket becomes. */
  onNegotiated(socket: Socket, handler: UpstreamHandler, head: RequestHead): void {
    this.#choseHTTP2 = (socket as TLSSocket).alpnProtocol === "h2";
    if (this.#choseHTTP2) return this.#http2Pool().adopt(socket, handler);
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

  #connect(handler: UpstreamHandler, head: RequestHead, timeoutMs: number): PendingStream {
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
interface Wanted {
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
    const { head, timeoutMs } = this.#wanted;
    this.#dialing = this.pool.dial(this.#handler, head, timeoutMs);
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

  onDialFailed(why: string): void {
    this.#pool.release();
    this.#handler.onBroken({ kind: "connect", why });
  }

  cancel(): void {
    this.#pool.release();
    this.#dialing.cancel();
  }
}
