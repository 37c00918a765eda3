/**
 * Takes the bytes of an HTTP/1 downstream apart into requests, one at a time.
 *
 *   downstream.ts (bytes) ─▶ RequestReader ─▶ onRequestHead() ─▶ onRequestBody()* ─▶ onRequestEnd() ─▶ downstream.ts
 *
 * Invariant: bytes behind the request in hand wait, and while they do `hasStash` asks for nothing more to be read: at
 * most what one read gave is held.
 */
import { BodyReader } from "./http1/body.ts";
import { HTTP1Error } from "./http1/errors.ts";
import type { Framing } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import { type RequestHead, parseRequestHead } from "./http1/request.ts";
import { type HeadMarks, HeadScanner } from "./http1/scanner.ts";

/** The connection, as its reader needs it. */
export interface ReaderOwner {
  /** What the next byte belongs to: a head, the request in hand, a tunnel; "nothing": it is dropped. */
  readonly expects: "head" | "request" | "tunnel" | "nothing";
  onRequestHead(head: RequestHead): void;
  /** Bytes of a head came, and not the end of it. */
  onPartialHead(): void;
  onRequestBody(slice: Buffer): void;
  onRequestEnd(trailers: Headers | undefined): void;
  onProtocolError(error: HTTP1Error): void;
  /** The bytes at hand are handled. */
  onReadEnd(): void;
}

export class RequestReader {
  readonly #owner: ReaderOwner;
  readonly #parsing: { readonly countMax: number; marks: HeadMarks | undefined };
  readonly #scanner: HeadScanner;
  readonly #body = new BodyReader();
  readonly #emit: (slice: Buffer) => void;
  /** Bytes behind the request in hand. */
  #stash: Buffer | undefined;
  #isReading = false;

  constructor(owner: ReaderOwner, { headBytesMax, headersMax }: { headBytesMax: number; headersMax: number }) {
    this.#owner = owner;
    this.#parsing = { countMax: headersMax, marks: undefined };
    this.#scanner = new HeadScanner(true, headBytesMax);
    this.#emit = (slice) => owner.onRequestBody(slice);
  }

  get hasStash(): boolean {
    return this.#stash !== undefined;
  }

  /** The body of the request in hand is whole. */
  get isWhole(): boolean {
    return this.#body.isDone;
  }

  startBody(framing: Framing): void {
    this.#body.start(framing);
  }

  /** Keeps bytes for next(). */
  hold(chunk: Buffer): void {
    this.#stash = chunk;
  }

  push(chunk: Buffer): void {
    if (this.#stash !== undefined) this.#stash = Buffer.concat([this.#stash, chunk]);
    else this.#read(chunk);
  }

  /** The request in hand is answered: what waited is read, unless the loop that called goes on to it by itself. */
  next(): void {
    if (this.#isReading) return;
    const stash = this.takeStash();
    if (stash !== undefined) this.#read(stash);
  }

  takeStash(): Buffer | undefined {
    const stash = this.#stash;
    this.#stash = undefined;
    return stash;
  }

  #read(chunk: Buffer): void {
    this.#isReading = true;
    try {
      this.#readMessages(chunk);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.#stash = undefined;
      this.#owner.onProtocolError(error);
    } finally {
      this.#isReading = false;
    }
    this.#owner.onReadEnd();
  }

  #readMessages(chunk: Buffer): void {
    const owner = this.#owner;
    let at = 0;
    while (at < chunk.length) {
      switch (owner.expects) {
        case "head": {
          const end = this.#scanner.push(chunk, at);
          if (end < 0) return owner.onPartialHead();
          const text = this.#scanner.take(chunk, at, end);
          this.#parsing.marks = this.#scanner.marks;
          const head = parseRequestHead(text, this.#parsing);
          at = end;
          owner.onRequestHead(head);
          break;
        }
        case "request":
          if (this.#body.isDone) {
            this.#stash = chunk.subarray(at);
            return;
          }
          at = this.#body.consume(chunk, at, this.#emit);
          if (this.#body.isDone) owner.onRequestEnd(this.#body.trailers);
          break;
        case "tunnel":
          return owner.onRequestBody(at === 0 ? chunk : chunk.subarray(at));
        case "nothing":
          return;
      }
    }
  }
}
