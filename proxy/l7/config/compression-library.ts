/**
 * The compression libraries of the compressor, with Envoy's defaults. Pure.
 *
 *   compressor_library ─▶ readLibrary() ─▶ CompressionSpec ─▶ filters/deflater.ts
 *
 * Source: envoy.extensions.compression.{gzip,brotli,zstd}.compressor.v3.
 */
import { constants } from "node:zlib";
import type { CompressionSpec } from "../filters/deflater.ts";
import type { Reader } from "./reader.ts";

const prefix = "type.googleapis.com/envoy.extensions.compression.";

/** Its name in statistics, and how it compresses. */
export interface Library {
  readonly name: string;
  readonly spec: CompressionSpec;
}

export function readLibrary(reader: Reader): Library {
  const name = reader.wantText("name");
  const config = reader.wantObject("typed_config");
  const type = config.wantText("@type");
  reader.done();
  const read = readers.get(type);
  if (read === undefined)
    throw config.unsupported("@type", `${JSON.stringify(type)}, wanted ${[...readers.keys()].join(" or ")}`);
  const spec = read(config);
  config.done();
  return { name, spec };
}

const readers: ReadonlyMap<string, (reader: Reader) => CompressionSpec> = new Map([
  [`${prefix}gzip.compressor.v3.Gzip`, readGzip],
  [`${prefix}brotli.compressor.v3.Brotli`, readBrotli],
  [`${prefix}zstd.compressor.v3.Zstd`, readZstd],
]);

const gzipLevels: Readonly<Record<string, number>> = {
  DEFAULT_COMPRESSION: constants.Z_DEFAULT_COMPRESSION,
  BEST_SPEED: 1,
  ...Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`COMPRESSION_LEVEL_${at + 1}`, at + 1])),
  BEST_COMPRESSION: 9,
};
const gzipStrategies: Readonly<Record<string, number>> = {
  DEFAULT_STRATEGY: constants.Z_DEFAULT_STRATEGY,
  FILTERED: constants.Z_FILTERED,
  HUFFMAN_ONLY: constants.Z_HUFFMAN_ONLY,
  RLE: constants.Z_RLE,
  FIXED: constants.Z_FIXED,
};

function readGzip(reader: Reader): CompressionSpec {
  const level = reader.oneOf("compression_level", Object.keys(gzipLevels)) ?? "DEFAULT_COMPRESSION";
  const strategy = reader.oneOf("compression_strategy", Object.keys(gzipStrategies)) ?? "DEFAULT_STRATEGY";
  return {
    library: "gzip",
    options: {
      level: gzipLevels[level]!,
      strategy: gzipStrategies[strategy]!,
      memLevel: within(reader, "memory_level", [1, 9]) ?? 5,
      windowBits: within(reader, "window_bits", [9, 15]) ?? 12,
      chunkSize: readChunkSize(reader),
    },
  };
}

const brotliModes: Readonly<Record<string, number>> = {
  DEFAULT: constants.BROTLI_DEFAULT_MODE,
  GENERIC: constants.BROTLI_MODE_GENERIC,
  TEXT: constants.BROTLI_MODE_TEXT,
  FONT: constants.BROTLI_MODE_FONT,
};

function readBrotli(reader: Reader): CompressionSpec {
  const mode = reader.oneOf("encoder_mode", Object.keys(brotliModes)) ?? "DEFAULT";
  const plain = reader.flag("disable_literal_context_modeling") ?? false;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: within(reader, "quality", [0, 11]) ?? 3,
    [constants.BROTLI_PARAM_LGWIN]: within(reader, "window_bits", [10, 24]) ?? 18,
    [constants.BROTLI_PARAM_LGBLOCK]: within(reader, "input_block_bits", [16, 24]) ?? 24,
    [constants.BROTLI_PARAM_MODE]: brotliModes[mode]!,
    [constants.BROTLI_PARAM_DISABLE_LITERAL_CONTEXT_MODELING]: plain,
  };
  return { library: "brotli", options: { params, chunkSize: readChunkSize(reader) } };
}

/** The names' order is that of zstd's own numbers, from 1. */
const zstdStrategies = ["FAST", "DFAST", "GREEDY", "LAZY", "LAZY2", "BTLAZY2", "BTOPT", "BTULTRA", "BTULTRA2"];

function readZstd(reader: Reader): CompressionSpec {
  const strategy = reader.oneOf("strategy", ["DEFAULT", ...zstdStrategies]) ?? "DEFAULT";
  const params: Record<number, number | boolean> = {
    [constants.ZSTD_c_compressionLevel]: within(reader, "compression_level", [0, 22]) ?? 3,
    [constants.ZSTD_c_checksumFlag]: reader.flag("enable_checksum") ?? false,
  };
  if (strategy !== "DEFAULT") params[constants.ZSTD_c_strategy] = zstdStrategies.indexOf(strategy) + 1;
  return { library: "zstd", options: { params, chunkSize: readChunkSize(reader) } };
}

/** Of the output, in bytes. */
function readChunkSize(reader: Reader): number {
  return within(reader, "chunk_size", [4096, 65_536]) ?? 4096;
}

function within(reader: Reader, name: string, [min, max]: readonly [number, number]): number | undefined {
  const value = reader.integer(name, min);
  if (value !== undefined && value > max) throw reader.bad(name, `it is not an integer from ${min} to ${max}`);
  return value;
}
