/**
 * One query, read strictly.
 *
 *   datagram or TCP message ─▶ parseQuery ─▶ Query | Reject ─▶ server/respond.ts, wire/response.ts
 *
 * Never throws, reads no byte beyond the message, and ends after at most 255 bytes of name. RFC 1035 §4.1, RFC 6891
 * §6.1.
 */
import { flags, headerBytes, labelBytesMax, nameBytesMax, rcodes, types } from "./constants.ts";
import { encodeQuery } from "./message.ts";

export interface Query {
  readonly kind: "query";
  /** The message; its first `questionEnd` bytes are repeated in the response, so the case of the name is echoed. */
  readonly bytes: Buffer;
  readonly questionEnd: number;
  /** The name, lower case, in wire form (name.ts). */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** What the downstream says it can take over UDP (RFC 6891 §6.2.3); undefined without EDNS. */
  readonly payloadBytes: number | undefined;
  /** DNSSEC OK, echoed (RFC 3225). */
  readonly dnssecOK: boolean;
  /** The options of OPT, as they came. */
  readonly options: Uint8Array | undefined;
  /** Options that upstreams are to get; what the downstream sent is not passed on by itself. */
  readonly forwarded: Uint8Array | undefined;
}

/** A message that gets an error, or none at all when it is not a query. */
export type Reject =
  | { readonly kind: "drop" }
  | {
      readonly kind: "reject";
      readonly bytes: Buffer;
      readonly rcode: number;
      /** The header alone, or header and question where the question could be read. */
      readonly questionEnd: number;
      readonly hasEDNS: boolean;
    };

/** Lower case of each byte; only A to Z differ (RFC 4343). */
const lower = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));
const scratch = Buffer.alloc(nameBytesMax);

export function parseQuery(bytes: Buffer): Query | Reject {
  if (bytes.length < headerBytes) return { kind: "drop" };
  const word = bytes.readUInt16BE(2);
  // Answering a response would let two servers talk for ever.
  if ((word & flags.response) !== 0) return { kind: "drop" };
  if (((word >> 11) & 15) !== 0) return reject(bytes, rcodes.notImp);
  const [questions, answers, authorities] = [bytes.readUInt16BE(4), bytes.readUInt16BE(6), bytes.readUInt16BE(8)];
  if (questions !== 1 || answers !== 0 || authorities !== 0) return reject(bytes, rcodes.formErr);
  const nameEnd = readName(bytes, headerBytes);
  if (nameEnd < 0 || nameEnd + 4 > bytes.length) return reject(bytes, rcodes.formErr);
  const name = scratch.toString("latin1", 0, nameEnd - headerBytes);
  const questionEnd = nameEnd + 4;
  const edns = readAdditionals(bytes, questionEnd);
  if (edns === "malformed") return reject(bytes, rcodes.formErr, questionEnd);
  if (edns !== undefined && edns.version !== 0) {
    return { kind: "reject", bytes, rcode: rcodes.badVersion, questionEnd, hasEDNS: true };
  }
  return {
    kind: "query",
    bytes,
    questionEnd,
    name,
    type: bytes.readUInt16BE(nameEnd),
    class: bytes.readUInt16BE(nameEnd + 2),
    payloadBytes: edns?.payloadBytes,
    dnssecOK: edns?.dnssecOK ?? false,
    options: edns?.options,
    forwarded: undefined,
  };
}

/**
 * The query that `query` becomes with another name or type: what plugins ask on. Keeps flags and EDNS, and the case of
 * `name`, which is in wire form.
 */
export function derivedQuery(query: Query, name: string, type: number = query.type): Query {
  const word = query.bytes.readUInt16BE(2);
  const bytes = encodeQuery({
    id: query.bytes.readUInt16BE(0),
    name,
    type,
    class: query.class,
    isRecursionDesired: (word & flags.recursionDesired) !== 0,
    isCheckingDisabled: (word & flags.checkingDisabled) !== 0,
    payloadBytes: query.payloadBytes ?? 0,
    dnssecOK: query.dnssecOK,
  });
  return { ...query, bytes, questionEnd: headerBytes + name.length + 4, name: name.toLowerCase(), type };
}

/** The name as it was asked, case kept, in wire form. */
export function nameAsSent({ bytes, questionEnd }: Query): string {
  return bytes.toString("latin1", headerBytes, questionEnd - 4);
}

function reject(bytes: Buffer, rcode: number, questionEnd = headerBytes): Reject {
  return { kind: "reject", bytes, rcode, questionEnd, hasEDNS: false };
}

/**
 * Copies the name at `start` into `scratch`, lower case. Where it ends, or -1. Compression has no place in a
 * question.
 */
function readName(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > labelBytesMax) return -1;
    const end = at + 1 + length;
    if (end > bytes.length || end - start > nameBytesMax) return -1;
    scratch[at - start] = length;
    for (let from = at + 1; from < end; from++) scratch[from - start] = lower[bytes[from] ?? 0] ?? 0;
    at = end;
    if (length === 0) return at;
  }
}

interface EDNS {
  readonly payloadBytes: number;
  readonly version: number;
  readonly dnssecOK: boolean;
  readonly options: Uint8Array;
}

/** The OPT record among the additional records, of which at most a few are read. */
function readAdditionals(bytes: Buffer, start: number): EDNS | undefined | "malformed" {
  const count = bytes.readUInt16BE(10);
  let at = start;
  let edns: EDNS | undefined;
  if (count === 0) return start === bytes.length ? undefined : "malformed";
  if (count > 8) return "malformed";
  for (let index = 0; index < count; index++) {
    const nameEnd = skipName(bytes, at);
    if (nameEnd < 0 || nameEnd + 10 > bytes.length) return "malformed";
    const end = nameEnd + 10 + bytes.readUInt16BE(nameEnd + 8);
    if (end > bytes.length) return "malformed";
    if (bytes.readUInt16BE(nameEnd) === types.opt) {
      // One OPT, owned by the root (RFC 6891 §6.1.1).
      if (edns !== undefined || nameEnd !== at + 1) return "malformed";
      edns = {
        payloadBytes: bytes.readUInt16BE(nameEnd + 2),
        version: bytes.readUInt8(nameEnd + 5),
        dnssecOK: (bytes.readUInt8(nameEnd + 6) & 0x80) !== 0,
        options: bytes.subarray(nameEnd + 10, end),
      };
    }
    at = end;
  }
  return at === bytes.length ? edns : "malformed";
}

/** Where a name ends that may end in a pointer, or -1. The pointer is not followed: nobody wants the name. */
function skipName(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || at - start > nameBytesMax) return -1;
    if (length >= 0xc0) return at + 2;
    if (length > labelBytesMax) return -1;
    at += length + 1;
    if (length === 0) return at;
  }
}
