/**
 * The buffer filter, as a chain or a route configures it. Pure.
 *
 *   http_filters, typed_per_filter_config ─▶ readBuffer(), readBufferPerRoute() ─▶ filters/buffer.ts
 *
 * Source: envoy.extensions.filters.http.buffer.v3.
 */
import { disabledFilter } from "./disabled.ts";
import type { Reader } from "./reader.ts";

export interface BufferConfig {
  /** Longest body that is held whole, in bytes, > 0. */
  readonly bytesMax: number;
}

export function readBuffer(reader: Reader): BufferConfig {
  const bytesMax = reader.integer("max_request_bytes", 1);
  if (bytesMax === undefined) throw reader.bad("max_request_bytes", "it is not there, wanted a number");
  reader.done();
  return { bytesMax };
}

export function readBufferPerRoute(reader: Reader): BufferConfig | typeof disabledFilter {
  const isDisabled = reader.flag("disabled") ?? false;
  const buffer = reader.object("buffer");
  reader.done();
  if (isDisabled === (buffer !== undefined)) throw reader.bad("buffer", "wanted exactly one of disabled and buffer");
  return buffer === undefined ? disabledFilter : readBuffer(buffer);
}
