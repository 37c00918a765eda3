/**
 * Reads a body off a byte stream by its framing, without copying: what comes out are slices of what came in.
 *
 *   start(framing) → consume(fragment)* → isDone; untilClose bodies end with finishAtClose()
 *
 * Chunked bodies are unwrapped; chunk extensions are checked and dropped, trailers are checked and kept in `trailers`.
 * Invariant: no byte behind the body is consumed. Source: RFC 9112 §6.2 (length), §7.1 (chunked).
 */
import { CR, LF, SEMICOLON, hexValue } from "./bytes.ts";
import { type ExtensionState, mayEnd, nextInExtension } from "./chunk-extension.ts";
import { HTTP1Error } from "./errors.ts";
import type { Framing } from "./framing.ts";
import { type Headers, parseHeaders } from "./headers.ts";
import { HeadScanner } from "./scanner.ts";

/** Most bytes of chunk extensions in one body; they are of no use to anyone, and each costs a scan. */
const extensionBytesMax = 4096;
/** 13 hexadecimal digits stay below 2^53. */
const chunkSizeDigitsMax = 13;

type State =
  | "done"
  | "length" // inside a body of known length
  | "untilClose"
  | "size" // inside a chunk-size
  | "extension" // behind the semicolon of a chunk line
  | "sizeLF" // behind the CR of a chunk line
  | "data" // inside chunk data
  | "dataCR" // behind chunk data
  | "dataLF"
  | "trailers"; // behind the last chunk's line

export class BodyReader {
  /** Of the body that is done; undefined when there were none. */
  trailers: Headers | undefined;
  #state: State = "done";
  #remaining = 0;
  #digits = 0;
  #extension: ExtensionState = "start";
  #extensionBytes = 0;
  #scanner: HeadScanner | undefined;

  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Part of a trailer is held, as a slice of what came in. */
  get isHolding(): boolean {
    return this.#scanner !== undefined;
  }

  start(framing: Framing): void {
    this.trailers = undefined;
    switch (framing.kind) {
      case "none":
        this.#state = "done";
        return;
      case "length":
        this.#remaining = framing.bytes;
        this.#state = framing.bytes === 0 ? "done" : "length";
        return;
      case "untilClose":
        this.#state = "untilClose";
        return;
      case "chunked":
        this.#extensionBytes = 0;
        this.#startChunk();
    }
  }

  /** Hands the body's bytes in `chunk` from `offset` to `emit`; returns the offset behind the last byte consumed. */
  consume(chunk: Buffer, offset: number, emit: (slice: Buffer) => void): number {
    let at = offset;
    while (at < chunk.length && this.#state !== "done") {
      switch (this.#state) {
        case "length":
        case "data":
          at = this.#consumeData(chunk, at, emit);
          break;
        case "untilClose":
          emit(at === 0 ? chunk : chunk.subarray(at));
          return chunk.length;
        case "trailers":
          at = this.#consumeTrailers(chunk, at);
          break;
        case "size":
        case "extension":
        case "sizeLF":
        case "dataCR":
        case "dataLF":
          this.#consumeFraming(chunk[at]!, this.#state);
          at++;
      }
    }
    return at;
  }

  /** The stream ended: true when the body is whole with that. */
  finishAtClose(): boolean {
    if (this.#state === "untilClose") this.#state = "done";
    return this.#state === "done";
  }

  #consumeData(chunk: Buffer, offset: number, emit: (slice: Buffer) => void): number {
    const end = Math.min(chunk.length, offset + this.#remaining);
    this.#remaining -= end - offset;
    if (this.#remaining === 0) this.#state = this.#state === "length" ? "done" : "dataCR";
    emit(offset === 0 && end === chunk.length ? chunk : chunk.subarray(offset, end));
    return end;
  }

  #startChunk(): void {
    this.#state = "size";
    this.#remaining = 0;
    this.#digits = 0;
  }

  #consumeFraming(byte: number, state: "size" | "extension" | "sizeLF" | "dataCR" | "dataLF"): void {
    switch (state) {
      case "size":
        return this.#consumeSize(byte);
      case "extension":
        return this.#consumeExtension(byte);
      case "sizeLF":
        if (byte !== LF) throw chunkError("a chunk line does not end with CRLF");
        this.#state = this.#remaining > 0 ? "data" : "trailers";
        return;
      case "dataCR":
        if (byte !== CR) throw chunkError("chunk data is longer than its size");
        this.#state = "dataLF";
        return;
      case "dataLF":
        if (byte !== LF) throw chunkError("chunk data does not end with CRLF");
        this.#startChunk();
    }
  }

  #consumeSize(byte: number): void {
    const value = hexValue(byte);
    if (value >= 0) {
      if (++this.#digits > chunkSizeDigitsMax) throw chunkError("a chunk size has too many digits");
      this.#remaining = this.#remaining * 16 + value;
    } else if (this.#digits === 0) throw chunkError("a chunk size does not start with a hexadecimal digit");
    else if (byte === CR) this.#state = "sizeLF";
    else if (byte === SEMICOLON) {
      this.#state = "extension";
      this.#extension = "start";
    } else throw chunkError("a chunk size has a byte that is not a hexadecimal digit");
  }

  #consumeExtension(byte: number): void {
    if (byte === CR && mayEnd(this.#extension)) {
      this.#state = "sizeLF";
      return;
    }
    const next = nextInExtension(this.#extension, byte);
    if (next === undefined) throw chunkError("a chunk extension is not a name, or a name and a value");
    this.#extension = next;
    if (++this.#extensionBytes > extensionBytesMax)
      throw new HTTP1Error("CHUNK_EXTENSION_TOO_LARGE", 413, "Cannot parse chunk: extensions are over 4096 bytes");
  }

  #consumeTrailers(chunk: Buffer, offset: number): number {
    this.#scanner ??= new HeadScanner(false);
    const end = this.#scanner.push(chunk, offset);
    if (end < 0) return chunk.length;
    const trailers = parseHeaders(this.#scanner.take(chunk, offset, end), 0);
    for (const key of ["content-length", "transfer-encoding", "host"])
      if (trailers.keys.includes(key))
        throw new HTTP1Error("BAD_TRAILER", 400, `Cannot parse trailers: ${key} is not allowed`);
    if (trailers.keys.length > 0) this.trailers = trailers;
    this.#scanner = undefined;
    this.#state = "done";
    return end;
  }
}

function chunkError(why: string): HTTP1Error {
  return new HTTP1Error("BAD_CHUNK", 400, `Cannot parse chunk: ${why}`);
}
