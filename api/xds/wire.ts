/**
 * The protobuf wire format: varints, fixed 32 and 64 bits, length-delimited bytes.
 *
 *   codec.ts, discovery.ts ─▶ Writer ─▶ bytes ─▶ Reader ─▶ codec.ts, discovery.ts
 *
 * Invariant: Reader never reads past its end; truncated or malformed input is a CodecError.
 * Source: protobuf.dev/programming-guides/encoding
 */
import { CodecError } from "./errors.ts";

/** The low three bits of a tag. Groups (3, 4) are not in proto3 and are refused. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const mask64 = (1n << 64n) - 1n;

/** Appends wire values to a growing buffer. */
export class Writer {
  #buffer: Buffer = Buffer.allocUnsafe(256);
  #length = 0;

  /** What was written so far, as a buffer of its own. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#length));
  }

  get length(): number {
    return this.#length;
  }

  tag(id: number, wireType: number): void {
    this.varint(id * 8 + wireType);
  }

  /** A non-negative safe integer. */
  varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 0x7f) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
  }

  /** Any 64-bit integer; negative ones as two's complement. */
  varint64(value: bigint): void {
    this.#reserve(10);
    let rest = value & mask64;
    while (rest > 0x7fn) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeUInt32LE(value >>> 0, this.#length);
  }

  fixed64(value: bigint): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeBigUInt64LE(value & mask64, this.#length);
  }

  float(value: number): void {
    this.#reserve(4);
    this.#length = this.#buffer.writeFloatLE(value, this.#length);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  /** Length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  /** Bytes without their length. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.varint(length);
    this.#reserve(length);
    this.#length += this.#buffer.write(value, this.#length);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + more));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}

/** Reads wire values from a buffer, front to back. */
export class Reader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length;
  }

  /** Field number and wire type. */
  tag(): readonly [id: number, wireType: number] {
    const tag = this.varint();
    const id = Math.floor(tag / 8);
    if (id === 0 || id > 536_870_911) throw malformed(`field number ${id}`);
    return [id, tag % 8];
  }

  /** A varint that is expected to be a safe integer: a tag, a length, a uint32. */
  varint(): number {
    const first = this.#buffer[this.#at];
    if (first !== undefined && first < 0x80) {
      this.#at++;
      return first;
    }
    const value = this.varint64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`varint ${value}`);
    return Number(value);
  }

  /** A varint as an unsigned 64-bit integer. */
  varint64(): bigint {
    // Two halves of at most 28 and 42 bits in numbers are several times faster than bigints byte by byte.
    let low = 0;
    let scale = 1;
    for (let index = 0; index < 7; index++) {
      const byte = this.#byte();
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return BigInt(low);
      scale *= 0x80;
    }
    let high = 0;
    scale = 1;
    for (let index = 0; index < 3; index++) {
      const byte = this.#byte();
      high += (byte & 0x7f) * scale;
      if (byte < 0x80) return (BigInt(low) + (BigInt(high) << 49n)) & mask64;
      scale *= 0x80;
    }
    throw malformed("a varint of more than 10 bytes");
  }

  fixed32(): number {
    return this.#buffer.readUInt32LE(this.#skip(4));
  }

  fixed64(): bigint {
    return this.#buffer.readBigUInt64LE(this.#skip(8));
  }

  float(): number {
    return this.#buffer.readFloatLE(this.#skip(4));
  }

  double(): number {
    return this.#buffer.readDoubleLE(this.#skip(8));
  }

  /** A view of the next length-delimited bytes; it shares memory with the input. */
  bytes(): Buffer {
    const length = this.varint();
    const from = this.#skip(length);
    return this.#buffer.subarray(from, from + length);
  }

  string(): string {
    return this.bytes().toString("utf8");
  }

  /** Passes over the value of a field that the caller does not know. */
  skipValue(wireType: number): void {
    if (wireType === wireTypes.varint) this.varint64();
    else if (wireType === wireTypes.fixed64) this.#skip(8);
    else if (wireType === wireTypes.bytes) this.bytes();
    else if (wireType === wireTypes.fixed32) this.#skip(4);
    else throw malformed(`wire type ${wireType}`);
  }

  #byte(): number {
    const byte = this.#buffer[this.#skip(1)];
    return byte ?? 0;
  }

  /** Moves forward and gives where it was. */
  #skip(length: number): number {
    const from = this.#at;
    if (length > this.#buffer.length - from)
      throw malformed(`${this.#buffer.length - from} bytes left, wanted ${length}`);
    this.#at = from + length;
    return from;
  }
}

function malformed(what: string): CodecError {
  return new CodecError("bad_bytes", `Cannot decode protobuf: ${what}`);
}
