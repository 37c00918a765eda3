/**
 * One HTTP/2 connection to an endpoint: a client session of node:http2's core.
 *
 *   pool.ts ─▶ open(handler) ─▶ HTTP2UpstreamStream …      Open ─▶ Closing (GOAWAY, age, close()) ─▶ Closed
 *
 * Invariant: `hasRoom` is true only while another stream may be opened: below the peer's limit, and not closing.
 */
import http2 from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { HTTP2Options } from "../options.ts";
import type { UpstreamHandler } from "../stream.ts";
import { Deadline } from "../timer-wheel.ts";
import type { EngineDeps } from "../types.ts";
import { HTTP2UpstreamStream, type SessionOwner } from "./upstream.ts";

export interface SessionOptions {
  readonly deps: EngineDeps;
  readonly http2: HTTP2Options;
  /** Time without a stream before the connection is closed, in ms; 0 is none. */
  readonly idleMs: number;
  /** Streams before it is closed; 0 is any number. */
  readonly requestsMax: number;
  /** Streams that the peer took at once on the connection before; undefined: nobody knows yet. */
  readonly streamsMax: number | undefined;
  /** The peer has said how many streams it takes at once. */
  readonly onSettings: (streamsMax: number) => void;
  /** A stream has ended, or the connection takes no more. */
  readonly onRoom: () => void;
  readonly onClose: () => void;
}

/**
 * Streams before the peer has said how many it takes. RFC 9113 §6.5.2 asks every peer for 100 at least; more could only
 * be refused.
 */
const unsettledStreamsMax = 100;

/** Time for the peer to close a connection that is over, in ms. */
const closeMs = 50;

export class HTTP2Session implements SessionOwner {
  readonly session: ClientHttp2Session;
  readonly scheme: "http" | "https";
  readonly deps: EngineDeps;
  readonly #options: SessionOptions;
  readonly socket: Socket;
  readonly #idle: Deadline;
  #allowsConnect: boolean | undefined;
  #streams = 0;
  #opened = 0;
  /** The smaller of the peer's and ours. */
  #streamsMax: number;
  #isSettled = false;
  #state: "open" | "closing" | "closed" = "open";

  constructor(socket: Socket, options: SessionOptions) {
    this.#options = options;
    this.socket = socket;
    this.deps = options.deps;
    this.#streamsMax = Math.min(options.http2.concurrentStreamsMax, options.streamsMax ?? unsettledStreamsMax);
    this.#idle = new Deadline(() => this.close());
    this.scheme = "encrypted" in socket ? "https" : "http";
    const sessionOptions = {
      createConnection: () => socket,
      settings: { enablePush: false, initialWindowSize: options.http2.streamWindowBytes },
      peerMaxConcurrentStreams: options.http2.concurrentStreamsMax,
      maxHeaderListPairs: 128,
      maxSettings: 32,
      maxSessionMemory: 64,
      // What a downstream says twice is passed on twice, as in HTTP/1.
      strictSingleValueFields: false,
    };
    const session = http2.connect(`${this.scheme}://upstream.invalid`, sessionOptions);
    this.session = session;
    session.setLocalWindowSize(options.http2.connectionWindowBytes);
    session.on("remoteSettings", ({ maxConcurrentStreams, enableConnectProtocol }) => {
      this.#allowsConnect = enableConnectProtocol === true;
      this.#isSettled = true;
      const peerMax = maxConcurrentStreams ?? Infinity;
      this.#streamsMax = Math.min(peerMax, options.http2.concurrentStreamsMax);
      options.onSettings(peerMax);
    });
    session.on("goaway", () => this.#onGoaway());
    // Each of its streams is told by itself.
    session.on("error", () => this.#onGoaway());
    session.on("close", () => this.#onClose());
    // A session alone waits for writes that nobody takes.
    socket.on("end", () => {
      session.destroy();
      socket.destroy();
    });
    this.#armIdle();
  }

  get hasRoom(): boolean {
    return this.#state === "open" && this.#streams < this.#streamsMax && !this.session.closed;
  }

  /** How many more streams there will be room for, once the peer has said how many it takes. */
  get room(): number {
    if (this.#state !== "open" || this.session.closed) return 0;
    const { requestsMax, http2: ours } = this.#options;
    const room = (this.#isSettled ? this.#streamsMax : ours.concurrentStreamsMax) - this.#streams;
    return requestsMax > 0 ? Math.min(room, requestsMax - this.#opened) : room;
  }

  /** RFC 8441: the peer takes tunnels. Undefined before its settings came. */
  get allowsConnect(): boolean | undefined {
    return this.#allowsConnect;
  }

  open(handler: UpstreamHandler): HTTP2UpstreamStream {
    if (this.#streams++ === 0) this.deps.wheel.cancel(this.#idle);
    const { requestsMax } = this.#options;
    if (requestsMax > 0 && ++this.#opened >= requestsMax) this.#retire();
    return new HTTP2UpstreamStream(this, handler);
  }

  onStreamEnd(): void {
    if (--this.#streams === 0) {
      if (this.#state === "closing") this.close();
      else this.#armIdle();
    }
    this.#options.onRoom();
  }

  /** Closed behind the streams there are. */
  close(): void {
    this.#retire();
    if (this.#streams > 0 || this.#state === "closed") return;
    if (!this.session.closed && !this.session.destroyed) this.session.close();
    // The session ends its side and waits for the peer to end the other, which not every peer does.
    this.deps.after(closeMs, () => this.socket.destroy());
  }

  #onGoaway(): void {
    this.#retire();
    this.#options.onRoom();
  }

  #retire(): void {
    if (this.#state === "open") this.#state = "closing";
  }

  #armIdle(): void {
    const { deps, idleMs } = this.#options;
    if (idleMs > 0 && this.#state === "open") deps.wheel.arm(this.#idle, deps.nowMs() + idleMs);
  }

  #onClose(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.deps.wheel.cancel(this.#idle);
    this.socket.destroy();
    this.#options.onClose();
  }
}
