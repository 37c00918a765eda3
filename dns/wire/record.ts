/**
 * Resource records as values, and their bytes.
 *
 *   RR[] ─▶ encodeSections(question name) ─▶ Sections: the bytes behind the question, made once, copied for each answer
 *
 * Names are compressed against the question at offset 12 and against names written before (RFC 1035 §4.1.4), whatever
 * their case. Within record data only where RFC 3597 §4 allows it.
 */
import { headerBytes, messageBytesMax, types } from "./constants.ts";
import { parentOf } from "./name.ts";

export interface RR {
  /** Owner, a key (name.ts). */
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** In seconds. */
  readonly ttl: number;
  /** Names in it are in full. */
  readonly data: Uint8Array;
}

/** The three sections behind the question, encoded. Immutable. */
export interface Sections {
  readonly bytes: Buffer;
  /** Records in answer, authority, additional. */
  readonly counts: readonly [number, number, number];
  /** Where each record ends in `bytes`, in order: a response is only ever cut between records. */
  readonly ends: readonly number[];
  /** Where each record's TTL stands in `bytes`, in order. */
  readonly ttlAts: readonly number[];
}

export const emptySections: Sections = { bytes: Buffer.alloc(0), counts: [0, 0, 0], ends: [], ttlAts: [] };

/** Records by section. */
export interface Records {
  readonly answer?: readonly RR[];
  readonly authority?: readonly RR[];
  readonly additional?: readonly RR[];
}

/** Where names stand in the data of a type: after `fixed` bytes, `names` of them, then the rest. */
export interface DataLayout {
  readonly fixed: number;
  readonly names: number;
  readonly isCompressible: boolean;
}

const layouts: Readonly<Record<number, DataLayout>> = {
  [types.ns]: { fixed: 0, names: 1, isCompressible: true },
  [types.cname]: { fixed: 0, names: 1, isCompressible: true },
  [types.ptr]: { fixed: 0, names: 1, isCompressible: true },
  [types.soa]: { fixed: 0, names: 2, isCompressible: true },
  [types.minfo]: { fixed: 0, names: 2, isCompressible: true },
  [types.mx]: { fixed: 2, names: 1, isCompressible: true },
  [types.rp]: { fixed: 0, names: 2, isCompressible: false },
  [types.afsdb]: { fixed: 2, names: 1, isCompressible: false },
  [types.px]: { fixed: 2, names: 2, isCompressible: false },
  [types.srv]: { fixed: 6, names: 1, isCompressible: false },
  [types.kx]: { fixed: 2, names: 1, isCompressible: false },
  [types.dname]: { fixed: 0, names: 1, isCompressible: false },
};

/** Undefined for types without names in their data. */
export function layoutOf(type: number): DataLayout | undefined {
  return layouts[type];
}

/**
 * Encodes records for responses to the question `qname`; what does not fit in one message is left out whole. Names
 * point into the question at `shared` and its parents only: the sections serve every question of this length that
 * ends in it.
 */
export function encodeSections(qname: string, records: Records, shared: string = qname): Sections {
  const writer = new Writer(qname, shared);
  const counts: [number, number, number] = [0, 0, 0];
  for (const [section, part] of [records.answer, records.authority, records.additional].entries()) {
    for (const record of part ?? []) {
      if (!writer.record(record)) break;
      counts[section] = (counts[section] ?? 0) + 1;
    }
  }
  return { bytes: writer.bytes(), counts, ends: writer.ends, ttlAts: writer.ttlAts };
}

/** Room for records: the largest message, less header, question and OPT. */
const sectionBytesMax = messageBytesMax - headerBytes - 259 - 11;
/** Beyond this offset a pointer cannot reach (14 bits). */
const pointerMax = 0x3fff;
/** Every message is written here first; writing is synchronous, so one is enough. Room for one record too many. */
const scratch = Buffer.allocUnsafe(2 * messageBytesMax + 1024);

class Writer {
  readonly #base: number;
  readonly #offsets = new Map<string, number>();
  readonly ends: number[] = [];
  readonly ttlAts: number[] = [];
  #length = 0;

  constructor(qname: string, shared: string) {
    this.#base = headerBytes + qname.length + 4;
    let at = headerBytes;
    for (let name = qname; name !== "\0"; name = parentOf(name)) {
      if (name.length <= shared.length) this.#offsets.set(name, at);
      at += name.charCodeAt(0) + 1;
    }
  }

  bytes(): Buffer {
    return Buffer.from(scratch.subarray(0, this.#length));
  }

  /** False, and nothing written, when the message would be too long. */
  record(record: RR): boolean {
    const start = this.#length;
    this.#name(record.name, true);
    this.#length = scratch.writeUInt16BE(record.type, this.#length);
    this.#length = scratch.writeUInt16BE(record.class, this.#length);
    const ttlAt = this.#length;
    this.#length = scratch.writeUInt32BE(record.ttl, this.#length);
    const lengthAt = this.#length;
    this.#length += 2;
    this.#data(record);
    if (this.#length > sectionBytesMax) {
      // Names that this record introduced are gone with it; it is the last one of the message.
      this.#length = start;
      return false;
    }
    scratch.writeUInt16BE(this.#length - lengthAt - 2, lengthAt);
    this.ends.push(this.#length);
    this.ttlAts.push(ttlAt);
    return true;
  }

  #data({ type, data }: RR): void {
    const layout = layouts[type];
    if (layout === undefined) return this.#raw(data);
    this.#raw(data.subarray(0, layout.fixed));
    let at = layout.fixed;
    for (let index = 0; index < layout.names; index++) {
      const end = skipPlainName(data, at);
      this.#name(Buffer.from(data.buffer, data.byteOffset + at, end - at).toString("latin1"), layout.isCompressible);
      at = end;
    }
    this.#raw(data.subarray(at));
  }

  #name(name: string, isCompressible: boolean): void {
    if (!isCompressible) return this.#text(name);
    for (let rest = name; rest !== "\0" && rest !== ""; rest = parentOf(rest)) {
      const key = rest.toLowerCase();
      const known = this.#offsets.get(key);
      if (known !== undefined) {
        this.#length = scratch.writeUInt16BE(0xc000 | known, this.#length);
        return;
      }
      const at = this.#base + this.#length;
      if (at <= pointerMax) this.#offsets.set(key, at);
      this.#text(rest.slice(0, rest.charCodeAt(0) + 1));
    }
    scratch[this.#length++] = 0;
  }

  #text(text: string): void {
    this.#length += scratch.write(text, this.#length, "latin1");
  }

  #raw(bytes: Uint8Array): void {
    scratch.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

/** Where a name without pointers ends; the end of the data when it never does. */
export function skipPlainName(data: Uint8Array, start: number): number {
  let at = start;
  while (at < data.length && data[at] !== 0) at += (data[at] ?? 0) + 1;
  return Math.min(at + 1, data.length);
}
