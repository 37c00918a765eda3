/**
 * A response: the query's own header and question, patched, then prebuilt sections, then OPT when the query had one.
 *
 *   Query + Answer + limit ─▶ encodeResponse ─▶ bytes
 *
 * Invariant: never longer than the limit; cut only between records. Additional records go first and silently; a cut
 * answer or authority section sets TC (RFC 2181 §9), and what fits is kept, for resolvers without TCP.
 */
import type { Answer } from "../answer.ts";
import { flags, headerBytes, types } from "./constants.ts";
import type { Query, Reject } from "./query.ts";
import { emptySections, type Sections } from "./record.ts";

/** What we say we take, and the most that we send, over UDP: fits any path without fragments (DNS flag day 2020). */
export const payloadBytesMax = 1232;
const payloadBytesMin = 512;
const optBytes = 11;

/** How long a response over UDP may be. */
export function udpLimit({ payloadBytes }: Query): number {
  if (payloadBytes === undefined) return payloadBytesMin;
  return Math.min(Math.max(payloadBytes, payloadBytesMin), payloadBytesMax);
}

/** The response. Records older than their answer by `ageSeconds` have that much less to live. */
export function encodeResponse(query: Query, answer: Answer, limit: number): Buffer {
  const { questionEnd, bytes } = query;
  const optLength = query.payloadBytes === undefined ? 0 : optBytes + (answer.options?.length ?? 0);
  const { sections } = answer;
  const room = limit - questionEnd - optLength;
  const cut = sections.bytes.length <= room ? whole(sections) : fit(sections, room);
  const response = Buffer.allocUnsafe(questionEnd + cut.bytes + optLength);
  bytes.copy(response, 0, 0, questionEnd);
  if (cut.bytes > 0) sections.bytes.copy(response, questionEnd, 0, cut.bytes);
  if (answer.ageSeconds > 0) ageRecords(response, questionEnd, answer, cut);
  let word =
    flags.response | (((bytes[2] ?? 0) << 8) & flags.recursionDesired) | ((bytes[3] ?? 0) & flags.checkingDisabled);
  word |= answer.flags | (answer.rcode & 15);
  if (cut.isTruncated) word |= flags.truncated;
  writeHeader(response, word, cut.counts, optLength > 0);
  if (optLength > 0)
    writeOPT(response, questionEnd + cut.bytes, answer.rcode >> 4, {
      dnssecOK: query.dnssecOK,
      options: answer.options,
    });
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
  if (hasEDNS) writeOPT(response, questionEnd, rcode >> 4, { dnssecOK: false, options: undefined });
  return response;
}

interface Cut {
  readonly bytes: number;
  readonly counts: readonly [number, number, number];
  readonly records: number;
  readonly isTruncated: boolean;
}

function whole({ bytes, counts, ends }: Sections): Cut {
  return { bytes: bytes.length, counts, records: ends.length, isTruncated: false };
}

function fit({ counts, ends }: Sections, room: number): Cut {
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
    records: kept,
    isTruncated: kept < answers + authorities,
  };
}

function ageRecords(response: Buffer, base: number, { sections, ageSeconds }: Answer, { records }: Cut): void {
  for (let index = 0; index < records; index++) {
    const at = base + (sections.ttlAts[index] ?? 0);
    response.writeUInt32BE(Math.max(0, response.readUInt32BE(at) - ageSeconds), at);
  }
}

function writeHeader(response: Buffer, word: number, counts: Sections["counts"], hasEDNS: boolean): void {
  response[2] = word >> 8;
  response[3] = word;
  response[4] = 0;
  response[5] = 1;
  writeCount(response, 6, counts[0]);
  writeCount(response, 8, counts[1]);
  writeCount(response, 10, counts[2] + (hasEDNS ? 1 : 0));
}

function writeCount(response: Buffer, at: number, count: number): void {
  response[at] = count >> 8;
  response[at + 1] = count;
}

interface OPT {
  readonly dnssecOK: boolean;
  readonly options: Uint8Array | undefined;
}

/** RFC 6891 §6.1.2: root, OPT, our payload size, extended rcode, version 0, DO, options. */
function writeOPT(response: Buffer, at: number, extendedRcode: number, { dnssecOK, options }: OPT): void {
  response[at] = 0;
  response.writeUInt16BE(types.opt, at + 1);
  response.writeUInt16BE(payloadBytesMax, at + 3);
  response[at + 5] = extendedRcode;
  response[at + 6] = 0;
  response.writeUInt16BE(dnssecOK ? 0x8000 : 0, at + 7);
  response.writeUInt16BE(options?.length ?? 0, at + 9);
  if (options !== undefined) response.set(options, at + optBytes);
}
