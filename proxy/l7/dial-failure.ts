/**
 * Why no connection came about: for the log here, and in Envoy's words for %UPSTREAM_TRANSPORT_FAILURE_REASON%. Pure.
 *
 *   dial.ts (an error of the socket or of TLS), tls/context.ts (a peer that is refused) ─▶ DialFailure ─▶ failures.ts
 *
 * What node:tls has from OpenSSL is said as BoringSSL says it, with its numbers: its library (16 << 24) and the reason,
 * which for an alert is 1000 and the alert's number. Source: Envoy 1.40, asked; BoringSSL's ssl.h.
 */
import { isIPv6 } from "node:net";
import { messageOf } from "#lib/errors.ts";

export interface DialFailure {
  readonly why: string;
  /** Envoy's words, without spaces; undefined where it has none: it took too long, or the peer just closed. */
  readonly reason?: string | undefined;
  /** The connect timeout passed. */
  readonly isTimeout?: boolean;
}

/** Of a call of the system's that failed, as the C library says it. */
const systemErrors: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  EADDRINUSE: "Address already in use",
  EADDRNOTAVAIL: "Cannot assign requested address",
  EAFNOSUPPORT: "Address family not supported by protocol",
  ECONNABORTED: "Software caused connection abort",
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  EHOSTDOWN: "Host is down",
  EHOSTUNREACH: "No route to host",
  EINVAL: "Invalid argument",
  EMFILE: "Too many open files",
  ENETDOWN: "Network is down",
  ENETUNREACH: "Network is unreachable",
  ENFILE: "Too many open files in system",
  ENOENT: "No such file or directory",
  EPERM: "Operation not permitted",
  EPIPE: "Broken pipe",
  ETIMEDOUT: "Connection timed out",
};

/** Of an error that ended a connection in the making; `isSecuring`: in its TLS handshake. */
export function failureOf(error: unknown, isSecuring: boolean): DialFailure {
  const why = messageOf(error);
  const { code = "", syscall } = error as Partial<NodeJS.ErrnoException>;
  const told = systemErrors[code];
  if (isSecuring) {
    if (code.startsWith("ERR_SSL_")) return { why, reason: tlsError(sslReason(code, why)) };
    // node:tls has no other word for a peer that closes.
    if (code === "ECONNRESET" && syscall === undefined) return { why };
    const errno = Math.abs((error as Partial<NodeJS.ErrnoException>).errno ?? 0);
    if (told !== undefined)
      return { why, reason: tlsError(`${systemLibrary + errno}:system library:OPENSSL_internal:${told}`) };
  } else if (syscall === "connect") {
    // Node.js tells of the own side only where the call itself failed.
    const isImmediate = why.includes(" - Local (");
    const words = `${isImmediate ? "immediate" : "delayed"} connect error: ${told ?? code}`;
    return { why, reason: withoutSpaces(isImmediate ? `${words}|remote address:${peerOf(error)}` : words) };
  }
  return { why, reason: withoutSpaces(why) };
}

/** Of a peer that is not who it must be; `what`: in Envoy's words. */
export function refusal(why: string, what: string): DialFailure {
  const reason = `${sslLibrary + 125}:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: ${what}`;
  return { why, reason: tlsError(reason) };
}

const systemLibrary = 2 << 24;
const sslLibrary = 16 << 24;

function tlsError(text: string): string {
  return withoutSpaces(`TLS_error:|${text}:TLS_error_end`);
}

function withoutSpaces(text: string): string {
  return text.replaceAll(/\s+/g, "_");
}

function peerOf(error: unknown): string {
  const { address = "", port } = error as { readonly address?: string; readonly port?: number };
  return `${isIPv6(address) ? `[${address}]` : address}:${port ?? 0}`;
}

/** By the number of the alert that the peer sent. */
const alerts: Readonly<Record<number, string>> = {
  10: "SSLV3_ALERT_UNEXPECTED_MESSAGE",
  20: "SSLV3_ALERT_BAD_RECORD_MAC",
  40: "SSLV3_ALERT_HANDSHAKE_FAILURE",
  42: "SSLV3_ALERT_BAD_CERTIFICATE",
  43: "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
  44: "SSLV3_ALERT_CERTIFICATE_REVOKED",
  45: "SSLV3_ALERT_CERTIFICATE_EXPIRED",
  46: "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
  47: "SSLV3_ALERT_ILLEGAL_PARAMETER",
  48: "TLSV1_ALERT_UNKNOWN_CA",
  49: "TLSV1_ALERT_ACCESS_DENIED",
  50: "TLSV1_ALERT_DECODE_ERROR",
  51: "TLSV1_ALERT_DECRYPT_ERROR",
  70: "TLSV1_ALERT_PROTOCOL_VERSION",
  71: "TLSV1_ALERT_INSUFFICIENT_SECURITY",
  80: "TLSV1_ALERT_INTERNAL_ERROR",
  112: "TLSV1_ALERT_UNRECOGNIZED_NAME",
  116: "TLSV1_ALERT_CERTIFICATE_REQUIRED",
  120: "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
};

function sslReason(code: string, why: string): string {
  const routine = "SSL routines:OPENSSL_internal";
  const alert = Number(/SSL alert number (\d+)/.exec(why)?.[1] ?? Number.NaN);
  const name = alerts[alert];
  if (name !== undefined) return `${sslLibrary + 1000 + alert}:${routine}:${name}`;
  const reason = code.slice("ERR_SSL_".length);
  return reason === "WRONG_VERSION_NUMBER" ? `${sslLibrary + 247}:${routine}:${reason}` : `${routine}:${reason}`;
}
