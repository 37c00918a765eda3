/**
 * Finds the end of a head (or of a trailer section) in a stream of fragments, and checks its bytes on the way.
 *
 *   socket bytes ─▶ push() ─▶ end offset ─▶ take() ─▶ text ─▶ request.ts, response.ts
 *
 * A head that is there in one piece, as most are, is found by markWhole(), which notes where its lines stand for
 * headers.ts; another one by a state that goes from fragment to fragment.
 * Invariants: each byte is looked at once, those of the first fragment twice; the text that comes out has CRLF
 * line ends only and no control byte but HTAB; at most `bytesMax` bytes are held.
 * Source: RFC 9112 §2.2; a bare LF is allowed by the RFC and refused here, because parsers disagree about it.
 */
import { COLON, CR, LF, controlBytes } from "./bytes.ts";
import { HTTP1Error } from "./errors.ts";

/** Longest head, in bytes, where none is said: Envoy's default of 60 KiB. */
const headBytesMaxDefault: number = 60 * 1024;

/** Most lines of a head that are marked. */
const marksMax = 256;

/** Where the lines of a head stand in its text, the start line first. */
export interface HeadMarks {
  count: number;
  /** The first colon; -1: there is none. */
  readonly colons: Int32Array;
  /** The CR. */
  readonly ends: Int32Array;
}

/** Of the head that was found last: it is parsed before the next one is. */
const marks: HeadMarks = { count: 0, colons: new Int32Array(marksMax), ends: new Int32Array(marksMax) };

export class HeadScanner {
  readonly #skipsBlankLine: boolean;
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #heldBytes = 0;
  #lineBytes = 0;
  #lines = 0;
  #startLineBytes = 0;
  #afterCR = false;
  #skipped = false;
  #isMarked = false;

  /**
   * With `skipsBlankLine` one empty line before the head is ignored (RFC 9112 §2.2: old user agents send one after a
   * POST).
   */
  constructor(skipsBlankLine: boolean, bytesMax: number = headBytesMaxDefault) {
    this.#skipsBlankLine = skipsBlankLine;
    this.#bytesMax = bytesMax;
  }

  /** True when part of a head was seen. */
  get isStarted(): boolean {
    return this.#heldBytes > 0 || this.#skipped;
  }

  /** Where the lines of the head that was taken last stand, until the next push; undefined: it came in pieces. */
  get marks(): HeadMarks | undefined {
    return this.#isMarked ? marks : undefined;
  }

  /** The offset behind the head's empty line, or -1 when the whole fragment belongs to the head (it is then kept). */
  push(chunk: Buffer, offset: number): number {
    if (!this.isStarted) {
      const end = markWhole(chunk, offset);
      this.#isMarked = end >= 0;
      if (this.#isMarked) return end;
    }
    let at = offset;
    while (at < chunk.length) {
      const byte = chunk[at]!;
      if (this.#afterCR) {
        if (byte !== LF) throw new HTTP1Error("BARE_CR", 400, "Cannot parse head: a CR is not followed by LF");
        this.#afterCR = false;
        at++;
        if (this.#endLine()) return at;
        continue;
      }
      if (controlBytes[byte] === 0) {
        const from = at++;
        while (at < chunk.length && controlBytes[chunk[at]!] === 0) at++;
        this.#lineBytes += at - from;
        continue;
      }
      if (byte !== CR) throw controlByteError(byte);
      this.#afterCR = true;
      at++;
    }
    this.#keep(chunk, offset);
    return -1;
  }

  /**
   * The head's text up to and with its empty line, where `end` is what push() returned; ready for the next head after.
   */
  take(chunk: Buffer, offset: number, end: number): string {
    if (this.#isMarked) {
      const text = chunk.toString("latin1", offset, end);
      if (text.length > this.#bytesMax) throw tooLargeError(marks.ends[0]!, this.#bytesMax);
      return text;
    }
    let text: string;
    if (this.#heldBytes === 0) text = chunk.toString("latin1", offset, end);
    else text = Buffer.concat([...this.#parts, chunk.subarray(offset, end)]).toString("latin1");
    const tooLarge = text.length > this.#bytesMax;
    const startLineBytes = this.#startLineBytes;
    const from = this.#skipped ? 2 : 0;
    this.reset();
    if (tooLarge) throw tooLargeError(startLineBytes, this.#bytesMax);
    return from === 0 ? text : text.slice(from);
  }

  reset(): void {
    if (this.#parts.length > 0) this.#parts = [];
    this.#heldBytes = 0;
    this.#lineBytes = 0;
    this.#lines = 0;
    this.#startLineBytes = 0;
    this.#afterCR = false;
    this.#skipped = false;
  }

  /** True when the line that just ended was the empty one that ends the head. */
  #endLine(): boolean {
    if (this.#lineBytes > 0) {
      if (this.#lines++ === 0) this.#startLineBytes = this.#lineBytes;
      this.#lineBytes = 0;
      return false;
    }
    if (this.#lines > 0 || !this.#skipsBlankLine || this.#skipped) return true;
    this.#skipped = true;
    return false;
  }

  #keep(chunk: Buffer, offset: number): void {
    this.#heldBytes += chunk.length - offset;
    if (this.#heldBytes > this.#bytesMax) throw tooLargeError(this.#startLineBytes, this.#bytesMax);
    this.#parts.push(offset === 0 ? chunk : chunk.subarray(offset));
    // A downstream that sends one byte a packet must not cost an object for each byte.
    if (this.#parts.length > 64) this.#parts = [Buffer.concat(this.#parts)];
  }
}

/**
 * The offset behind the empty line of a head that is whole and begins with a line, which is marked; -1: it is not, or
 * has a byte that it must not have.
 */
function markWhole(chunk: Buffer, offset: number): number {
  const { length } = chunk;
  const { colons, ends } = marks;
  let count = 0;
  let at = offset;
  while (at < length && count < marksMax) {
    const from = at;
    let colon = -1;
    let byte = chunk[at]!;
    while (controlBytes[byte] === 0 && byte !== COLON && ++at < length) byte = chunk[at]!;
    if (byte === COLON) {
      colon = at - offset;
      while (++at < length && controlBytes[(byte = chunk[at]!)] === 0);
    }
    if (byte !== CR || at + 1 >= length || chunk[at + 1] !== LF) return -1;
    at += 2;
    if (at - 2 > from) {
      colons[count] = colon;
      ends[count++] = at - 2 - offset;
    } else if (count === 0) return -1;
    else {
      marks.count = count;
      return at;
    }
  }
  return -1;
}

function controlByteError(byte: number): HTTP1Error {
  if (byte === LF) return new HTTP1Error("BARE_LF", 400, "Cannot parse head: an LF has no CR before it");
  return new HTTP1Error("CONTROL_BYTE", 400, `Cannot parse head: control byte 0x${byte.toString(16)} is not allowed`);
}

/** `startLineBytes` is 0 while the start line has no end. */
function tooLargeError(startLineBytes: number, bytesMax: number): HTTP1Error {
  if (startLineBytes === 0 || startLineBytes > bytesMax)
    return new HTTP1Error("TARGET_TOO_LONG", 414, `Cannot parse head: start line is over ${bytesMax} bytes`);
  return new HTTP1Error("HEAD_TOO_LARGE", 431, `Cannot parse head: it is over ${bytesMax} bytes`);
}
