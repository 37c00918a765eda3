/**
 * What the proxy must know of gRPC to answer for it: which requests are gRPC, and how a status is told. Pure.
 *
 *   reply.ts ─▶ isGRPC(), grpcStatusOf(), encodeMessage()     records ─▶ grpcStatusIn()
 *
 * Everything else of gRPC passes through as HTTP/2. Source: gRPC over HTTP/2 (content-type, Percent-Encoded messages),
 * and Envoy's mapping from HTTP statuses for answers of its own.
 */
import { type Headers, headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

/** True for "application/grpc" alone and with a "+format" or parameters behind it. */
export function isGRPC(headers: Headers): boolean {
  const type = headerValue(headers, "content-type");
  if (type === undefined || !type.startsWith("application/grpc")) return false;
  const next = type.charCodeAt("application/grpc".length);
  // Nothing, "+" or ";": application/grpc-web is another protocol.
  return Number.isNaN(next) || next === 43 || next === 59;
}

/**
 * The gRPC status of an exchange, 0 to 16: undefined when it is not gRPC, -1 when it has none. Only HTTP/2 is looked
 * at: nothing else carries gRPC.
 */
export function grpcStatusIn({ head, response, responseTrailers }: GRPCExchange): number | undefined {
  if (head === undefined || head.protocol !== "HTTP/2" || !isGRPC(head.headers)) return undefined;
  const told = responseTrailers === undefined ? undefined : headerValue(responseTrailers, "grpc-status");
  const text = told ?? (response === undefined ? undefined : headerValue(response.headers, "grpc-status"));
  return text !== undefined && /^[0-9]{1,2}$/.test(text) ? Math.min(Number(text), statusMax) : -1;
}

/** What of a request that is done tells its gRPC status. */
export interface GRPCExchange {
  readonly head: RequestHead | undefined;
  readonly response?: { readonly headers: Headers } | undefined;
  readonly responseTrailers?: Headers | undefined;
}

/** The highest code there is: UNAUTHENTICATED. */
const statusMax = 16;

/** gRPC's code for a status of the proxy's own; 2 is UNKNOWN. */
export function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13; // INTERNAL
    case 401:
      return 16; // UNAUTHENTICATED
    case 403:
      return 7; // PERMISSION_DENIED
    case 404:
      return 12; // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504:
      return 14; // UNAVAILABLE
    default:
      return 2;
  }
}

/** A grpc-message: visible ASCII but "%", everything else percent-encoded as UTF-8. */
export function encodeMessage(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}
