/**
 * Finds the end of a head (or of a trailer section) in a stream of fragments, and checks its bytes on the way.
 *
 *   socket bytes ─▶ push() ─▶ end offset ─▶ take() ─▶ text ─▶ request.ts, response.ts
 *
 * Invariants: each byte is looked at once, however small the fragments; the text that comes out has CRLF line ends only
 * and no control byte but HTAB; at most `bytesMax` bytes are held.
 * Source: RFC 9112 §2.2; a bare LF is allowed by the RFC and refused here, because parsers disagree about it.
 */
import { CR, LF, controlBytes } from "./bytes.ts";
import { HTTP1Error } from "./errors.ts";

/** Longest head, in bytes, where none is said: Envoy's default of 60 KiB. */
const headBytesMaxDefault: number = 60 * 1024;

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
  #takenLines = 0;

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

  /** Lines of the head that was taken last, without the empty one. */
  get takenLines(): number {
    return this.#takenLines;
  }

  /** The offset behind the head's empty line, or -1 when the whole fragment belongs to the head (it is then kept). */
  push(chunk: Buffer, offset: number): number {
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
    let text: string;
    if (this.#heldBytes === 0) text = chunk.toString("latin1", offset, end);
    else text = Buffer.concat([...this.#parts, chunk.subarray(offset, end)]).toString("latin1");
    const tooLarge = text.length > this.#bytesMax;
    const startLineBytes = this.#startLineBytes;
    const from = this.#skipped ? 2 : 0;
    this.#takenLines = this.#lines;
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
