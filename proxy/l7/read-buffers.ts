/**
 * The memory that connections read into, so that a read costs no allocation of Node's own.
 *
 *   upstream.ts: net.connect({ onread: new ReadBuffer(onChunk).options }) ─▶ onChunk(chunk)
 *   downstream.ts, and upstream.ts over TLS: direct-reads.ts with the same
 *
 * Node gives each read a buffer of 64 KiB of its own outside of the heap. Here all connections read into the same
 * 16 KiB, of which a copy is handed on: most messages are short. A connection whose read filled it gets a large one
 * that nobody else reads into, handed on without a copy, until its body is done or its reads are short again; that is
 * used again as soon as all that was handed on is written: at once, or later where TLS or a slow downstream takes its
 * time (a loan). It is left to whoever looks at it where nobody knows when that is over. Of an
 * upstream it is 256 KiB; of a downstream, whose body may be held for another try and is not known to be free, 64 KiB.
 * Copies stand one behind the other in 64 KiB, and one that nobody looks at any more is written over: V8 counts such
 * memory as its own, and with 16 KiB for each large body it marked the whole heap every 70 ms.
 *
 * Invariants: what was handed on is never written to while somebody may look at it; at most `freeMax` of the large ones
 * wait to be used again, and `lentMax` are lent.
 */
import { countRead } from "./collect-reads.ts";
import type { Reads } from "./direct-reads.ts";
import { readClock } from "./read-clock.ts";
import { type Loan, neverFree } from "./stream.ts";

/** In bytes: what is copied at most. */
const sharedBytes: number = 16 * 1024;
const largeBytesDefault: number = 256 * 1024;
const freeMax = 8;
/** Large ones that are being written, or were: a read and the one before for each of 32 connections over TLS. */
const lentMax = 64;
/** Memory for copies, in bytes, where Node's own pool has as much. */
const copiesBytes: number = 64 * 1024;

/** Read and copied in one turn of the event loop, so that connections do not meet in it. */
const shared: Buffer = Buffer.allocUnsafeSlow(sharedBytes);
/** Where the copies are, one behind the other up to `copiedBytes`. */
let copies: Buffer = Buffer.allocUnsafeSlow(copiesBytes);
let copiedBytes = 0;
const free: Buffer[] = [];
const lent: Lent[] = [];

/** What became of a chunk. */
export interface ReadResult {
  /** Nobody looks at it any more. */
  readonly isFree: boolean;
  /** More of the same body is to come. */
  readonly isInBody: boolean;
  /** Says when it is free, where it is not yet; undefined: nobody knows. */
  readonly loan?: Loan | undefined;
}

/** A large buffer that is still being written. */
interface Lent {
  readonly buffer: Buffer;
  readonly loan: Loan;
}

export class ReadBuffer {
  readonly options: Reads;
  readonly #onChunk: (chunk: Buffer) => ReadResult;
  readonly #largeBytes: number;
  #buffer: Buffer = shared;
  /** What the system reads into. */
  #given: Buffer = shared;

  constructor(onChunk: (chunk: Buffer) => ReadResult, largeBytes: number = largeBytesDefault) {
    this.#onChunk = onChunk;
    this.#largeBytes = largeBytes;
    this.options = {
      buffer: () => (this.#given = this.#buffer),
      callback: (bytes) => this.#onRead(bytes),
      next: () => (this.#buffer === this.#given ? undefined : (this.#given = this.#buffer)),
    };
  }

  /** For reads from a socket of another kind, whose chunks are their own. */
  pass(chunk: Buffer): void {
    countRead(chunk.length);
    this.#onChunk(chunk);
  }

  #onRead(bytes: number): true {
    readClock.enter();
    try {
      if (this.#buffer !== shared) this.#handOver(this.#buffer, bytes);
      else if (bytes === sharedBytes && this.#isPooled) this.#handOver(copyTo(this.#takeLarge()), bytes);
      else this.#handCopy(bytes);
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

  /** What is in a large buffer, which is then read into, used again, or lent until it is written. */
  #handOver(buffer: Buffer, bytes: number): void {
    const { isFree, isInBody, loan } = this.#onChunk(buffer.subarray(0, bytes));
    if (!isFree) lend(buffer, loan);
    const isLarge = isInBody && bytes >= sharedBytes;
    if (isLarge) this.#buffer = isFree ? buffer : this.#takeLarge();
    else {
      this.#buffer = shared;
      if (isFree && this.#isPooled && free.length < freeMax) free.push(buffer);
    }
  }

  get #isPooled(): boolean {
    return this.#largeBytes === largeBytesDefault;
  }

  #takeLarge(): Buffer {
    const used = this.#isPooled ? (free.pop() ?? takeBack()) : undefined;
    return used ?? Buffer.allocUnsafeSlow(this.#largeBytes);
  }
}

function copyTo(large: Buffer): Buffer {
  shared.copy(large);
  return large;
}

/** Kept until nobody looks at it, or given up: then it is garbage, which is counted. */
function lend(buffer: Buffer, loan: Loan | undefined): void {
  if (loan === undefined || loan === neverFree || buffer.length !== largeBytesDefault) return countRead(buffer.length);
  lent.push({ buffer, loan });
  if (lent.length > lentMax) countRead(lent.shift()!.buffer.length);
}

/** The one that was lent first of those that are written. */
function takeBack(): Buffer | undefined {
  const at = lent.findIndex(({ loan }) => loan.isFree);
  return at < 0 ? undefined : lent.splice(at, 1)[0]!.buffer;
}
