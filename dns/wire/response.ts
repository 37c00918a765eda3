/**
 * A response: the query's own header and question, patched, then prebuilt sections, then OPT when the query had one.
 *
 *   Query + Answer + limit ─▶ encodeResponse ─▶ bytes
 *
 * Invariant: never longer than the limit; cut only between records. Additional records go first and silently; a cut
 * answer or authority section sets TC (RFC 2181 §9), and what fits is kept, for resolvers without TCP.
 */
import { flags, headerBytes, types } from "./constants.ts";
import type { Query, Reject } from "./query.ts";
import { emptySections, type Sections } from "./record.ts";

export interface Answer {
  readonly rcode: number;
  readonly isAuthoritative: boolean;
  readonly sections: Sections;
}

/** What we say we take, and the most that we send, over UDP: fits any path without fragments (DNS flag day 2020). */
export const payloadBytesMax = 1232;
const payloadBytesMin = 512;
const optBytes = 11;

/** How long a response over UDP may be. */
export function udpLimit({ payloadBytes }: Query): number {
  if (payloadBytes === undefined) return payloadBytesMin;
  return Math.min(Math.max(payloadBytes, payloadBytesMin), payloadBytesMax);
}

export function encodeResponse(query: Query, answer: Answer, limit: number): Buffer {
  const { questionEnd, payloadBytes, dnssecOK } = query;
  const hasEDNS = payloadBytes !== undefined;
  const room = limit - questionEnd - (hasEDNS ? optBytes : 0);
  const cut = fit(answer.sections, room);
  const response = Buffer.allocUnsafe(questionEnd + cut.bytes + (hasEDNS ? optBytes : 0));
  query.bytes.copy(response, 0, 0, questionEnd);
  let word = flags.response | (query.bytes.readUInt16BE(2) & flags.recursionDesired) | answer.rcode;
  if (answer.isAuthoritative) word |= flags.authoritative;
  if (cut.isTruncated) word |= flags.truncated;
  writeHeader(response, word, cut.counts, hasEDNS);
  answer.sections.bytes.copy(response, questionEnd, 0, cut.bytes);
  if (hasEDNS) writeOPT(response, questionEnd + cut.bytes, 0, dnssecOK);
  return response;
}

/** The response to what could not be read as a query. */
export function encodeReject(rejected: Exclude<Reject, { kind: "drop" }>): Buffer {
  const { bytes, questionEnd, rcode, hasEDNS } = rejected;
  const response = Buffer.alloc(questionEnd + (hasEDNS ? optBytes : 0));
  bytes.copy(response, 0, 0, questionEnd);
  // Opcode and RD are the query's own (RFC 1035 §4.1.1).
  const word = flags.response | (bytes.readUInt16BE(2) & (0x7800 | flags.recursionDesired)) | (rcode & 15);
  writeHeader(response, word, emptySections.counts, hasEDNS);
  response.writeUInt16BE(questionEnd > headerBytes ? 1 : 0, 4);
  if (hasEDNS) writeOPT(response, questionEnd, rcode >> 4, false);
  return response;
}

interface Cut {
  readonly bytes: number;
  readonly counts: readonly [number, number, number];
  readonly isTruncated: boolean;
}

function fit({ bytes, counts, ends }: Sections, room: number): Cut {
  if (bytes.length <= room) return { bytes: bytes.length, counts, isTruncated: false };
  let kept = 0;
  while ((ends[kept] ?? Infinity) <= room) kept++;
  const [answers, authorities] = counts;
  return {
    bytes: kept === 0 ? 0 : (ends[kept - 1] ?? 0),
    counts: [
      Math.min(kept, answers),
      Math.min(Math.max(0, kept - answers), authorities),
      Math.max(0, kept - answers - authorities),
    ],
    isTruncated: kept < answers + authorities,
  };
}

function writeHeader(response: Buffer, word: number, counts: Sections["counts"], hasEDNS: boolean): void {
  response.writeUInt16BE(word, 2);
  response.writeUInt16BE(1, 4);
  response.writeUInt16BE(counts[0], 6);
  response.writeUInt16BE(counts[1], 8);
  response.writeUInt16BE(counts[2] + (hasEDNS ? 1 : 0), 10);
}

/** RFC 6891 §6.1.2: root, OPT, our payload size, extended rcode, version 0, DO, no options. */
function writeOPT(response: Buffer, at: number, extendedRcode: number, dnssecOK: boolean): void {
  response[at] = 0;
  response.writeUInt16BE(types.opt, at + 1);
  response.writeUInt16BE(payloadBytesMax, at + 3);
  response[at + 5] = extendedRcode;
  response[at + 6] = 0;
  response.writeUInt16BE(dnssecOK ? 0x8000 : 0, at + 7);
  response.writeUInt16BE(0, at + 9);
}
