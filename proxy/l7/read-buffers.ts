/**
 * The memory that connections read into, so that a read costs no allocation of Node's own.
 *
 *   upstream.ts: net.connect({ onread: new ReadBuffer(onChunk).options }) ─▶ onChunk(chunk)
 *   downstream.ts, and upstream.ts over TLS: direct-reads.ts with the same
 *
 * Node gives each read a buffer of 64 KiB of its own outside of the heap. Here all connections read into the same
 * 16 KiB, of which a copy is handed on: most messages are short. A connection whose read filled it gets a large one
 * that nobody else reads into, handed on without a copy, until its body is done or its reads are short again; that is
 * used again as soon as all that was handed on is written, and left to whoever still looks at it otherwise. Of an
 * upstream it is 256 KiB; of a downstream, whose body may be held for another try and is not known to be free, 64 KiB.
 * Copies stand one behind the other in 64 KiB, and one that nobody looks at any more is written over: V8 counts such
 * memory as its own, and with 16 KiB for each large body it marked the whole heap every 70 ms.
 *
 * Invariants: what was handed on is never written to while somebody may look at it; at most `freeMax` of the large ones
 * wait to be used again.
 */
import { countRead } from "./collect-reads.ts";
import type { Reads } from "./direct-reads.ts";
import { readClock } from "./read-clock.ts";

/** In bytes: what is copied at most. */
const sharedBytes: number = 16 * 1024;
const largeBytesDefault: number = 256 * 1024;
const freeMax = 8;
/** Memory for copies, in bytes, where Node's own pool has as much. */
const copiesBytes: number = 64 * 1024;

/** Read and copied in one turn of the event loop, so that connections do not meet in it. */
const shared: Buffer = Buffer.allocUnsafeSlow(sharedBytes);
/** Where the copies are, one behind the other up to `copiedBytes`. */
let copies: Buffer = Buffer.allocUnsafeSlow(copiesBytes);
let copiedBytes = 0;
const free: Buffer[] = [];

/** What became of a chunk. */
export interface ReadResult {
  /** Nobody looks at it any more. */
  readonly isFree: boolean;
  /** More of the same body is to come. */
  readonly isInBody: boolean;
}

export class ReadBuffer {
  readonly options: Reads;
  readonly #onChunk: (chunk: Buffer) => ReadResult;
  readonly #largeBytes: number;
  #buffer: Buffer = shared;

  constructor(onChunk: (chunk: Buffer) => ReadResult, largeBytes: number = largeBytesDefault) {
    this.#onChunk = onChunk;
    this.#largeBytes = largeBytes;
    this.options = { buffer: () => this.#buffer, callback: (bytes) => this.#onRead(bytes) };
  }

  /** For reads from a socket of another kind, whose chunks are their own. */
  pass(chunk: Buffer): void {
    countRead(chunk.length);
    this.#onChunk(chunk);
  }

  #onRead(bytes: number): true {
    readClock.enter();
    try {
      if (this.#buffer === shared) this.#handCopy(bytes);
      else this.#handOver(this.#buffer, bytes);
    } finally {
      readClock.leave();
    }
    return true;
  }

  /** A copy of a read into the memory that all share. */
  #handCopy(bytes: number): void {
    if (copiedBytes + bytes > copies.length) {
      copies = Buffer.allocUnsafeSlow(copiesBytes);
      copiedBytes = 0;
    }
    const used = copies;
    const from = copiedBytes;
    const end = from + bytes;
    copiedBytes = end;
    shared.copy(used, from, 0, bytes);
    const { isFree, isInBody } = this.#onChunk(used.subarray(from, end));
    // Unless another one is behind it by now.
    if (isFree && copies === used && copiedBytes === end) copiedBytes = from;
    if (isInBody && bytes === sharedBytes) this.#buffer = this.#takeLarge();
  }

  /** A read into memory of its own. */
  #handOver(buffer: Buffer, bytes: number): void {
    const { isFree, isInBody } = this.#onChunk(buffer.subarray(0, bytes));
    if (!isFree) countRead(buffer.length);
    if (isInBody && bytes >= sharedBytes) {
      if (!isFree) this.#buffer = this.#takeLarge();
    } else {
      this.#buffer = shared;
      if (isFree && buffer.length === largeBytesDefault && free.length < freeMax) free.push(buffer);
    }
  }

  #takeLarge(): Buffer {
    const used = this.#largeBytes === largeBytesDefault ? free.pop() : undefined;
    return used ?? Buffer.allocUnsafeSlow(this.#largeBytes);
  }
}
