/**
 * The memory that upstream connections read into, so that a read costs no allocation of Node's own.
 *
 *   upstream.ts: net.connect({ onread: new ReadBuffer(onChunk).options }) ─▶ onChunk(chunk)
 *
 * Node gives each read a buffer of 64 KiB of its own outside of the heap. Here all connections read into the same
 * 16 KiB, of which a copy is handed on: most messages are short. A connection whose read filled it gets 256 KiB that
 * nobody else reads into, handed on without a copy, until its body is done or its reads are short again; they are used
 * again as soon as all that was handed on is written, and left to whoever still looks at them otherwise.
 *
 * Invariants: what was handed on is never written to while somebody may look at it; at most `freeMax` of the large ones
 * wait to be used again.
 */
import type { OnReadOpts } from "node:net";
import { countRead } from "./collect-reads.ts";

/** In bytes: what is copied at most. */
const sharedBytes: number = 16 * 1024;
const largeBytes: number = 256 * 1024;
const freeMax = 8;

/** Read and copied in one turn of the event loop, so that connections do not meet in it. */
const shared: Buffer = Buffer.allocUnsafeSlow(sharedBytes);
const free: Buffer[] = [];

/** What became of a chunk. */
export interface ReadResult {
  /** Nobody looks at it any more. */
  readonly isFree: boolean;
  /** More of the same body is to come. */
  readonly isInBody: boolean;
}

export class ReadBuffer {
  readonly options: OnReadOpts;
  readonly #onChunk: (chunk: Buffer) => ReadResult;
  #buffer: Buffer = shared;

  constructor(onChunk: (chunk: Buffer) => ReadResult) {
    this.#onChunk = onChunk;
    this.options = { buffer: () => this.#buffer, callback: (bytes) => this.#onRead(bytes) };
  }

  /** For reads from a socket of another kind, whose chunks are their own. */
  pass(chunk: Buffer): void {
    countRead(chunk.length);
    this.#onChunk(chunk);
  }

  #onRead(bytes: number): true {
    const buffer = this.#buffer;
    if (buffer === shared) {
      const { isInBody } = this.#onChunk(Buffer.from(shared.subarray(0, bytes)));
      if (isInBody && bytes === sharedBytes) this.#buffer = free.pop() ?? Buffer.allocUnsafeSlow(largeBytes);
      return true;
    }
    const { isFree, isInBody } = this.#onChunk(buffer.subarray(0, bytes));
    if (!isFree) countRead(largeBytes);
    if (isInBody && bytes >= sharedBytes) {
      if (!isFree) this.#buffer = free.pop() ?? Buffer.allocUnsafeSlow(largeBytes);
    } else {
      this.#buffer = shared;
      if (isFree && free.length < freeMax) free.push(buffer);
    }
    return true;
  }
}
