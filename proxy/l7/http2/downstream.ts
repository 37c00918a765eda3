/**
 * One HTTP/2 connection from a downstream: a session of node:http2's core, one exchange a stream.
 *
 *   listener.ts ─▶ HTTP2Connection ─▶ "stream" ─▶ HTTP2DownstreamStream ⇄ Exchange
 *
 *   Serving ─▶ Announced (GOAWAY: no more, please) ─▶ Closing (GOAWAY with the last stream) ─▶ Closed
 *
 * The first GOAWAY names no stream, so that requests on their way are still served; the second, a while later, is final
 * (RFC 9113 §6.8). Bounds: streams at once, bytes ahead of a paused stream, header lists, resets a second
 * (CVE-2023-44487), refused and invalid frames, settings and pings unanswered; beyond any of them the session ends with
 * an error.
 */
import http2 from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { ConnectionInfo, HTTPContext } from "../context.ts";
import { HTTP1Error } from "../http1/errors.ts";
import { Deadline } from "../timer-wheel.ts";
import { parseRequest } from "./heads.ts";
import { type DownstreamOwner, HTTP2DownstreamStream } from "./downstream-stream.ts";

/** Stream id that no stream reaches: "about to close". */
const anyStream = 2 ** 31 - 1;
/** Time between the two GOAWAYs of a connection that is not part of a drain with its own times, in ms. Envoy's. */
const announceMs = 5000;

export class HTTP2Connection implements DownstreamOwner {
  readonly info: ConnectionInfo;
  readonly context: HTTPContext;
  readonly #socket: Socket;
  readonly #idle: Deadline;
  readonly #startMs: number;
  #session: ServerHttp2Session | undefined;
  #state: "serving" | "announced" | "closing" | "closed" = "serving";
  #streams = 0;

  constructor(socket: Socket, info: ConnectionInfo, context: HTTPContext) {
    this.#socket = socket;
    this.info = info;
    this.context = context;
    this.#startMs = context.deps.nowMs();
    this.#idle = new Deadline(() => this.closeIfIdle());
  }

  /** Serves the socket from now on; `initial` is what was read from it before. */
  start(initial: Buffer | undefined): void {
    const socket = this.#socket;
    // The session takes what the socket holds; a flowing socket would give it to nobody.
    socket.pause();
    if (initial !== undefined) socket.unshift(initial);
    const session = http2.performServerHandshake(socket, sessionOptions(this.context));
    this.#session = session;
    session.setLocalWindowSize(this.context.options.http2.connectionWindowBytes);
    session.on("stream", (stream, headers, flags, raw) => this.#onStream(stream, { headers, flags, raw }));
    // Frames that broke the protocol; the session has answered and ends.
    session.on("error", () => {
      this.context.deps.counters.protocolErrors++;
    });
    session.on("close", () => this.#onClose());
    // Nobody speaks HTTP/2 with half a connection.
    socket.on("end", () => this.destroy());
    this.#armIdle();
  }

  /** Announces that the connection will be closed. */
  drain(): void {
    if (this.#state !== "serving") return;
    this.#state = "announced";
    if (this.#session?.destroyed === false) this.#session.goaway(http2.constants.NGHTTP2_NO_ERROR, anyStream);
  }

  /** Takes no more streams; the connection is closed behind those there are. */
  closeIfIdle(): void {
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#state = "closing";
    if (this.#session?.destroyed === false) this.#session.close();
  }

  destroy(): void {
    this.#session?.destroy();
    this.#socket.destroy();
  }

  onStreamEnd(): void {
    this.#streams--;
    if (this.#streams === 0) this.#armIdle();
    if (this.#isWornOut()) this.endKeepAlive();
  }

  #onStream(
    stream: ServerHttp2Stream,
    { flags, raw }: { headers: IncomingHttpHeaders; flags: number; raw: readonly string[] },
  ): void {
    if (this.#streams++ === 0) this.context.deps.wheel.cancel(this.#idle);
    const isWhole = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const own = new HTTP2DownstreamStream(this, stream);
    try {
      own.start(parseRequest(raw, isWhole), isWhole);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.context.deps.counters.protocolErrors++;
      own.refuse(error.status, error.message);
    }
    if (this.#isWornOut()) this.endKeepAlive();
  }

  /** A newer configuration, a drain or old age: the downstream is asked to come again. */
  #isWornOut(): boolean {
    const { connectionMsMax } = this.context.options;
    if (connectionMsMax > 0 && this.context.deps.nowMs() - this.#startMs >= connectionMsMax) return true;
    return this.context.isDraining();
  }

  /** Announces the end; some time later the connection takes no more streams. */
  endKeepAlive(): void {
    if (this.#state !== "serving") return;
    this.drain();
    this.context.deps.after(announceMs, () => this.closeIfIdle());
  }

  #onClose(): void {
    this.#state = "closed";
    this.context.deps.wheel.cancel(this.#idle);
    this.#socket.destroy();
  }

  #armIdle(): void {
    const { deps, options } = this.context;
    const { keepAliveIdleMs, connectionMsMax } = options;
    const idleDueMs = keepAliveIdleMs === 0 ? Infinity : deps.nowMs() + keepAliveIdleMs;
    const oldDueMs = connectionMsMax === 0 ? Infinity : this.#startMs + connectionMsMax + announceMs;
    const dueMs = Math.min(idleDueMs, oldDueMs);
    if (dueMs < Infinity) deps.wheel.arm(this.#idle, dueMs);
  }
}

function sessionOptions({ options }: HTTPContext): http2.ServerOptions {
  return {
    settings: {
      maxConcurrentStreams: options.http2.concurrentStreamsMax,
      initialWindowSize: options.http2.streamWindowBytes,
      maxHeaderListSize: options.headBytesMax,
      enableConnectProtocol: options.http2.allowsConnect,
    },
    // Pseudo-headers count too.
    maxHeaderListPairs: options.headersMax + 5,
    maxSessionInvalidFrames: 100,
    maxSessionRejectedStreams: 100,
    maxSettings: 32,
    maxOutstandingPings: 10,
    streamResetBurst: 1000,
    streamResetRate: 33,
    maxSessionMemory: 64,
    unknownProtocolTimeout: 10_000,
    // What an upstream says twice is passed on twice, as in HTTP/1.
    strictSingleValueFields: false,
  };
}
