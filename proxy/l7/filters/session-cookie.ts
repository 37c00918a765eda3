/**
 * What a stateful session's cookie or header says: the address of an endpoint. Pure.
 *
 *   text of the downstream ─▶ parseSessionCookie(), parseSessionHeader() ─▶ "ADDRESS:PORT"
 *   endpoint ─▶ formatSessionCookie(), formatSessionHeader() ─▶ text for the downstream
 *
 * Both are base64. The cookie's bytes are a protobuf message, `{ string address = 1; uint64 expires = 2 }` in s, so that
 * a cookie outlives neither its time nor a change of proxies; the address alone is Envoy's older form, and is read too.
 * Source: Envoy, source/extensions/http/stateful_session.
 */
import { Reader, Writer, wireTypes } from "#api/xds/wire.ts";

/** The address in a cookie; undefined when there is none, or its time is over. */
export function parseSessionCookie(text: string, nowSeconds: number): string | undefined {
  const bytes = fromBase64(text);
  if (bytes === undefined) return undefined;
  const message = decode(bytes);
  if (message === undefined) return bytes.toString("latin1");
  const { address, expires } = message;
  return address === "" || (expires !== 0 && nowSeconds > expires) ? undefined : address;
}

/** `expires` in s since 1970; 0 is never. */
export function formatSessionCookie(address: string, expires: number): string {
  const writer = new Writer();
  writer.tag(1, wireTypes.bytes);
  writer.string(address);
  if (expires > 0) {
    writer.tag(2, wireTypes.varint);
    writer.varint(expires);
  }
  return writer.finish().toString("base64");
}

export function parseSessionHeader(text: string): string | undefined {
  return fromBase64(text)?.toString("latin1");
}

export function formatSessionHeader(address: string): string {
  return Buffer.from(address).toString("base64");
}

/** Undefined when it is empty, or not base64 with its padding. */
function fromBase64(text: string): Buffer | undefined {
  return text !== "" && text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text)
    ? Buffer.from(text, "base64")
    : undefined;
}

/** Undefined when it is no message. */
function decode(bytes: Buffer): { readonly address: string; readonly expires: number } | undefined {
  const reader = new Reader(bytes);
  let address = "";
  let expires = 0;
  try {
    while (!reader.done) {
      const [id, wireType] = reader.tag();
      if (id === 1 && wireType === wireTypes.bytes) address = reader.string();
      else if (id === 2 && wireType === wireTypes.varint) expires = Number(reader.varint64());
      else reader.skipValue(wireType);
    }
  } catch {
    return undefined; // Whatever a downstream sends.
  }
  return { address, expires };
}
