/**
 * One body on its way through node:zlib, whose work is done by the thread pool.
 *
 *   compressor.ts ─▶ push(slice, isLast) ─▶ zlib stream ─▶ the output of that slice
 *
 * Each slice is flushed, so that what an upstream sends step by step arrives step by step. One slice at a time: who
 * pushes waits for its output, which is what bounds what is held.
 */
import type { Transform } from "node:stream";
import {
  type BrotliOptions,
  type ZlibOptions,
  type ZstdOptions,
  constants,
  createBrotliCompress,
  createGzip,
  createZstdCompress,
} from "node:zlib";

export type CompressionSpec =
  | { readonly library: "gzip"; readonly options: ZlibOptions }
  | { readonly library: "brotli"; readonly options: BrotliOptions }
  | { readonly library: "zstd"; readonly options: ZstdOptions };

export interface DeflaterOwner {
  onOutput(output: Buffer): void;
  onFailure(error: unknown): void;
}

export class Deflater {
  readonly #owner: DeflaterOwner;
  readonly #stream: Transform;
  readonly #output: Buffer[] = [];
  /** The last slice was pushed. */
  isWhole = false;

  constructor(spec: CompressionSpec, owner: DeflaterOwner) {
    this.#owner = owner;
    this.#stream = createStream(spec);
    this.#stream.on("data", (slice: Buffer) => this.#output.push(slice));
    this.#stream.on("error", (error) => owner.onFailure(error));
  }

  push(slice: Buffer, isLast: boolean): void {
    this.isWhole = isLast;
    if (isLast) {
      this.#stream.once("end", () => this.#tell());
      this.#stream.end(slice);
    } else
      this.#stream.write(slice, (error) => {
        if (error === null || error === undefined) this.#tell();
      });
  }

  /** Nobody waits for it any more. */
  close(): void {
    this.#stream.destroy();
  }

  #tell(): void {
    // What is still to be told of comes by "data" first.
    while (this.#stream.read() !== null);
    const output = this.#output.splice(0);
    this.#owner.onOutput(output.length === 1 ? output[0]! : Buffer.concat(output));
  }
}

function createStream(spec: CompressionSpec): Transform {
  switch (spec.library) {
    case "gzip":
      return createGzip({ ...spec.options, flush: constants.Z_SYNC_FLUSH });
    case "brotli":
      return createBrotliCompress({ ...spec.options, flush: constants.BROTLI_OPERATION_FLUSH });
    case "zstd":
      return createZstdCompress({ ...spec.options, flush: constants.ZSTD_e_flush });
  }
}
