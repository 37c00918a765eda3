/**
 * What is answered to a request whose head could not be read, and its record.
 *
 *   downstream.ts, http2/downstream-stream.ts ─▶ answerUnread() ─▶ RenderedReply, observer
 *
 * It has no route, so that of the configuration only the listener's counts: `local_reply_config`, server_name, via.
 * Nothing of what was received is known to it: as in Envoy it is no gRPC. Unlike in Envoy filters do not see it: there
 * is no request that they could be asked about.
 */
import type { ConnectionInfo, ExchangeRecord, HTTPContext } from "./context.ts";
import { mapReply } from "./local-reply.ts";
import { type RenderedReply, renderReply } from "./reply.ts";
import { answerHeaders } from "./route/answer.ts";

export interface Unread {
  readonly status: number;
  readonly sentence: string;
  /** RESPONSE_CODE_DETAILS; undefined: by the flag. */
  readonly details?: string | undefined;
}

const noPlan = { changes: undefined, cors: [] } as const;

/** The answer; its record is told. */
export function answerUnread(
  { status, sentence, details }: Unread,
  connection: ConnectionInfo,
  context: HTTPContext,
): RenderedReply {
  const none = { head: undefined, cluster: undefined, endpoint: undefined, requestBytes: 0, durationMs: 0 };
  const record: ExchangeRecord = { connection, status, flag: "DPE", details, responseBytes: 0, ...none };
  const body = `${sentence}\n`;
  const headers = answerHeaders(noPlan, { status, body, headers: [], policy: context.policy, record });
  const reply = renderReply(mapReply({ status, flag: "DPE", sentence, body, headers }, record, context), undefined);
  context.observer.onExchange({ ...record, status: reply.status, responseBytes: Buffer.byteLength(reply.body) });
  return reply;
}

/** What Envoy's details say of the codec's errors; others are codec_error. */
const codecDetails: Readonly<Record<string, string>> = {
  HEAD_TOO_LARGE: "headers_too_large",
  TARGET_TOO_LONG: "headers_too_large",
  TOO_MANY_HEADERS: "too_many_headers",
  BAD_TRANSFER_ENCODING: "invalid_transfer_encoding",
  UNKNOWN_TRANSFER_CODING: "invalid_transfer_encoding",
  AMBIGUOUS_LENGTH: "content_length_and_chunked_not_allowed",
};

/** Of an error of HTTP/1. */
export function detailsOfError(code: string): string {
  return code === "MISSING_HOST" ? "missing_host_header" : `http1.${codecDetails[code] ?? "codec_error"}`;
}
