/**
 * The compressor, as a chain or a route configures it. Pure.
 *
 *   http_filters, typed_per_filter_config ─▶ readCompressor(), readCompressorPerRoute() ─▶ filters/compressor.ts
 *
 * Requests are not compressed. Source: envoy.extensions.filters.http.compressor.v3.
 */
import { type Library, readLibrary } from "./compression-library.ts";
import { disabledFilter } from "./disabled.ts";
import type { Reader } from "./reader.ts";

export interface CompressorConfig {
  readonly library: Library;
  /** What Content-Encoding says. */
  readonly coding: string;
  readonly isFirst: boolean;
  /** Unless the route says something else. */
  readonly isEnabled: boolean;
  /** Shortest body that is compressed, in bytes, >= 0, default 30; one whose length is not known is. */
  readonly bytesMin: number;
  /** Lower case, without parameters. */
  readonly contentTypes: ReadonlySet<string>;
  readonly sparesETag: boolean;
  /** The upstream does not see Accept-Encoding. */
  readonly removesAcceptEncoding: boolean;
  /** Its counters are those of "…response.", for `response_direction_config` is there. */
  readonly namesDirection: boolean;
}

/** What a route says; undefined: nothing of it. */
export interface CompressorOverrides {
  readonly isEnabled: true | undefined;
  readonly removesAcceptEncoding: boolean | undefined;
}

/** Envoy's default. */
const contentTypesDefault: readonly string[] = [
  "text/html",
  "text/plain",
  "text/css",
  "application/javascript",
  "application/x-javascript",
  "text/javascript",
  "text/x-javascript",
  "text/ecmascript",
  "text/js",
  "text/jscript",
  "text/x-js",
  "application/ecmascript",
  "application/x-json",
  "application/xml",
  "application/json",
  "image/svg+xml",
  "text/xml",
  "application/xhtml+xml",
];

const codings = { gzip: "gzip", brotli: "br", zstd: "zstd" } as const;

export function readCompressor(reader: Reader): CompressorConfig {
  const library = readLibrary(reader.wantObject("compressor_library"));
  const isFirst = reader.flag("choose_first") ?? false;
  const requests = reader.object("request_direction_config");
  if (requests !== undefined) checkDisabled(requests);
  const direction = reader.object("response_direction_config");
  reader.done();
  const common = direction?.object("common_config");
  const types = common?.texts("content_type") ?? [];
  const config: CompressorConfig = {
    library,
    coding: codings[library.spec.library],
    isFirst,
    isEnabled: readEnabled(common) ?? true,
    bytesMin: common?.integer("min_content_length", 0) ?? 30,
    contentTypes: new Set((types.length === 0 ? contentTypesDefault : types).map((type) => type.toLowerCase())),
    sparesETag: direction?.flag("disable_on_etag_header") ?? false,
    removesAcceptEncoding: direction?.flag("remove_accept_encoding_header") ?? false,
    namesDirection: direction !== undefined,
  };
  common?.done();
  direction?.done();
  return config;
}

export function readCompressorPerRoute(reader: Reader): CompressorOverrides | typeof disabledFilter {
  const isDisabled = reader.flag("disabled") ?? false;
  const overrides = reader.object("overrides");
  reader.done();
  if (isDisabled === (overrides !== undefined))
    throw reader.bad("overrides", "wanted exactly one of disabled and overrides");
  if (overrides === undefined) return disabledFilter;
  const direction = overrides.object("response_direction_config");
  overrides.done();
  const removesAcceptEncoding = direction?.flag("remove_accept_encoding_header");
  direction?.done();
  return { isEnabled: direction === undefined ? undefined : true, removesAcceptEncoding };
}

/** Requests are not compressed; that may be said. */
function checkDisabled(reader: Reader): void {
  const common = reader.object("common_config");
  reader.done();
  if (readEnabled(common) !== false)
    throw reader.unsupported("common_config.enabled", "requests are not compressed, wanted false");
  common?.ignore("min_content_length", "content_type").done();
}

/** A RuntimeFeatureFlag. */
function readEnabled(common: Reader | undefined): boolean | undefined {
  const enabled = common?.object("enabled");
  const value = enabled?.flag("default_value");
  enabled?.ignore("runtime_key").done();
  return value;
}
