/**
 * Where an HTTP/1 downstream is in its requests, and what the next byte of it belongs to.
 *
 *   Idle [─▶ Waiting] ─▶ Head ─▶ Exchange ─▶ Idle …     Exchange ─▶ Tunnel (after 101)     any ─▶ Lingering ─▶ Closed
 */
import type { RequestHead } from "./http1/request.ts";
import type { ReaderOwner } from "./request-reader.ts";

/**
 * "waiting": bytes came, and are read in their turn (start-queue.ts); "head": a part of a head was read; "lingering":
 * the last answer is under way, and what still comes is dropped.
 */
export type State = "idle" | "waiting" | "head" | "exchange" | "tunnel" | "lingering" | "closed";

/** Of the next byte. */
export const expectations: Readonly<Record<State, ReaderOwner["expects"]>> = {
  idle: "head",
  waiting: "head",
  head: "head",
  exchange: "request",
  tunnel: "tunnel",
  lingering: "nothing",
  closed: "nothing",
};

/** Another request may come behind that of `head` on its connection. */
export function mayFollow(head: RequestHead | undefined): boolean {
  // What comes behind CONNECT may be of the tunnel that was not opened.
  if (head === undefined || head.protocol === "HTTP/1.0" || head.method === "CONNECT") return false;
  return !head.hop.wantsClose;
}
