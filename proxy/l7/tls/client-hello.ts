/**
 * Reads a TLS ClientHello without ending it: is it TLS, which server name, which protocols. Pure.
 *
 *   first bytes ─▶ readClientHello() ─▶ inspect.ts ─▶ filter chain by server name, transport and ALPN
 *
 * Invariant: no read beyond what was received, whatever its lengths say. Source: RFC 8446 §4.1.2, RFC 6066 §3 (server
 * name), RFC 7301 §3.1 (ALPN); Envoy's tls_inspector listener filter.
 */

export type ClientHello =
  | { readonly kind: "more" }
  | { readonly kind: "other" }
  /** `serverName` in lower case, or empty; `protocols` as offered. */
  | { readonly kind: "tls"; readonly serverName: string; readonly protocols: readonly string[] };

const more: ClientHello = { kind: "more" };
const other: ClientHello = { kind: "other" };
/** What starts like TLS but does not parse: TLS without a name, whose handshake then says what is wrong. */
const nameless: ClientHello = { kind: "tls", serverName: "", protocols: [] };

const handshakeRecord = 22;
const clientHello = 1;
const serverNameExtension = 0;
const alpnExtension = 16;
/** Most bytes of a ClientHello that are waited for: Envoy's. */
const helloBytesMax: number = 16 * 1024;

export function readClientHello(bytes: Buffer): ClientHello {
  if (bytes.length === 0) return more;
  if (bytes[0] !== handshakeRecord) return other;
  if (bytes.length < 3) return more;
  // SSL 3 and TLS 1.x alone have major version 3.
  if (bytes[1] !== 3) return other;
  const message = joinRecords(bytes);
  if (message === undefined) return bytes.length > helloBytesMax ? nameless : more;
  if (message.length === 0 || message[0] !== clientHello) return message.length === 0 ? more : other;
  const end = 4 + message.readUIntBE(1, 3);
  if (end > helloBytesMax) return nameless;
  if (message.length < end) return bytes.length > helloBytesMax ? nameless : more;
  return readExtensions(message.subarray(4, end));
}

/** The handshake bytes of the whole records; undefined when not even the message's length is there. */
function joinRecords(bytes: Buffer): Buffer | undefined {
  const parts: Buffer[] = [];
  let length = 0;
  for (let at = 0; at + 5 <= bytes.length && bytes[at] === handshakeRecord;) {
    const end = at + 5 + bytes.readUInt16BE(at + 3);
    // Part of a record will do: a long ClientHello is one record, and what matters may be there already.
    const part = bytes.subarray(at + 5, Math.min(end, bytes.length));
    parts.push(part);
    length += part.length;
    at = end;
  }
  return length < 4 ? undefined : parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** A reader that never goes beyond its bytes: what is missing reads as nothing. */
class Cursor {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  number(width: 1 | 2): number {
    if (this.left < width) return 0;
    const value = this.bytes.readUIntBE(this.at, width);
    this.at += width;
    return value;
  }

  /** The bytes behind a length of `width` bytes. */
  vector(width: 1 | 2): Cursor {
    const length = Math.min(this.number(width), this.left);
    const part = new Cursor(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    return part;
  }

  text(): string {
    return this.bytes.toString("latin1");
  }
}

function readExtensions(hello: Buffer): ClientHello {
  const cursor = new Cursor(hello);
  // legacy_version and random
  cursor.at = Math.min(34, hello.length);
  cursor.vector(1); // legacy_session_id
  cursor.vector(2); // cipher_suites
  cursor.vector(1); // legacy_compression_methods
  const extensions = cursor.vector(2);
  let serverName = "";
  let protocols: readonly string[] = [];
  while (extensions.left >= 4) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    if (type === serverNameExtension) serverName = readServerName(body);
    else if (type === alpnExtension) protocols = readProtocols(body);
  }
  return { kind: "tls", serverName, protocols };
}

function readServerName(body: Cursor): string {
  const list = body.vector(2);
  while (list.left >= 3) {
    const type = list.number(1);
    const name = list.vector(2);
    if (type === 0) return name.text().toLowerCase();
  }
  return "";
}

function readProtocols(body: Cursor): readonly string[] {
  const list = body.vector(2);
  const protocols: string[] = [];
  while (list.left >= 2) protocols.push(list.vector(1).text());
  return protocols;
}
