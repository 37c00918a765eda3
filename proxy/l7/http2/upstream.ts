/**
 * One try over HTTP/2: a stream of an upstream session.
 *
 *   Exchange ─▶ sendHead(), sendBody()*, end() ─▶ stream ─▶ response, trailers ─▶ Exchange
 *
 * Failures by the code of the reset: REFUSED_STREAM was not looked at, so it may be sent again whatever its method;
 * everything else is a reset. A cancelled try is reset with CANCEL, so that the upstream stops working for nobody.
 * Source: RFC 9113 §5.4, §7, §8.7; RFC 8441 for tunnels.
 */
import http2 from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { HTTP1Error } from "../http1/errors.ts";
import type { Headers } from "../http1/headers.ts";
import { type OutgoingRequest, upgradeOf } from "../http1/write.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { UpstreamFailure, UpstreamHandler, UpstreamStream } from "../stream.ts";
import type { EngineDeps } from "../types.ts";
import { isGRPC } from "./grpc.ts";
import { parseResponse, parseTrailers, toRequestList, trailersOf } from "./heads.ts";
import { acceptOf } from "./websocket.ts";

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR, NGHTTP2_REFUSED_STREAM, NGHTTP2_FLAG_END_STREAM } =
  http2.constants;
/** Interim responses (1xx) in a row before the upstream is taken for broken. */
const interimMax = 16;

/** The connection, as its streams need it. */
export interface SessionOwner {
  readonly deps: EngineDeps;
  readonly session: ClientHttp2Session;
  readonly socket: Socket;
  readonly scheme: string;
  /** The peer takes tunnels; undefined before its settings came. */
  readonly allowsConnect: boolean | undefined;
  onStreamEnd(): void;
}

type State = "opening" | "open" | "tunnel" | "over";

export class HTTP2UpstreamStream implements UpstreamStream {
  readonly protocol = "HTTP/2";
  readonly #owner: SessionOwner;
  #handler: UpstreamHandler | undefined;
  #stream: ClientHttp2Stream | undefined;
  #state: State = "opening";
  #request: OutgoingRequest | undefined;
  #requestTrailers: Headers | undefined;
  #trailers: Headers | undefined;
  #isTunnelAsked = false;
  #hasRequest = false;
  #hasHead = false;
  /** The upstream has ended its side. */
  #hasEnded = false;
  #interims = 0;
  /** Of node:http2's error, which is told before the end. */
  #errorCode: string | undefined;

  constructor(owner: SessionOwner, handler: UpstreamHandler) {
    this.#owner = owner;
    this.#handler = handler;
  }

  get socket(): Socket {
    return this.#owner.socket;
  }

  cork(): void {
    // The session gathers what one turn writes by itself.
  }

  uncork(): void {
    // See cork().
  }

  sendHead(request: OutgoingRequest, isWhole: boolean): boolean {
    this.#request = request;
    const isExtended = upgradeOf(request.head) !== undefined;
    this.#isTunnelAsked = isExtended || request.head.method === "CONNECT";
    if (isExtended) this.#askForTunnel(request);
    else this.#open(request, isWhole && !this.#isTunnelAsked);
    return true;
  }

  /** A tunnel may be asked for once the peer has said that it takes them (RFC 8441 §3). */
  #askForTunnel(request: OutgoingRequest): void {
    const { allowsConnect, session } = this.#owner;
    if (allowsConnect === undefined) {
      // Both are told of at most once; what comes after the end of this try finds it over.
      session.once("remoteSettings", () => this.#state === "opening" && this.#askForTunnel(request));
      session.once("close", () => this.#break({ kind: "reset", sawBytes: false }));
    } else if (allowsConnect) this.#open(request, false);
    else {
      // Told later, as every other failure is, so that callers meet one order of events.
      const why = "Cannot open tunnel: the upstream does not take extended CONNECT over HTTP/2";
      queueMicrotask(() => this.#break({ kind: "malformed", why }));
    }
  }

  #open(request: OutgoingRequest, endStream: boolean): void {
    const { head } = request;
    this.#hasRequest = endStream;
    // gRPC's requests have none, and its last message should end the stream.
    const waitForTrailers = !endStream && head.framing.kind === "chunked" && !isGRPC(head.headers);
    try {
      const list = toRequestList(request, this.#owner.scheme);
      this.#listen(this.#owner.session.request(list, { endStream, waitForTrailers }));
    } catch (error) {
      // The session closed since it was picked: nothing was sent.
      const why = error instanceof Error ? error.message : String(error);
      queueMicrotask(() => this.#break({ kind: "connect", why }));
    }
  }

  sendBody(slice: Buffer): boolean {
    const stream = this.#stream;
    return stream === undefined || stream.destroyed || stream.writableEnded ? true : stream.write(slice);
  }

  end(trailers: Headers | undefined): void {
    // A tunnel is not over because the request that asks for it is whole.
    if (this.#hasRequest || (this.#isTunnelAsked && this.#state !== "tunnel")) return;
    this.#hasRequest = true;
    this.#requestTrailers = trailers;
    const stream = this.#stream;
    if (stream !== undefined && !stream.destroyed) stream.end();
  }

  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
  }

  cancel(): void {
    this.#handler = undefined;
    if (this.#state === "over") return;
    const stream = this.#stream;
    this.#finish();
    if (stream !== undefined && !stream.destroyed) stream.close(NGHTTP2_CANCEL);
  }

  #listen(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    this.#state = "open";
    stream.on("headers", (_headers: object, _flags: number, raw: readonly string[]) => this.#onInterim(raw));
    stream.on("response", (_headers: object, flags: number, raw: readonly string[]) => this.#onResponse(raw, flags));
    stream.on("trailers", (_headers: object, _flags: number, raw: readonly string[]) => {
      this.#trailers = parseTrailers(raw);
    });
    stream.on("wantTrailers", () => {
      const trailers = this.#requestTrailers;
      if (!stream.destroyed) stream.sendTrailers(trailers === undefined ? {} : trailersOf(trailers));
    });
    stream.on("data", (slice: Buffer) => this.#onData(slice));
    stream.on("drain", () => this.#handler?.onDrain());
    // Trailers are told in the same turn, and may be behind the end.
    stream.on("end", () => queueMicrotask(() => this.#onEnd(stream)));
    // "close" follows and acts.
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code;
    });
    stream.on("close", () => this.#onClose(stream));
  }

  #onInterim(raw: readonly string[]): void {
    const { head } = parseResponse(raw, "", false);
    if (++this.#interims > interimMax)
      return this.#fail(`Cannot read response: more than ${interimMax} interim responses`);
    this.#handler?.onInterim(head);
  }

  #onResponse(raw: readonly string[], flags: number): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    const request = this.#request!;
    const isWhole = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    try {
      const { head, framing } = parseResponse(raw, request.head.method, isWhole);
      this.#hasHead = true;
      handler.onBatchStart();
      if (this.#isTunnelAsked && head.status >= 200 && head.status < 300) this.#openTunnel(head, request, handler);
      else handler.onHead(head, framing, !isWhole && framing.kind !== "none");
      handler.onBatchEnd();
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.#owner.deps.counters.protocolErrors++;
      this.#fail(error.message);
    }
  }

  /** Open => Tunnel. An extended CONNECT's as HTTP/1 would say it: 101, with the answer to the key. */
  #openTunnel(head: ResponseHead, { head: asked }: OutgoingRequest, handler: UpstreamHandler): void {
    this.#state = "tunnel";
    if (asked.method === "CONNECT") return handler.onTunnel(head);
    const { names, keys, values } = head.headers;
    const accept = acceptOf(asked.headers);
    const headers: Headers =
      accept === undefined
        ? head.headers
        : {
            names: [...names, "Sec-WebSocket-Accept"],
            keys: [...keys, "sec-websocket-accept"],
            values: [...values, accept],
          };
    const hop = { ...head.hop, contentLength: undefined, upgrade: upgradeOf(asked) };
    handler.onTunnel({ ...head, status: 101, reason: "Switching Protocols", headers, hop });
  }

  #onData(slice: Buffer): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    handler.onBatchStart();
    handler.onBody(slice);
    handler.onBatchEnd();
  }

  #onEnd(stream: ClientHttp2Stream): void {
    // A reset ends the readable side too; the response is not whole by it.
    if (stream.rstCode !== NGHTTP2_NO_ERROR || stream.aborted || !this.#hasHead) return;
    const handler = this.#handler;
    if (handler === undefined || this.#state === "over" || this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#state === "tunnel") return handler.onResponseEnd(undefined);
    this.#handler = undefined;
    this.#finish();
    handler.onBatchStart();
    handler.onResponseEnd(this.#trailers);
    handler.onBatchEnd();
    // The rest of the request is wanted by nobody.
    if (!this.#hasRequest && !stream.destroyed) stream.close(NGHTTP2_CANCEL);
  }

  #onClose(stream: ClientHttp2Stream): void {
    // The end may still wait for its turn.
    if (stream.readableEnded) this.#onEnd(stream);
    if (this.#state === "tunnel" && stream.rstCode === NGHTTP2_NO_ERROR) {
      this.#handler = undefined;
      return this.#finish();
    }
    if (stream.rstCode === NGHTTP2_REFUSED_STREAM) return this.#break({ kind: "refused" });
    const reset = { kind: "reset", sawBytes: this.#hasHead } as const;
    if (this.#hasBrokenProtocol(stream)) return this.#break({ ...reset, by: "protocol" });
    // A connection that ends resets its streams, too.
    this.#break(this.#owner.session.destroyed ? reset : { ...reset, by: "stream" });
  }

  /** By the session's error, or by the code of a reset: whose it was, ours or the peer's, node:http2 does not say. */
  #hasBrokenProtocol(stream: ClientHttp2Stream): boolean {
    if (this.#errorCode === "ERR_HTTP2_ERROR") return true;
    return !this.#owner.session.destroyed && stream.rstCode === NGHTTP2_PROTOCOL_ERROR;
  }

  #fail(why: string): void {
    const stream = this.#stream;
    this.#break({ kind: "malformed", why });
    if (stream !== undefined && !stream.destroyed) stream.close(NGHTTP2_CANCEL);
  }

  #break(failure: UpstreamFailure): void {
    const handler = this.#handler;
    this.#handler = undefined;
    this.#finish();
    handler?.onBroken(failure);
  }

  #finish(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#owner.onStreamEnd();
  }
}
