/**
 * The HTTP/1 side of a response: head, body, end, as text and slices on the downstream's socket.
 *
 *   exchange.ts ─▶ sendHead() ─▶ sendBody()* ─▶ end() ─▶ downstream socket          reply() for answers of the proxy
 *
 * One object a connection, used for one exchange after the other. Body slices are passed on as they came, without a
 * copy; only chunk framing is written anew. Invariant: the connection is told once when a response is over.
 */
import type { Socket } from "node:net";
import type { ConnectionInfo } from "./context.ts";
import type { DownstreamTimer } from "./downstream-timer.ts";
import { GatheredWriter } from "./gathered-writer.ts";
import { type Framing, chunkedBody, untilCloseBody } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import { formatChunkLine, formatInterimHead, formatResponseHead, formatTrailers } from "./http1/write.ts";
import { type RenderedReply, formatReply } from "./reply.ts";
import type { DownstreamStream, Loan, ResponseOptions } from "./stream.ts";

/** The connection, as its writer needs it. */
export interface WriterOwner {
  readonly info: ConnectionInfo;
  readonly socket: Socket;
  /** The request in hand. */
  readonly head: RequestHead | undefined;
  /** The downstream wants, and may have, another request on this connection. */
  readonly keepsAlive: boolean;
  /** Trailers go on without being asked for. */
  readonly sendsTrailers: boolean;
  readonly timer: DownstreamTimer;
  /** Wall-clock time, in ms since 1970. */
  readonly wallMs: () => number;
  setBlocked(isBlocked: boolean): void;
  /** The response is whole; without `keepsAlive` the connection is closed behind it. */
  onResponseEnd(keepsAlive: boolean): void;
  /** From now on the connection carries bytes both ways. */
  onTunnel(): void;
  /** Closes with a reset: what was sent is not whole. */
  abort(): void;
  /** Closes without an answer. */
  handBack(): void;
}

export class ResponseWriter implements DownstreamStream {
  readonly info: ConnectionInfo;
  readonly #owner: WriterOwner;
  readonly #socket: Socket;
  readonly #out: GatheredWriter;
  #isChunked = false;
  #isTunnel = false;
  #keepsAlive = false;

  constructor(owner: WriterOwner) {
    this.#owner = owner;
    this.#socket = owner.socket;
    this.#out = new GatheredWriter(owner.socket);
    this.info = owner.info;
  }

  cork(): void {
    this.#out.cork();
  }

  uncork(): Loan {
    this.#out.uncork();
    return this.#out;
  }

  /** Before somebody else writes to the socket, or closes it. */
  flush(): void {
    this.#out.flush();
  }

  /** Of the socket, which does not count it. */
  get isWriting(): boolean {
    return this.#out.isWriting;
  }

  sendInterim(head: ResponseHead): void {
    // HTTP/1.0 has no interim responses.
    if (this.#owner.head?.protocol === "HTTP/1.1") this.#out.text(formatInterimHead(head));
  }

  sendHead(head: ResponseHead, { framing, isRequestWhole }: ResponseOptions): void {
    // A response before the end of the request: the rest of it is not read, so that nothing can follow.
    this.#keepsAlive = this.#owner.keepsAlive && isRequestWhole;
    const down = this.#framingTo(framing);
    this.#isChunked = down.kind === "chunked";
    const isBodiless = framing.kind === "none";
    const { wallMs } = this.#owner;
    this.#out.text(formatResponseHead(head, { framing: down, isBodiless, keepsAlive: this.#keepsAlive, wallMs }));
  }

  sendBody(slice: Buffer): boolean {
    if (!this.#isChunked) return this.#out.bytes(slice);
    // An empty chunk would be the last.
    if (slice.length === 0) return true;
    this.#out.text(formatChunkLine(slice.length));
    this.#out.bytes(slice);
    return this.#out.text("\r\n");
  }

  end(trailers: Headers | undefined): void {
    if (this.#isTunnel) {
      this.#out.flush();
      this.#socket.end();
      return;
    }
    if (this.#isChunked) {
      const isWanted = trailers !== undefined && (this.#owner.sendsTrailers || asksForTrailers(this.#owner.head));
      this.#out.text(isWanted ? formatTrailers(trailers) : "0\r\n\r\n");
    }
    this.#isChunked = false;
    this.#owner.onResponseEnd(this.#keepsAlive);
  }

  reply(reply: RenderedReply, isRequestWhole: boolean): void {
    const { head } = this.#owner;
    const keepsAlive = this.#owner.keepsAlive && isRequestWhole;
    const options = { keepsAlive, isHead: head?.method === "HEAD", wallMs: this.#owner.wallMs() };
    this.#out.flush();
    this.#socket.write(formatReply(reply, options));
    this.#owner.onResponseEnd(keepsAlive);
  }

  openTunnel(head: ResponseHead): void {
    this.#isTunnel = true;
    this.#out.text(formatInterimHead(head, this.#owner.wallMs()));
    this.#owner.onTunnel();
  }

  reset(): void {
    this.#owner.abort();
  }

  handBack(): void {
    this.#owner.handBack();
  }

  setBlocked(isBlocked: boolean): void {
    this.#owner.setBlocked(isBlocked);
  }

  touch(): void {
    this.#owner.timer.touch();
  }

  setDeadline(dueMs: number): void {
    this.#owner.timer.requestDueMs = dueMs;
    this.#owner.timer.armStream();
  }

  setIdle(idleMs: number): void {
    this.#owner.timer.streamIdleMs = idleMs;
  }

  #framingTo(framing: Framing): Framing {
    if (framing.kind === "none" || framing.kind === "length") return framing;
    return this.#owner.head?.protocol === "HTTP/1.0" ? untilCloseBody : chunkedBody;
  }
}

/** TE lists "trailers" (RFC 9110 §10.1.4). */
function asksForTrailers(head: RequestHead | undefined): boolean {
  if (head === undefined) return false;
  const at = head.headers.keys.indexOf("te");
  return at >= 0 && head.headers.values[at]!.toLowerCase().includes("trailers");
}
