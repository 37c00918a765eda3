/**
 * Answers that the proxy makes itself: one sentence that says why, and Envoy's response flag beside it. Pure.
 *
 *   exchange.ts, downstream.ts ─▶ formatLocalReply() ─▶ downstream
 *
 * Invariant: nothing of the request is in the answer, so that nothing of it can be reflected.
 */
import { STATUS_CODES } from "node:http";
import type { ResponseFlag } from "./types.ts";

export interface LocalReply {
  readonly status: number;
  readonly flag: ResponseFlag;
  /** Without a period or a line break. */
  readonly sentence: string;
  readonly keepsAlive: boolean;
  /** The request was HEAD. */
  readonly isHead: boolean;
}

/** The whole response. `x-wherry-error` says the flag and the sentence, unless the flag is "-". */
export function formatLocalReply(reply: LocalReply): string {
  const body = reply.sentence === "" ? "" : `${reply.sentence}\n`;
  const bytes = Buffer.byteLength(body, "latin1");
  return (
    `HTTP/1.1 ${reply.status} ${STATUS_CODES[reply.status] ?? ""}\r\n` +
    `Content-Length: ${bytes}\r\n` +
    (bytes > 0 ? "Content-Type: text/plain\r\n" : "") +
    (reply.flag === "-" ? "" : `x-wherry-error: ${reply.flag} ${reply.sentence}\r\n`) +
    (reply.keepsAlive ? "" : "Connection: close\r\n") +
    `\r\n${reply.isHead ? "" : body}`
  );
}
