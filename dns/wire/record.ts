/**
 * Resource records as values, and their bytes.
 *
 *   RR[] ─▶ encodeSections(question name) ─▶ Sections: the bytes behind the question, made once, copied for each answer
 *
 * Names are compressed against the question at offset 12 and against names written before (RFC 1035 §4.1.4).
 * SRV targets are not: RFC 2782 forbids it.
 */
import { assert } from "#lib/assert.ts";
import { classIN, headerBytes, types } from "./constants.ts";
import { parentOf } from "./name.ts";

/** Names are keys (name.ts); `ttl` in seconds. */
export type RR = { readonly name: string; readonly ttl: number } & RData;

export type RData =
  | { readonly type: "A" | "AAAA"; readonly address: Uint8Array }
  | { readonly type: "CNAME" | "NS" | "PTR"; readonly target: string }
  | {
      readonly type: "SRV";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "TXT"; readonly text: string }
  | { readonly type: "SOA"; readonly mname: string; readonly rname: string; readonly numbers: readonly number[] };

/** The three sections behind the question, encoded. Immutable. */
export interface Sections {
  readonly bytes: Buffer;
  /** Records in answer, authority, additional. */
  readonly counts: readonly [number, number, number];
  /** Where each record ends in `bytes`, in order: a response is only ever cut between records. */
  readonly ends: readonly number[];
}

export const numberOfType: Readonly<Record<RData["type"], number>> = {
  A: types.a,
  AAAA: types.aaaa,
  CNAME: types.cname,
  NS: types.ns,
  PTR: types.ptr,
  SRV: types.srv,
  TXT: types.txt,
  SOA: types.soa,
};

export const emptySections: Sections = { bytes: Buffer.alloc(0), counts: [0, 0, 0], ends: [] };

/** Records by section. */
export interface Records {
  readonly answer?: readonly RR[];
  readonly authority?: readonly RR[];
  readonly additional?: readonly RR[];
}

/**
 * Encodes records for responses to the question `qname`; what does not fit in one message is left out whole. Names point
 * into the question at `shared` and its parents only: the sections serve every question of this length that ends in it.
 */
export function encodeSections(qname: string, sections: Records, shared: string = qname): Sections {
  const writer = new Writer(qname, shared);
  const ends: number[] = [];
  const counts: [number, number, number] = [0, 0, 0];
  const { answer = [], authority = [], additional = [] } = sections;
  for (const [section, records] of [answer, authority, additional].entries()) {
    for (const record of records) {
      if (!writer.record(record)) break;
      ends.push(writer.length);
      counts[section] = (counts[section] ?? 0) + 1;
    }
  }
  return { bytes: writer.bytes(), counts, ends };
}

/** Room for records: the largest message, less header, question and OPT. */
const sectionBytesMax = 65_535 - headerBytes - 259 - 11;
/** Beyond this offset a pointer cannot reach (14 bits). */
const pointerMax = 0x3fff;

class Writer {
  readonly #base: number;
  readonly #offsets = new Map<string, number>();
  #buffer = Buffer.allocUnsafe(512);
  length = 0;

  constructor(qname: string, shared: string) {
    this.#base = headerBytes + qname.length + 4;
    let at = headerBytes;
    for (let name = qname; name !== "\0"; name = parentOf(name)) {
      if (name.length <= shared.length) this.#offsets.set(name, at);
      at += name.charCodeAt(0) + 1;
    }
  }

  bytes(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.length));
  }

  /** False, and nothing written, when the message would be too long. */
  record(record: RR): boolean {
    const start = this.length;
    this.#name(record.name);
    this.#uint16(numberOfType[record.type]);
    this.#uint16(classIN);
    this.#uint32(record.ttl);
    const lengthAt = this.length;
    this.#uint16(0);
    this.#rdata(record);
    if (this.length > sectionBytesMax) {
      // Names that this record introduced are gone with it; it is the last one of the message.
      this.length = start;
      return false;
    }
    this.#buffer.writeUInt16BE(this.length - lengthAt - 2, lengthAt);
    return true;
  }

  #rdata(record: RR): void {
    switch (record.type) {
      case "A":
      case "AAAA":
        assert(record.address.length === (record.type === "A" ? 4 : 16), "an address has its family's length");
        return this.#raw(record.address);
      case "CNAME":
      case "NS":
      case "PTR":
        return this.#name(record.target);
      case "SRV":
        for (const number of [record.priority, record.weight, record.port]) this.#uint16(number);
        return this.#raw(Buffer.from(record.target, "latin1"));
      case "TXT":
        assert(record.text.length <= 255, "a TXT string has at most 255 bytes");
        return this.#raw(Buffer.from(String.fromCharCode(record.text.length) + record.text, "latin1"));
      case "SOA":
        this.#name(record.mname);
        this.#name(record.rname);
        for (const number of record.numbers) this.#uint32(number);
    }
  }

  #name(name: string): void {
    for (let rest = name; rest !== "\0"; rest = parentOf(rest)) {
      const known = this.#offsets.get(rest);
      if (known !== undefined) return this.#uint16(0xc000 | known);
      const at = this.#base + this.length;
      if (at <= pointerMax) this.#offsets.set(rest, at);
      this.#raw(Buffer.from(rest.slice(0, rest.charCodeAt(0) + 1), "latin1"));
    }
    this.#raw(Buffer.from([0]));
  }

  #uint16(value: number): void {
    this.#reserve(2);
    this.length = this.#buffer.writeUInt16BE(value, this.length);
  }

  #uint32(value: number): void {
    this.#reserve(4);
    this.length = this.#buffer.writeUInt32BE(value, this.length);
  }

  #raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.length + count));
    this.#buffer.copy(grown, 0, 0, this.length);
    this.#buffer = grown;
  }
}
