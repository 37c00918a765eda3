/**
 * Scalars of protobuf between JSON and the wire: checks, then one switch each way.
 *
 *   encode.ts ─▶ writeScalar        readScalar ◀─ decode.ts
 *
 * 64-bit integers are numbers while they are safe, decimal texts beyond; both are accepted. Bytes are base64 texts
 * or Uint8Array.
 */
import { CodecError } from "./errors.ts";
import { wireTypes, type Reader, type Writer } from "./wire.ts";

/** The wire type that a scalar type is written with; enums are "enum". */
export function wireTypeOf(type: string): number {
  if (type === "string" || type === "bytes") return wireTypes.bytes;
  if (type === "double" || type === "fixed64" || type === "sfixed64") return wireTypes.fixed64;
  if (type === "float" || type === "fixed32" || type === "sfixed32") return wireTypes.fixed32;
  return wireTypes.varint;
}

/** Writes the value without a tag. Throws bad_value with `path` when the value does not fit the type. */
export function writeScalar(writer: Writer, type: string, value: unknown, path: string): void {
  switch (type) {
    case "string":
      return writer.string(wantString(value, path));
    case "bytes":
      return writer.bytes(value instanceof Uint8Array ? value : wantBase64(value, path));
    case "bool":
      if (typeof value !== "boolean") throw badValue(path, value, "true or false");
      return writer.varint(value ? 1 : 0);
    case "double":
      return writer.double(wantNumber(value, path));
    case "float":
      return writer.float(wantNumber(value, path));
    case "uint32":
      return writer.varint(Number(wantInteger(value, 0n, 2n ** 32n - 1n, path)));
    case "fixed32":
      return writer.fixed32(Number(wantInteger(value, 0n, 2n ** 32n - 1n, path)));
    case "sfixed32":
      return writer.fixed32(Number(wantInteger(value, -(2n ** 31n), 2n ** 31n - 1n, path)));
    case "int32":
      return writer.varint64(wantInteger(value, -(2n ** 31n), 2n ** 31n - 1n, path));
    case "sint32":
    case "sint64": {
      const bits = type === "sint32" ? 31n : 63n;
      const integer = wantInteger(value, -(2n ** bits), 2n ** bits - 1n, path);
      return writer.varint64(integer < 0n ? -integer * 2n - 1n : integer * 2n);
    }
    case "uint64":
      return writer.varint64(wantInteger(value, 0n, 2n ** 64n - 1n, path));
    case "fixed64":
      return writer.fixed64(wantInteger(value, 0n, 2n ** 64n - 1n, path));
    case "int64":
      return writer.varint64(wantInteger(value, -(2n ** 63n), 2n ** 63n - 1n, path));
    case "sfixed64":
      return writer.fixed64(wantInteger(value, -(2n ** 63n), 2n ** 63n - 1n, path));
    default:
      throw new CodecError("unknown_type", `${path}: unknown scalar type ${type}`);
  }
}

/** Reads a value that `wireTypeOf(type)` announced. */
export function readScalar(reader: Reader, type: string): unknown {
  switch (type) {
    case "string":
      return reader.string();
    case "bytes":
      return reader.bytes().toString("base64");
    case "bool":
      return reader.varint64() !== 0n;
    case "double":
      return formatFloat(reader.double());
    case "float":
      return formatFloat(shortestFloat(reader.float()));
    case "uint32":
      return Number(BigInt.asUintN(32, reader.varint64()));
    case "fixed32":
      return reader.fixed32();
    case "sfixed32":
      return reader.fixed32() | 0;
    case "int32":
      return Number(BigInt.asIntN(32, reader.varint64()));
    case "sint32":
    case "sint64": {
      const zigzag = reader.varint64();
      return formatInteger((zigzag & 1n) === 1n ? -(zigzag >> 1n) - 1n : zigzag >> 1n);
    }
    case "uint64":
      return formatInteger(reader.varint64());
    case "fixed64":
      return formatInteger(reader.fixed64());
    case "int64":
      return formatInteger(BigInt.asIntN(64, reader.varint64()));
    case "sfixed64":
      return formatInteger(BigInt.asIntN(64, reader.fixed64()));
    default:
      throw new CodecError("unknown_type", `Cannot decode scalar: unknown type ${type}`);
  }
}

/** The value that an absent field without presence stands for. */
export function zeroOf(type: string): string | number | boolean {
  if (type === "string" || type === "bytes") return "";
  return type === "bool" ? false : 0;
}

/** What is wrong with the value at `path`: observed, wanted. A value that may be a secret is not shown. */
export function badValue(path: string, value: unknown, wanted: string): CodecError {
  const observed = secretPath.test(path) ? typeof value : describe(value);
  return new CodecError("bad_value", `${path === "" ? "(top)" : path}: observed ${observed}, wanted ${wanted}`);
}

/** Fields that hold a key or a password, or what may be one (udpa.annotations.sensitive), in either case of names. */
const secretPath = /(?:^|\.)(?:private_?key|password|inline_?(?:string|bytes)|session_?ticket_?keys|secret)(?:[.[]|$)/i;

function describe(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value === null || typeof value === "undefined") return String(value);
  if (typeof value === "object") return "an object";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function wantString(value: unknown, path: string): string {
  if (typeof value !== "string") throw badValue(path, value, "a text");
  return value;
}

function wantBase64(value: unknown, path: string): Uint8Array {
  if (typeof value !== "string" || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) throw badValue(path, value, "base64 text");
  return Buffer.from(value, "base64");
}

function wantNumber(value: unknown, path: string): number {
  if (typeof value === "number") return value;
  if (value === "NaN" || value === "Infinity" || value === "-Infinity") return Number(value);
  throw badValue(path, value, "a number");
}

function wantInteger(value: unknown, min: bigint, max: bigint, path: string): bigint {
  const exact =
    (typeof value === "number" && Number.isSafeInteger(value)) ||
    (typeof value === "string" && /^-?\d{1,20}$/.test(value));
  const integer = exact ? BigInt(value) : undefined;
  if (integer === undefined || integer < min || integer > max)
    throw badValue(path, value, `an integer from ${min} to ${max}`);
  return integer;
}

function formatInteger(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** JSON has no NaN and no infinities; proto3 JSON writes them as texts. */
function formatFloat(value: number): number | string {
  return Number.isFinite(value) ? value : String(value);
}

/** The shortest decimal that is the same 32-bit float, so that 0.1 does not come back as 0.10000000149011612. */
function shortestFloat(value: number): number {
  for (let digits = 6; digits <= 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
