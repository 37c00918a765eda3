/**
 * proto3 JSON → protobuf bytes, by reflection.
 *
 *   objects as in envoy.ts ─▶ encodeMessage() ─▶ bytes for ADS
 *
 * Field names are accepted as in Envoy's YAML (snake_case) and as in canonical JSON (lowerCamelCase); null is absent.
 * Invariant: equal objects give equal bytes whatever the order of their keys: fields go by number, map entries by key.
 * Refuses unknown fields, unknown types and values that do not fit, each with its path.
 * Source: protobuf.dev/programming-guides/json
 */
import { findEnum, findMessage, type Field, type Message } from "./descriptors.ts";
import { CodecError } from "./errors.ts";
import { badValue, wireTypeOf, writeScalar, zeroOf } from "./scalar.ts";
import { parseDuration, parseTimestamp, wrappedScalars, type SecondsNanos } from "./well-known.ts";
import { wireTypes, Writer } from "./wire.ts";

/** Deepest nesting of messages, both ways. Protobuf's own implementations stop at 100. */
export const depthMax = 100;

/** Where the value being written is. */
interface At {
  readonly path: string;
  readonly depth: number;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** The bytes of `value` as the message named `type` (`envoy.config.cluster.v3.Cluster`). Throws CodecError with the path. */
export function encodeMessage(type: string, value: unknown): Buffer {
  return encodeValue(type, value, { path: "", depth: 0 });
}

/** The message's name in a type URL: what follows the last slash. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** The path of a field inside `path`. */
export function joinPath(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

function encodeValue(type: string, value: unknown, at: At): Buffer {
  if (at.depth > depthMax) throw new CodecError("bad_value", `${at.path}: nested deeper than ${depthMax} messages`);
  const writer = new Writer();
  const scalar = wrappedScalars.get(type);
  if (scalar !== undefined) writeWrapper(writer, scalar, value, at);
  else if (type === "google.protobuf.Any") writeAny(writer, value, at);
  else if (type === "google.protobuf.Duration") writeTime(writer, wantTime(value, durationForm, at.path));
  else if (type === "google.protobuf.Timestamp") writeTime(writer, wantTime(value, timestampForm, at.path));
  else if (type === "google.protobuf.Struct") writeStruct(writer, value, at);
  else if (type === "google.protobuf.ListValue") writeListValue(writer, value, at);
  else if (type === "google.protobuf.Value") writeJsonValue(writer, value, at);
  else writeFields(writer, wantMessage(type, at.path), wantObject(value, at.path), at);
  return writer.finish();
}

function wantMessage(type: string, path: string): Message {
  const message = findMessage(type);
  if (message === undefined)
    throw new CodecError("unknown_type", `${path === "" ? "(top)" : path}: unknown type ${type}`);
  return message;
}

function writeFields(writer: Writer, message: Message, value: JsonObject, at: At): void {
  const given: { field: Field; value: unknown; path: string }[] = [];
  const oneofs = new Map<string, string>();
  for (const [name, item] of Object.entries(value)) {
    const path = joinPath(at.path, name);
    const field = message.byName.get(name);
    if (field === undefined) throw new CodecError("unknown_field", `${path}: unknown field of ${message.name}`);
    // An explicit null is a value only for google.protobuf.Value.
    if (item === undefined || (item === null && field.type !== "google.protobuf.Value")) continue;
    if (field.oneof !== undefined) {
      const other = oneofs.get(field.oneof);
      if (other !== undefined)
        throw new CodecError("bad_value", `${path}: observed ${other} as well, wanted one of them`);
      oneofs.set(field.oneof, name);
    }
    given.push({ field, value: item, path });
  }
  given.sort((a, b) => a.field.id - b.field.id);
  for (const { field, value: item, path } of given) writeField(writer, field, item, { path, depth: at.depth });
}

function writeField(writer: Writer, field: Field, value: unknown, at: At): void {
  if (field.mapKey !== undefined) return writeMap(writer, field, field.mapKey, { value, at });
  if (!field.list) {
    if (field.presence || !isZero(field, value)) writeTagged(writer, field.id, field, { value, at });
    return;
  }
  if (!Array.isArray(value)) throw badValue(at.path, value, "a list");
  if (value.length === 0) return;
  const items = value.map((item: unknown, index) => ({ value: item, at: { ...at, path: `${at.path}[${index}]` } }));
  if (field.kind === "message" || wireTypeOf(field.type) === wireTypes.bytes) {
    for (const item of items) writeTagged(writer, field.id, field, item);
    return;
  }
  const packed = new Writer();
  for (const item of items) writePlain(packed, field, item);
  writer.tag(field.id, wireTypes.bytes);
  writer.bytes(packed.finish());
}

interface Item {
  readonly value: unknown;
  readonly at: At;
}

function writeTagged(writer: Writer, id: number, field: Field, { value, at }: Item): void {
  if (field.kind === "message") {
    writer.tag(id, wireTypes.bytes);
    writer.bytes(encodeValue(field.type, value, { path: at.path, depth: at.depth + 1 }));
    return;
  }
  writer.tag(id, field.kind === "enum" ? wireTypes.varint : wireTypeOf(field.type));
  writePlain(writer, field, { value, at });
}

function writePlain(writer: Writer, field: Field, { value, at }: Item): void {
  if (field.kind === "enum") writer.varint64(BigInt(enumNumber(field.type, value, at.path)));
  else writeScalar(writer, field.type, value, at.path);
}

function writeMap(writer: Writer, field: Field, keyType: string, { value, at }: Item): void {
  const entries = Object.entries(wantObject(value, at.path)).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, item] of entries) {
    const path = `${at.path}[${JSON.stringify(key)}]`;
    const entry = new Writer();
    entry.tag(1, wireTypeOf(keyType));
    writeScalar(entry, keyType, keyType === "bool" ? key === "true" : key, path);
    writeTagged(entry, 2, field, { value: item, at: { path, depth: at.depth } });
    writer.tag(field.id, wireTypes.bytes);
    writer.bytes(entry.finish());
  }
}

function isZero(field: Field, value: unknown): boolean {
  if (field.kind === "enum") return value === 0 || findEnum(field.type).names.get(0) === value;
  return value === zeroOf(field.type);
}

function enumNumber(type: string, value: unknown, path: string): number {
  const { numbers } = findEnum(type);
  if (typeof value === "string" && Object.hasOwn(numbers, value)) return numbers[value] ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && Math.abs(value) < 2 ** 31) return value;
  throw badValue(path, value, `one of ${Object.keys(numbers).join(", ")}`);
}

function writeWrapper(writer: Writer, scalar: string, value: unknown, at: At): void {
  if (value === zeroOf(scalar)) return;
  writer.tag(1, wireTypeOf(scalar));
  writeScalar(writer, scalar, value, at.path);
}

/** The types whose JSON is no object, so that Any carries it under "value". */
function isSpecial(type: string): boolean {
  return wrappedScalars.has(type) || /^google\.protobuf\.(Any|Duration|Timestamp|Struct|ListValue|Value)$/.test(type);
}

function writeAny(writer: Writer, value: unknown, at: At): void {
  const { "@type": typeUrl, ...rest } = wantObject(value, at.path);
  // An Any without content, such as `config: {}` of a FilterConfig.
  if (typeUrl === undefined && Object.keys(rest).length === 0) return;
  if (typeof typeUrl !== "string" || typeUrl === "")
    throw badValue(joinPath(at.path, "@type"), typeUrl, "the type URL of the message");
  const type = typeNameOf(typeUrl);
  const content = isSpecial(type) ? rest["value"] : rest;
  const bytes = encodeValue(type, content, { path: at.path, depth: at.depth + 1 });
  writer.tag(1, wireTypes.bytes);
  writer.string(typeUrl);
  if (bytes.length === 0) return;
  writer.tag(2, wireTypes.bytes);
  writer.bytes(bytes);
}

interface TimeForm {
  readonly parse: (text: string) => SecondsNanos | undefined;
  readonly example: string;
}

const durationForm: TimeForm = { parse: parseDuration, example: "0.25s" };
const timestampForm: TimeForm = { parse: parseTimestamp, example: "2026-01-01T00:00:00Z" };

function wantTime(value: unknown, { parse, example }: TimeForm, path: string): SecondsNanos {
  const time = typeof value === "string" ? parse(value) : undefined;
  if (time === undefined) throw badValue(path, value, `a text as ${JSON.stringify(example)}`);
  return time;
}

function writeTime(writer: Writer, time: SecondsNanos): void {
  if (time.seconds !== 0) {
    writer.tag(1, wireTypes.varint);
    writer.varint64(BigInt(time.seconds));
  }
  if (time.nanos === 0) return;
  writer.tag(2, wireTypes.varint);
  writer.varint64(BigInt(time.nanos));
}

function writeStruct(writer: Writer, value: unknown, at: At): void {
  const entries = Object.entries(wantObject(value, at.path)).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [key, item] of entries) {
    if (item === undefined) continue;
    const entry = new Writer();
    entry.tag(1, wireTypes.bytes);
    entry.string(key);
    entry.tag(2, wireTypes.bytes);
    entry.bytes(encodeValue("google.protobuf.Value", item, { path: joinPath(at.path, key), depth: at.depth + 1 }));
    writer.tag(1, wireTypes.bytes);
    writer.bytes(entry.finish());
  }
}

function writeListValue(writer: Writer, value: unknown, at: At): void {
  if (!Array.isArray(value)) throw badValue(at.path, value, "a list");
  value.forEach((item: unknown, index) => {
    const path = `${at.path}[${index}]`;
    writer.tag(1, wireTypes.bytes);
    writer.bytes(encodeValue("google.protobuf.Value", item, { path, depth: at.depth + 1 }));
  });
}

/** google.protobuf.Value: null_value 1, number_value 2, string_value 3, bool_value 4, struct_value 5, list_value 6. */
function writeJsonValue(writer: Writer, value: unknown, at: At): void {
  const inner = { path: at.path, depth: at.depth + 1 };
  if (value === null) {
    writer.tag(1, wireTypes.varint);
    writer.varint(0);
  } else if (typeof value === "number") {
    if (!Number.isFinite(value)) throw badValue(at.path, String(value), "a finite number");
    writer.tag(2, wireTypes.fixed64);
    writer.double(value);
  } else if (typeof value === "string") {
    writer.tag(3, wireTypes.bytes);
    writer.string(value);
  } else if (typeof value === "boolean") {
    writer.tag(4, wireTypes.varint);
    writer.varint(value ? 1 : 0);
  } else {
    const isList = Array.isArray(value);
    writer.tag(isList ? 6 : 5, wireTypes.bytes);
    writer.bytes(encodeValue(isList ? "google.protobuf.ListValue" : "google.protobuf.Struct", value, inner));
  }
}

function wantObject(value: unknown, path: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array)
    throw badValue(path, value, "an object");
  return value as JsonObject;
}
