/**
 * Answers that the proxy makes itself: one sentence that says why, and Envoy's response flag beside it. Pure.
 *
 *   exchange.ts, downstream.ts, http2/ ─▶ renderReply() ─▶ status, headers, body ─▶ formatReply() for HTTP/1
 *
 * A gRPC request is answered with the status in headers alone, as Envoy does, so that its caller reads UNAVAILABLE
 * rather than an answer it cannot parse. Invariant: nothing of the request is in the answer, so that nothing of it can
 * be reflected.
 */
import { STATUS_CODES } from "node:http";
import { encodeMessage, grpcStatusOf, isGRPC } from "./http2/grpc.ts";
import { formatDate } from "./http1/date.ts";
import { plainHop } from "./http1/framing.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { ResponseFlag } from "./types.ts";

export interface LocalReply {
  readonly status: number;
  readonly flag: ResponseFlag;
  /** Without a period or a line break. */
  readonly sentence: string;
  /** Instead of the sentence and a line break. */
  readonly body?: string;
  /** Names as they are to be written. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  /** For a gRPC request; default by `status`. */
  readonly grpcStatus?: number;
  /** For a gRPC request; default the sentence, else the body. */
  readonly grpcMessage?: string;
}

export interface RenderedReply {
  readonly status: number;
  /** Without Content-Length and what is for one hop. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Bytes where a filter made them. */
  readonly body: string | Buffer;
  /** Its request is gRPC: the status is 200, and there is one more in the headers. */
  readonly isGRPC: boolean;
}

/** The answer to `request`, undefined when it could not be read. `x-wherry-error` says flag and sentence, unless "-". */
export function renderReply(reply: LocalReply, request: RequestHead | undefined): RenderedReply {
  const error = reply.flag === "-" ? [] : [["x-wherry-error", `${reply.flag} ${reply.sentence}`] as const];
  const others = [...error, ...(reply.headers ?? [])];
  if (request !== undefined && isGRPC(request.headers)) {
    const grpc: (readonly [string, string])[] = [
      ["content-type", "application/grpc"],
      ["grpc-status", String(reply.grpcStatus ?? grpcStatusOf(reply.status))],
    ];
    const message = reply.grpcMessage ?? (reply.sentence || (reply.body ?? ""));
    if (message !== "") grpc.push(["grpc-message", encodeMessage(message)]);
    const own = others.filter(([name]) => name.toLowerCase() !== "content-type");
    return { status: 200, headers: [...grpc, ...own], body: "", isGRPC: true };
  }
  const body = reply.body ?? (reply.sentence === "" ? "" : `${reply.sentence}\n`);
  const hasType = body === "" || others.some(([name]) => name.toLowerCase() === "content-type");
  return {
    status: reply.status,
    headers: hasType ? others : [["Content-Type", "text/plain"], ...others],
    body,
    isGRPC: false,
  };
}

/** The answer as a head, for filters and records. */
export function headOfReply({ status, headers, body }: RenderedReply): ResponseHead {
  const names = headers.map(([name]) => name);
  const values = headers.map(([, value]) => value);
  const bytes = Buffer.byteLength(body);
  if (bytes > 0) {
    names.push("Content-Length");
    values.push(String(bytes));
  }
  return {
    status,
    protocol: "HTTP/1.1",
    reason: STATUS_CODES[status] ?? "",
    headers: { names, keys: names.map((name) => name.toLowerCase()), values },
    hop: { ...plainHop, contentLength: bytes },
  };
}

export interface ReplyOptions {
  readonly keepsAlive: boolean;
  /** The request was HEAD. */
  readonly isHead: boolean;
  /** Wall-clock time, in ms since 1970. */
  readonly wallMs: number;
}

/** Whether a body may stand behind the head (RFC 9110 §6.4.1). */
export function mayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304;
}

/** The whole response in HTTP/1.1. */
export function formatReply({ status, headers, body }: RenderedReply, options: ReplyOptions): string | Buffer {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  if (headers.every(([name]) => name.toLowerCase() !== "date")) text += `Date: ${formatDate(options.wallMs)}\r\n`;
  if (status !== 204 && status >= 200) text += `Content-Length: ${Buffer.byteLength(body)}\r\n`;
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  if (!options.keepsAlive) text += "Connection: close\r\n";
  text += "\r\n";
  if (options.isHead || !mayHaveBody(status)) return text;
  return typeof body === "string" ? text + body : Buffer.concat([Buffer.from(text), body]);
}
