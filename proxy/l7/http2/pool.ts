/**
 * HTTP/2 connections to one endpoint: many streams each, so that one is enough most of the time.
 *
 *   pool.ts ─▶ take(): a stream on an open connection │ join(): wait for one in the making │ open(): a new one
 *
 * Invariants: no connection carries more streams than its peer allows; one that said GOAWAY gets no new streams, and is
 * closed behind those it has; each connection gives back its place in the cluster's budget once.
 */
import type { Socket } from "node:net";
import { type DialOwner, type DialTarget, Dialing } from "../dial.ts";
import { type UpstreamOptions, idleMsDefault } from "../options.ts";
import type { PendingStream, UpstreamHandler, UpstreamStream } from "../stream.ts";
import type { EngineDeps } from "../types.ts";
import { HTTP2Session } from "./session.ts";

/** Streams that wait for one connection in the making. */
const waitingMax = 100;

/** What HTTP/2 connections need of the endpoint's pool. */
export interface HTTP2PoolOwner {
  readonly deps: EngineDeps;
  readonly upstream: UpstreamOptions;
  /** A connection that was reserved is gone. */
  release(): void;
}

export class HTTP2Pool {
  readonly #owner: HTTP2PoolOwner;
  #sessions: HTTP2Session[] = [];
  #connecting: Connecting[] = [];
  #isClosed = false;

  constructor(owner: HTTP2PoolOwner) {
    this.#owner = owner;
  }

  /** A stream that may be sent to at once, or undefined when no connection has room. */
  take(handler: UpstreamHandler): UpstreamStream | undefined {
    for (const session of this.#sessions) if (session.hasRoom) return session.open(handler);
    return undefined;
  }

  /** A stream on a connection that is being made, or undefined when there is none with room. */
  join(handler: UpstreamHandler): PendingStream | undefined {
    return this.#connecting.find((one) => one.waiting.size < waitingMax)?.add(handler);
  }

  /** A stream on a new connection, whose place is reserved. */
  open(handler: UpstreamHandler, target: DialTarget): PendingStream {
    const connecting = new Connecting(this, this.#owner.deps, target);
    this.#connecting.push(connecting);
    return connecting.add(handler);
  }

  /** Serves by a socket that is open and whose place is reserved. */
  adopt(socket: Socket, handler: UpstreamHandler): void {
    handler.onConnected(this.#start(socket).open(handler));
  }

  onDialed(connecting: Connecting, socket: Socket): void {
    this.#forget(connecting);
    const session = this.#start(socket);
    for (const handler of connecting.waiting) {
      if (!session.hasRoom) handler.onBroken({ kind: "refused" });
      else handler.onConnected(session.open(handler));
    }
    if (this.#isClosed) session.close();
  }

  onDialFailed(connecting: Connecting, why: string): void {
    this.#forget(connecting);
    this.#owner.release();
    for (const handler of connecting.waiting) handler.onBroken({ kind: "connect", why });
  }

  /** Nobody waits for it any more. */
  onAbandoned(connecting: Connecting): void {
    this.#forget(connecting);
    this.#owner.release();
  }

  /** Takes no more streams; each connection is closed behind those it has. */
  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions) session.close();
  }

  #start(socket: Socket): HTTP2Session {
    const { deps, upstream } = this.#owner;
    const session = new HTTP2Session(socket, {
      deps,
      http2: upstream.http2,
      idleMs: upstream.idleMs ?? idleMsDefault.http2,
      requestsMax: upstream.requestsMax,
      onClose: () => {
        this.#sessions = this.#sessions.filter((one) => one !== session);
        this.#owner.release();
      },
    });
    this.#sessions.push(session);
    return session;
  }

  #forget(connecting: Connecting): void {
    this.#connecting = this.#connecting.filter((one) => one !== connecting);
  }
}

/** A connection in the making and the streams that wait for it. */
class Connecting implements DialOwner {
  readonly deps: EngineDeps;
  readonly waiting: Set<UpstreamHandler> = new Set();
  readonly #pool: HTTP2Pool;
  readonly #dialing: Dialing;

  constructor(pool: HTTP2Pool, deps: EngineDeps, target: DialTarget) {
    this.#pool = pool;
    this.deps = deps;
    this.#dialing = new Dialing(this, target);
  }

  add(handler: UpstreamHandler): PendingStream {
    this.waiting.add(handler);
    return { cancel: () => this.#remove(handler) };
  }

  onDialed(socket: Socket): void {
    this.#pool.onDialed(this, socket);
  }

  onDialFailed(why: string): void {
    this.#pool.onDialFailed(this, why);
  }

  #remove(handler: UpstreamHandler): void {
    if (!this.waiting.delete(handler) || this.waiting.size > 0) return;
    this.#dialing.cancel();
    this.#pool.onAbandoned(this);
  }
}
