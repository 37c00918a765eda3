/**
 * One query, read strictly.
 *
 *   datagram or TCP message ─▶ parseQuery ─▶ Query | Reject ─▶ chain.ts, wire/response.ts
 *
 * Never throws, reads no byte beyond the message, and ends after at most 255 bytes of name. RFC 1035 §4.1, RFC 6891
 * §6.1.
 */
import { badVersion, flags, headerBytes, labelBytesMax, nameBytesMax, rcodes, types } from "./constants.ts";

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
    return { kind: "reject", bytes, rcode: badVersion, questionEnd, hasEDNS: true };
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
  };
}

function reject(bytes: Buffer, rcode: number, questionEnd = headerBytes): Reject {
  return { kind: "reject", bytes, rcode, questionEnd, hasEDNS: false };
}

/** Copies the name at `start` into `scratch`, lower case. Where it ends, or -1. Compression has no place in a question. */
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
}

/** The OPT record among the additional records, of which at most a few are read. */
function readAdditionals(bytes: Buffer, start: number): EDNS | undefined | "malformed" {
  const count = bytes.readUInt16BE(10);
  let at = start;
  let edns: EDNS | undefined;
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
