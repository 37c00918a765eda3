/**
 * Heads and answers as filters make them. Pure.
 *
 *   run.ts ─▶ withLength(), localReplyOf() ─▶ exchange, downstream
 */
import type { FilterReply } from "../filter.ts";
import { chunkedBody, plainHop } from "../http1/framing.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { LocalReply } from "../reply.ts";

/** Told to a downstream that asks whether its body is wanted (RFC 9110 §10.1.1). */
export const continued: ResponseHead = {
  status: 100,
  reason: "Continue",
  protocol: "HTTP/1.1",
  hop: plainHop,
  headers: { names: [], keys: [], values: [] },
};

/** The head with a body of so many bytes: undefined is a length that nobody knows yet. */
export function withLength(head: RequestHead, bytes: number | undefined): RequestHead {
  const framing = bytes === undefined ? chunkedBody : ({ kind: "length", bytes } as const);
  return { ...head, framing, hop: { ...head.hop, contentLength: bytes, isChunked: bytes === undefined } };
}

/** The answer of a filter, as the engine sends its own. */
export function localReplyOf(reply: FilterReply): LocalReply {
  return {
    status: reply.status,
    flag: reply.flag ?? "-",
    sentence: oneLine(reply.sentence ?? reply.body ?? ""),
    body: reply.body ?? "",
    ...(reply.headers === undefined ? {} : { headers: reply.headers }),
    ...(reply.grpcStatus === undefined ? {} : { grpcStatus: reply.grpcStatus }),
  };
}

/** It stands in a header: what could end its line, or is no text, is a space. */
function oneLine(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").trimEnd();
}
