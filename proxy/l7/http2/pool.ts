/**
 * HTTP/2 connections to one endpoint: many streams each, so that one is enough most of the time.
 *
 *   pool.ts ─▶ take(): a stream on an open connection │ open(): in line for one ─▶ onConnected() or onBroken()
 *
 * Who finds no room waits in line. Another connection is made where the streams of those there are, and of those in the
 * making, are not enough for all who wait; else the line moves when a stream ends. When a connection does not come
 * about, nobody goes on waiting (Envoy's purge): each may be tried elsewhere.
 * Invariants: no connection carries more streams than its peer allows; one that said GOAWAY gets no new streams, and is
 * closed behind those it has; each connection gives back its place in the cluster's budget once.
 */
import type { Socket } from "node:net";
import type { DialFailure } from "../dial-failure.ts";
import { type DialOwner, type DialTarget, Dialing } from "../dial.ts";
import { type UpstreamOptions, idleMsDefault } from "../options.ts";
import type { PendingStream, UpstreamHandler, UpstreamStream } from "../stream.ts";
import type { EngineDeps } from "../types.ts";
import { HTTP2Session } from "./session.ts";

/** Most streams that wait for an endpoint, however much the circuit breakers allow. */
const waitingMax = 4096;

/** What HTTP/2 connections need of the endpoint's pool. */
export interface HTTP2PoolOwner {
  readonly deps: EngineDeps;
  readonly upstream: UpstreamOptions;
  /** Room for one more connection of the cluster. `isFirst`: the endpoint has none, so that max_connections gives way. */
  reserve(isFirst: boolean): boolean;
  /** A connection that was reserved did not come about, and `requests` waited for it. */
  countFailure(failure: DialFailure, requests: number): void;
  /** A connection that was reserved is gone. */
  release(): void;
}

export class HTTP2Pool {
  readonly #owner: HTTP2PoolOwner;
  #sessions: HTTP2Session[] = [];
  #connecting: Connecting[] = [];
  /** In line, first come first served. */
  readonly #waiting = new Set<UpstreamHandler>();
  #target: DialTarget | undefined;
  /** Streams that the peer's last connection allowed. */
  #peerStreams: number | undefined;
  #isServing = false;
  #isClosed = false;

  constructor(owner: HTTP2PoolOwner) {
    this.#owner = owner;
  }

  /** A connection has room for a stream. */
  get isReady(): boolean {
    return this.#waiting.size === 0 && this.#sessions.some((session) => session.hasRoom);
  }

  /** A stream that may be sent to at once, or undefined when no connection has room. */
  take(handler: UpstreamHandler): UpstreamStream | undefined {
    if (this.#waiting.size > 0) return undefined;
    for (const session of this.#sessions) if (session.hasRoom) return session.open(handler);
    return undefined;
  }

  /** A stream as soon as there is room; undefined when there will be none. */
  open(handler: UpstreamHandler, target: DialTarget): PendingStream | undefined {
    if (this.#waiting.size >= waitingMax) return undefined;
    this.#target = target;
    this.#waiting.add(handler);
    this.#grow();
    if (this.#count === 0) {
      this.#waiting.delete(handler);
      return undefined;
    }
    this.#serveSoon();
    return { cancel: () => this.#leave(handler) };
  }

  /** Serves by a socket that is open and whose place is reserved. */
  adopt(socket: Socket, handler: UpstreamHandler): void {
    handler.onConnected(this.#start(socket).open(handler));
    this.#serveSoon();
  }

  onDialed(connecting: Connecting, socket: Socket): void {
    this.#forget(connecting);
    this.#start(socket);
    this.#serve();
  }

  onDialFailed(connecting: Connecting, failure: DialFailure): void {
    this.#forget(connecting);
    this.#owner.countFailure(failure, this.#waiting.size);
    this.#owner.release();
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#cancelConnecting();
    for (const handler of waiting) handler.onBroken({ kind: "connect", ...failure });
    this.#closeWhenDone();
  }

  /** Takes no more streams but of those who wait; each connection is closed behind those it has. */
  close(): void {
    this.#isClosed = true;
    this.#closeWhenDone();
  }

  get #count(): number {
    return this.#sessions.length + this.#connecting.length;
  }

  /** Streams that a connection in the making will have, as far as is known. */
  get #streamsEach(): number {
    const { http2, requestsMax } = this.#owner.upstream;
    return Math.min(
      http2.concurrentStreamsMax,
      this.#peerStreams ?? Infinity,
      requestsMax > 0 ? requestsMax : Infinity,
    );
  }

  /** Makes connections for those who wait and would find no room. */
  #grow(): void {
    const each = this.#streamsEach;
    // Who takes no stream on one connection takes none on another.
    if (this.#target === undefined || (each === 0 && this.#count > 0)) return;
    let room = this.#connecting.length * each;
    for (const session of this.#sessions) room += session.room;
    while (this.#waiting.size > room && this.#owner.reserve(this.#count === 0)) {
      this.#connecting.push(new Connecting(this, this.#owner.deps, this.#target));
      room += Math.max(each, 1);
    }
  }

  /** Behind what is under way: a stream that has just ended still holds its place in the cluster's limits. */
  #serveSoon(): void {
    if (this.#isServing || this.#waiting.size === 0) return this.#closeWhenDone();
    this.#isServing = true;
    queueMicrotask(() => {
      this.#isServing = false;
      this.#serve();
    });
  }

  #serve(): void {
    for (const handler of this.#waiting) {
      const session = this.#sessions.find(({ hasRoom }) => hasRoom);
      if (session === undefined) break;
      this.#waiting.delete(handler);
      handler.onConnected(session.open(handler));
    }
    this.#grow();
    this.#closeWhenDone();
  }

  #leave(handler: UpstreamHandler): void {
    if (this.#waiting.delete(handler) && this.#waiting.size === 0) this.#cancelConnecting();
  }

  /** Nobody waits for them any more. */
  #cancelConnecting(): void {
    for (const connecting of this.#connecting.splice(0)) {
      connecting.cancel();
      this.#owner.release();
    }
  }

  #closeWhenDone(): void {
    if (this.#isClosed && this.#waiting.size === 0) for (const session of this.#sessions) session.close();
  }

  #start(socket: Socket): HTTP2Session {
    const { deps, upstream } = this.#owner;
    const session = new HTTP2Session(socket, {
      deps,
      http2: upstream.http2,
      idleMs: upstream.idleMs ?? idleMsDefault.http2,
      requestsMax: upstream.requestsMax,
      streamsMax: this.#peerStreams,
      onSettings: (streamsMax) => {
        this.#peerStreams = streamsMax;
        this.#serveSoon();
      },
      onRoom: () => this.#serveSoon(),
      onClose: () => {
        this.#sessions = this.#sessions.filter((one) => one !== session);
        this.#owner.release();
        this.#serveSoon();
      },
    });
    this.#sessions.push(session);
    return session;
  }

  #forget(connecting: Connecting): void {
    this.#connecting = this.#connecting.filter((one) => one !== connecting);
  }
}

/** A connection in the making. */
class Connecting implements DialOwner {
  readonly deps: EngineDeps;
  readonly #pool: HTTP2Pool;
  readonly #dialing: Dialing;

  constructor(pool: HTTP2Pool, deps: EngineDeps, target: DialTarget) {
    this.#pool = pool;
    this.deps = deps;
    this.#dialing = new Dialing(this, target);
  }

  onDialed(socket: Socket): void {
    this.#pool.onDialed(this, socket);
  }

  onDialFailed(failure: DialFailure): void {
    this.#pool.onDialFailed(this, failure);
  }

  cancel(): void {
    this.#dialing.cancel();
  }
}
