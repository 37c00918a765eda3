/**
 * What WebSocket needs between HTTP/1 and HTTP/2: the key and its answer, which only HTTP/1 has. Pure.
 *
 *   h2 downstream ─▶ withKey() ─▶ h1 upstream          h2 upstream ─▶ acceptOf() ─▶ h1 downstream
 *
 * Source: RFC 6455 §4.2.2, RFC 8441 §5.
 */
import { createHash } from "node:crypto";
import type { Random } from "#lib/random.ts";
import { type Headers, headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";

const magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** The head with a key, where it asks for a WebSocket and has none. */
export function withKey(head: RequestHead, random: Random): RequestHead {
  const { headers, hop } = head;
  if (hop.upgrade?.toLowerCase() !== "websocket" || headers.keys.includes("sec-websocket-key")) return head;
  const key = Buffer.from(random.bytes(16)).toString("base64");
  const { names, keys, values } = headers;
  return {
    ...head,
    headers: {
      names: [...names, "Sec-WebSocket-Key"],
      keys: [...keys, "sec-websocket-key"],
      values: [...values, key],
    },
  };
}

/** Sec-WebSocket-Accept for the key of a request's headers; undefined when there is no key. */
export function acceptOf(headers: Headers): string | undefined {
  const key = headerValue(headers, "sec-websocket-key");
  return key === undefined ? undefined : createHash("sha1").update(`${key}${magic}`).digest("base64");
}
