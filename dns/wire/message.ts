/**
 * Whole messages off the hot path: what upstreams answer, and what plugins change.
 *
 *   upstream's bytes ─▶ decodeMessage ─▶ Message (records with names in full) ─▶ encodeSections
 *   question ─▶ encodeQuery ─▶ bytes for an upstream
 *
 * Never throws for bytes from the network, reads none beyond the message; pointers go back only, so every name ends.
 */
import { flags, headerBytes, labelBytesMax, nameBytesMax, types } from "./constants.ts";
import { layoutOf, type Records, type RR } from "./record.ts";

export interface Message {
  readonly id: number;
  /** The header's second word. */
  readonly word: number;
  /** With the upper bits of OPT. */
  readonly rcode: number;
  /** The name of the one question as it was sent, case kept; lower case in `name`. */
  readonly question: Question | undefined;
  readonly records: Required<Records>;
  /** Data of OPT (options), when there is one. */
  readonly options: Uint8Array | undefined;
}

export interface Question {
  readonly name: string;
  /** With the case of the bytes. */
  readonly nameAsSent: string;
  readonly type: number;
  readonly class: number;
}

/** The message, or undefined when it is malformed. */
export function decodeMessage(bytes: Buffer): Message | undefined {
  if (bytes.length < headerBytes || bytes.readUInt16BE(4) > 1) return undefined;
  const reader = new Reader(bytes);
  const question = bytes.readUInt16BE(4) === 1 ? reader.question() : undefined;
  if (reader.isMalformed) return undefined;
  const [answer, authority, additional] = [6, 8, 10].map((at) => reader.records(bytes.readUInt16BE(at)));
  if (reader.isMalformed || answer === undefined || authority === undefined || additional === undefined)
    return undefined;
  const opt = additional.find(({ type }) => type === types.opt);
  const word = bytes.readUInt16BE(2);
  return {
    id: bytes.readUInt16BE(0),
    word,
    rcode: (word & 15) | (opt === undefined ? 0 : (opt.ttl >>> 24) << 4),
    question,
    records: { answer, authority, additional: additional.filter(({ type }) => type !== types.opt) },
    options: opt?.data,
  };
}

class Reader {
  readonly #bytes: Buffer;
  #at = headerBytes;
  isMalformed = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  question(): Question | undefined {
    const nameAsSent = this.#name();
    if (this.isMalformed || this.#at + 4 > this.#bytes.length) return this.#fail();
    const type = this.#bytes.readUInt16BE(this.#at);
    const classNumber = this.#bytes.readUInt16BE(this.#at + 2);
    this.#at += 4;
    return { name: nameAsSent.toLowerCase(), nameAsSent, type, class: classNumber };
  }

  records(count: number): RR[] {
    const records: RR[] = [];
    for (let index = 0; index < count && !this.isMalformed; index++) {
      const record = this.#record();
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  #record(): RR | undefined {
    const bytes = this.#bytes;
    const name = this.#name().toLowerCase();
    if (this.isMalformed || this.#at + 10 > bytes.length) return this.#fail();
    const type = bytes.readUInt16BE(this.#at);
    const classNumber = bytes.readUInt16BE(this.#at + 2);
    const ttl = bytes.readUInt32BE(this.#at + 4);
    const end = this.#at + 10 + bytes.readUInt16BE(this.#at + 8);
    this.#at += 10;
    if (end > bytes.length) return this.#fail();
    const data = this.#data(type, end);
    if (this.isMalformed || this.#at !== end) return this.#fail();
    return { name, type, class: classNumber, ttl, data };
  }

  /** The data up to `end`, names in full. A copy. */
  #data(type: number, end: number): Uint8Array {
    const layout = layoutOf(type);
    const parts: Buffer[] = [];
    if (layout !== undefined) {
      if (this.#at + layout.fixed > end) return this.#fail() ?? Buffer.alloc(0);
      parts.push(this.#bytes.subarray(this.#at, this.#at + layout.fixed));
      this.#at += layout.fixed;
      for (let index = 0; index < layout.names; index++) parts.push(Buffer.from(this.#name(), "latin1"));
    }
    if (this.#at > end) this.#fail();
    else parts.push(this.#bytes.subarray(this.#at, end));
    this.#at = end;
    return Buffer.concat(parts);
  }

  /** The name at the cursor, in wire form without pointers; the cursor moves behind it. */
  #name(): string {
    let name = "";
    let at = this.#at;
    /** Pointers must lead to before what was read so far. */
    let bound = this.#at;
    let isJumping = false;
    for (;;) {
      const length = this.#bytes[at];
      if (length === undefined || name.length > nameBytesMax) return this.#fail() ?? "\0";
      if (length >= 0xc0) {
        const target = ((length & 0x3f) << 8) | (this.#bytes[at + 1] ?? 0xff);
        if (at + 2 > this.#bytes.length || target >= bound || target < headerBytes) return this.#fail() ?? "\0";
        if (!isJumping) this.#at = at + 2;
        isJumping = true;
        bound = target;
        at = target;
        continue;
      }
      if (length > labelBytesMax || at + 1 + length > this.#bytes.length) return this.#fail() ?? "\0";
      name += this.#bytes.toString("latin1", at, at + 1 + length);
      at += 1 + length;
      if (length === 0) break;
    }
    if (name.length > nameBytesMax) return this.#fail() ?? "\0";
    if (!isJumping) this.#at = at;
    return name;
  }

  #fail(): undefined {
    this.isMalformed = true;
    return undefined;
  }
}

export interface QueryToEncode {
  readonly id: number;
  /** In wire form; its case is what is sent. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly isRecursionDesired: boolean;
  /** Whether DNSSEC checks are to be left to the one who asks. */
  readonly isCheckingDisabled?: boolean;
  /** EDNS payload size; 0 sends no OPT. */
  readonly payloadBytes: number;
  readonly dnssecOK?: boolean;
  /** Options of OPT, encoded; only with a payload size. */
  readonly options?: Uint8Array | undefined;
}

/** A query with one question, and OPT where wanted. */
export function encodeQuery(query: QueryToEncode): Buffer {
  const hasEDNS = query.payloadBytes > 0;
  const questionEnd = headerBytes + query.name.length + 4;
  const optionBytes = query.options?.length ?? 0;
  const bytes = Buffer.alloc(questionEnd + (hasEDNS ? 11 + optionBytes : 0));
  bytes.writeUInt16BE(query.id, 0);
  const word =
    (query.isRecursionDesired ? flags.recursionDesired : 0) |
    (query.isCheckingDisabled === true ? flags.checkingDisabled : 0);
  bytes.writeUInt16BE(word, 2);
  bytes.writeUInt16BE(1, 4);
  bytes.write(query.name, headerBytes, "latin1");
  bytes.writeUInt16BE(query.type, questionEnd - 4);
  bytes.writeUInt16BE(query.class, questionEnd - 2);
  if (hasEDNS) {
    bytes.writeUInt16BE(1, 10);
    bytes.writeUInt16BE(types.opt, questionEnd + 1);
    bytes.writeUInt16BE(query.payloadBytes, questionEnd + 3);
    bytes[questionEnd + 7] = query.dnssecOK === true ? 0x80 : 0;
    bytes.writeUInt16BE(optionBytes, questionEnd + 9);
    if (query.options !== undefined) bytes.set(query.options, questionEnd + 11);
  }
  return bytes;
}
