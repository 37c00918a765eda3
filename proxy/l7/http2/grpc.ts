/**
 * What the proxy must know of gRPC to answer for it: which requests are gRPC, and how a status is told. Pure.
 *
 *   reply.ts ─▶ isGRPC(), grpcStatusOf(), encodeMessage()
 *
 * Everything else of gRPC passes through as HTTP/2. Source: gRPC over HTTP/2 (content-type, Percent-Encoded messages),
 * and Envoy's mapping from HTTP statuses for answers of its own.
 */
import { type Headers, headerValue } from "../http1/headers.ts";

/** True for "application/grpc" alone and with a "+format" or parameters behind it. */
export function isGRPC(headers: Headers): boolean {
  const type = headerValue(headers, "content-type");
  if (type === undefined || !type.startsWith("application/grpc")) return false;
  const next = type.charCodeAt("application/grpc".length);
  // Nothing, "+" or ";": application/grpc-web is another protocol.
  return Number.isNaN(next) || next === 43 || next === 59;
}

/** gRPC's code for a status of the proxy's own; 2 is UNKNOWN. */
export function grpcStatusOf(status: number): number {
  switch (status) {
    case 200:
      return 0; // OK
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
