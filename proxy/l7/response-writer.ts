/**
 * Writes one response to the downstream: head, body, end.
 *
 *   exchange.ts ─▶ start() ─▶ body()* ─▶ end() ─▶ downstream socket
 *
 * Body slices are passed on as they came, without a copy; only chunk framing is written anew. The caller corks the
 * socket around each read from the upstream, so that what one read gave goes out in one gathered write.
 */
import type { Socket } from "node:net";
import { formatChunkLine } from "./http1/write.ts";

export class ResponseWriter {
  readonly #socket: Socket;
  #isChunked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** `head` with its empty line; `isChunked` is how the body is framed. */
  start(head: string, isChunked: boolean): void {
    this.#isChunked = isChunked;
    this.#socket.write(head, "latin1");
  }

  /** False when the downstream takes no more for now: wait for its "drain". */
  body(slice: Buffer): boolean {
    if (!this.#isChunked) return this.#socket.write(slice);
    this.#socket.write(formatChunkLine(slice.length), "latin1");
    this.#socket.write(slice);
    return this.#socket.write("\r\n", "latin1");
  }

  end(): void {
    if (this.#isChunked) this.#socket.write("0\r\n\r\n", "latin1");
  }
}
