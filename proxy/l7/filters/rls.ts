/**
 * A rate limit service over gRPC, the one that Envoy asks.
 *
 *   descriptors ─▶ RateLimitRequest ─▶ an endpoint of the service's cluster ─▶ RateLimitResponse ─▶ LimitAnswer
 *
 * One connection an endpoint, at most `channelsMax`, made with the first request and closed when it is idle: plaintext.
 * Source: envoy.service.ratelimit.v3.RateLimitService.
 */
import { isIPv6 } from "node:net";
import type { Client } from "@grpc/grpc-js";
import { decodeMessage } from "#api/xds/decode.ts";
import { encodeMessage } from "#api/xds/encode.ts";
import type { FilterContext } from "../filter.ts";
import { isAll, tokenBytes } from "../http1/bytes.ts";
import type { Descriptor } from "../route/rate-limits.ts";
import type { LimitAnswer, LimitService } from "./rate-limit.ts";

export interface RLSOptions {
  readonly domain: string;
  /** Whose endpoints are asked. */
  readonly cluster: string;
}

const method = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
const requestType = "envoy.service.ratelimit.v3.RateLimitRequest";
const responseType = "envoy.service.ratelimit.v3.RateLimitResponse";
/** Connections kept; the one unused for longest is closed beyond. */
const channelsMax = 16;
const idleMs = 60_000;
/** Most bytes of one answer. */
const answerBytesMax = 64 * 1024;

interface WireHeader {
  readonly key?: string;
  readonly value?: string;
}

interface WireAnswer {
  readonly overall_code?: string;
  readonly response_headers_to_add?: readonly WireHeader[];
  readonly request_headers_to_add?: readonly WireHeader[];
  /** Base64. */
  readonly raw_body?: string;
}

export class RateLimitService implements LimitService {
  readonly #options: RLSOptions;
  /** By target, the one used last at the end. */
  readonly #clients = new Map<string, Client>();

  constructor(options: RLSOptions) {
    this.#options = options;
  }

  async ask(descriptors: readonly Descriptor[], context: FilterContext, signal: AbortSignal): Promise<LimitAnswer> {
    const { domain, cluster } = this.#options;
    const endpoint = context.endpointOf(cluster);
    if (endpoint === undefined) throw new Error(`cluster ${cluster} has no endpoint that serves`);
    const bytes = encodeMessage(requestType, { domain, descriptors: descriptors.map((entries) => ({ entries })) });
    const { address, port } = endpoint;
    const client = await this.#clientOf(`${isIPv6(address) ? `[${address}]` : address}:${port}`);
    const answer = await call(client, bytes, signal);
    return toAnswer(decodeMessage(responseType, answer));
  }

  async #clientOf(target: string): Promise<Client> {
    // Loaded when it is needed: most proxies have no such filter.
    const { Client, credentials } = await import("@grpc/grpc-js");
    const client =
      this.#clients.get(target) ??
      new Client(target, credentials.createInsecure(), {
        "grpc.client_idle_timeout_ms": idleMs,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 1000,
        "grpc.max_receive_message_length": answerBytesMax,
        "grpc.use_local_subchannel_pool": 1,
      });
    this.#clients.delete(target);
    this.#clients.set(target, client);
    if (this.#clients.size > channelsMax) {
      const [oldest] = this.#clients.keys();
      this.#clients.get(oldest!)?.close();
      this.#clients.delete(oldest!);
    }
    return client;
  }
}

function call(client: Client, bytes: Buffer, signal: AbortSignal): Promise<Buffer> {
  const same = (value: Buffer): Buffer => value;
  return new Promise((resolve, reject) => {
    const stream = client.makeUnaryRequest(method, same, same, bytes, (error, answer) => {
      if (error !== null) reject(error);
      else resolve(answer ?? Buffer.alloc(0));
    });
    if (signal.aborted) stream.cancel();
    else signal.addEventListener("abort", () => stream.cancel(), { once: true });
  });
}

function toAnswer(answer: WireAnswer): LimitAnswer {
  const code = answer.overall_code;
  // Envoy takes an answer without a code for a failure of the service.
  if (code !== "OK" && code !== "OVER_LIMIT") throw new Error(`its answer has code ${code ?? "UNKNOWN"}`);
  return {
    isOver: code === "OVER_LIMIT",
    responseHeaders: toPairs(answer.response_headers_to_add),
    requestHeaders: toPairs(answer.request_headers_to_add),
    body: answer.raw_body === undefined ? "" : Buffer.from(answer.raw_body, "base64").toString(),
  };
}

/** What is no header is refused: nobody's answer may make a head that reads as two. */
function toPairs(headers: readonly WireHeader[] = []): readonly (readonly [name: string, value: string])[] {
  return headers.map(({ key = "", value = "" }) => {
    if (!isAll(key, tokenBytes) || key === "" || /[^\t\x20-\x7e\x80-\xff]/.test(value))
      throw new Error(`its answer has a header that is none: ${JSON.stringify(key)}`);
    return [key, value] as const;
  });
}
