/**
 * The compressor: bodies of responses go through node:zlib where the downstream takes their coding.
 *
 *   Accept-Encoding ─▶ onRequestHeaders      head ─▶ onResponseHeaders ─▶ compressed or not      body ─▶ deflater.ts
 *
 * A response that could be compressed says that it varies by Accept-Encoding, be it compressed or not. Its strong ETag
 * is removed, for that is of other bytes. A part of a representation (206) is left alone: its ranges count bytes that
 * are not compressed. Source: Envoy's compressor filter.
 */
import type { CompressorConfig, CompressorOverrides } from "../config/compressor.ts";
import type { DataVerdict, EndVerdict, FilterContext, HttpFilter, HttpFilterFactory } from "../filter.ts";
import { joinedHeaderValue } from "../http1/headers.ts";
import type { ResponseHead } from "../http1/response.ts";
import { chooseCoding } from "./coding.ts";
import { Deflater } from "./deflater.ts";

const counterNames = [
  "compressed",
  "not_compressed",
  "total_uncompressed_bytes",
  "total_compressed_bytes",
  "content_length_too_small",
  "not_compressed_etag",
  "no_accept_header",
  "header_identity",
  "header_compressor_used",
  "header_compressor_overshadowed",
  "header_wildcard",
  "header_not_valid",
] as const;

/** By Envoy's names. */
export type CompressorCounters = Record<(typeof counterNames)[number], number>;

export function createCompressorCounters(): CompressorCounters {
  return Object.fromEntries(counterNames.map((name) => [name, 0])) as CompressorCounters;
}

export interface CompressorSettings {
  readonly config: CompressorConfig;
  /** All compressors of the chain, in its order: a response gets the coding of one of them. */
  readonly chain: readonly CompressorConfig[];
  readonly counters: CompressorCounters;
}

export function compressorFilter(name: string, settings: CompressorSettings): HttpFilterFactory {
  return { name, create: () => new CompressorFilter(name, settings) };
}

const nothing: Buffer = Buffer.alloc(0);

class CompressorFilter implements HttpFilter {
  readonly #name: string;
  readonly #settings: CompressorSettings;
  /** Undefined: a filter in front of it has answered, so that it has not seen the request. */
  #isEnabled: boolean | undefined;
  #accepted: string | undefined;
  #deflater: Deflater | undefined;
  /** What is still to come; Infinity where that is not known. */
  #bytesLeft = Infinity;

  constructor(name: string, settings: CompressorSettings) {
    this.#name = name;
    this.#settings = settings;
  }

  get passesResponseData(): boolean {
    return this.#deflater === undefined;
  }

  onRequestHeaders(context: FilterContext): "continue" {
    const { config } = this.#settings;
    const setting = context.routeConfigOf(this.#name) as CompressorOverrides | "disabled" | undefined;
    this.#isEnabled = setting !== "disabled" && (setting?.isEnabled ?? config.isEnabled);
    if (setting === "disabled") return "continue";
    this.#accepted = joinedHeaderValue(context.request.headers, "accept-encoding");
    const removes = setting?.removesAcceptEncoding ?? config.removesAcceptEncoding;
    if (this.#isEnabled && removes) context.requestHeaders.remove("accept-encoding");
    return "continue";
  }

  onResponseHeaders(context: FilterContext, isWhole: boolean): "continue" {
    const { config, counters } = this.#settings;
    const response = context.response!;
    const isLongEnough = (this.#isEnabled ?? config.isEnabled) && this.#isLongEnough(response);
    const isCompressible = isLongEnough && this.#isCompressible(response);
    // What is not asked for is counted whether it could be compressed or not.
    if (isLongEnough && !isWhole && this.#isAccepted(response) && isCompressible) {
      counters.compressed++;
      this.#begin(context);
    } else counters.not_compressed++;
    if (isCompressible) vary(context);
    if (this.#deflater !== undefined) context.responseHeaders.set("Content-Encoding", config.coding);
    return "continue";
  }

  onResponseData(_context: FilterContext, data: Buffer): DataVerdict {
    const deflater = this.#deflater;
    if (deflater === undefined) return "continue";
    this.#settings.counters.total_uncompressed_bytes += data.length;
    this.#bytesLeft -= data.length;
    // What is the last of it is known where the length is: its end then needs no turn of its own.
    deflater.push(data, this.#bytesLeft === 0);
    return "stop";
  }

  onResponseEnd(): EndVerdict {
    const deflater = this.#deflater;
    if (deflater === undefined || deflater.isWhole) return undefined;
    deflater.push(nothing, true);
    return "stop";
  }

  onEnd(): void {
    this.#deflater?.close();
  }

  #isLongEnough({ hop }: ResponseHead): boolean {
    const { config, counters } = this.#settings;
    if ((hop.contentLength ?? Infinity) >= config.bytesMin) return true;
    counters.content_length_too_small++;
    return false;
  }

  #isCompressible({ status, headers }: ResponseHead): boolean {
    const { config, counters } = this.#settings;
    if (status === 206) return false;
    const type = joinedHeaderValue(headers, "content-type");
    if (type !== undefined && !config.contentTypes.has(bareType(type))) return false;
    if (hasToken(joinedHeaderValue(headers, "cache-control"), "no-transform")) return false;
    if (config.sparesETag && headers.keys.includes("etag")) {
      counters.not_compressed_etag++;
      return false;
    }
    return !headers.keys.includes("content-encoding");
  }

  #isAccepted({ headers }: ResponseHead): boolean {
    const { config, chain, counters } = this.#settings;
    if (this.#accepted === undefined) {
      counters.no_accept_header++;
      return false;
    }
    const type = bareType(joinedHeaderValue(headers, "content-type") ?? "");
    const offered = chain.filter(({ contentTypes }) => type === "" || contentTypes.has(type));
    const { coding, why } = chooseCoding(this.#accepted, offered);
    const isOurs = coding === config.coding;
    if (why === "identity") counters.header_identity++;
    else if (why === "invalid") counters.header_not_valid++;
    else if (why === "wildcard") counters.header_wildcard++;
    else if (isOurs) counters.header_compressor_used++;
    else counters.header_compressor_overshadowed++;
    return isOurs;
  }

  #begin(context: FilterContext): void {
    const { config, counters } = this.#settings;
    this.#bytesLeft = context.response!.hop.contentLength ?? Infinity;
    context.responseHeaders.remove("content-length");
    const tag = context.responseHeaders.get("etag");
    if (tag !== undefined && !/^w\/./i.test(tag)) context.responseHeaders.remove("etag");
    this.#deflater = new Deflater(config.library.spec, {
      onOutput: (output) => {
        counters.total_compressed_bytes += output.length;
        context.resumeWith(output);
      },
      onFailure: (error) => context.fail(error),
    });
  }
}

function bareType(type: string): string {
  const semicolon = type.indexOf(";");
  return (semicolon < 0 ? type : type.slice(0, semicolon)).trim().toLowerCase();
}

function hasToken(list: string | undefined, token: string): boolean {
  return list?.split(",").some((one) => one.trim().toLowerCase() === token) ?? false;
}

/** As Envoy does: the name is looked for as it is written. */
function vary({ response, responseHeaders }: FilterContext): void {
  const before = joinedHeaderValue(response!.headers, "vary");
  if (before === undefined) return responseHeaders.set("Vary", "Accept-Encoding");
  const isThere = before.split(",").some((one) => one.trim() === "Accept-Encoding");
  if (!isThere) responseHeaders.set("Vary", `${before}, Accept-Encoding`);
}
