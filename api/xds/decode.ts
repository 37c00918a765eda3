/**
 * Protobuf bytes → proto3 JSON, by reflection: snake_case names, as in envoy.ts.
 *
 *   bytes from ADS ─▶ decodeMessage() ─▶ objects as in envoy.ts, api/wire
 *
 * Refuses fields and types that Envoy's API (as compiled) does not have: what we cannot read we cannot obey.
 * Absent fields stay absent, except the lists that envoy.ts says are always there and every field of wherry.v1 that has
 * no presence.
 * Not done: the rule that two occurrences of one singular message are merged; no encoder writes that, the last one
 * wins.
 */
import { findEnum, findMessage, type Field, type Message } from "./descriptors.ts";
import { depthMax, joinPath, typeNameOf } from "./encode.ts";
import { CodecError } from "./errors.ts";
import { readScalar, wireTypeOf, zeroOf } from "./scalar.ts";
import { formatDuration, formatTimestamp, wrappedScalars, type SecondsNanos } from "./well-known.ts";
import { Reader, wireTypes } from "./wire.ts";

interface At {
  readonly path: string;
  readonly depth: number;
}

type JsonObject = Record<string, unknown>;

/** Lists that envoy.ts types as always present; protobuf does not tell an empty list from none. */
const lists: ReadonlyMap<string, readonly string[]> = new Map([
  ["envoy.config.listener.v3.FilterChain", ["filters"]],
  ["envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", ["http_filters"]],
  ["envoy.config.route.v3.RouteConfiguration", ["virtual_hosts"]],
  ["envoy.config.route.v3.VirtualHost", ["domains", "routes"]],
  ["envoy.config.route.v3.WeightedCluster", ["clusters"]],
  ["envoy.config.endpoint.v3.ClusterLoadAssignment", ["endpoints"]],
  ["envoy.config.endpoint.v3.LocalityLbEndpoints", ["lb_endpoints"]],
]);

/** `bytes` as the message named `type`. Throws CodecError: unknown_type, unknown_field or bad_bytes, with the path. */
export function decodeMessage(type: string, bytes: Uint8Array): Record<string, unknown> {
  const value = decodeValue(type, bytes, { path: "", depth: 0 });
  if (typeof value !== "object" || value === null)
    throw new CodecError("unknown_type", `Cannot decode ${type}: it is no message of its own`);
  return value as JsonObject;
}

function decodeValue(type: string, bytes: Uint8Array, at: At): unknown {
  if (at.depth > depthMax) throw new CodecError("bad_bytes", `${at.path}: nested deeper than ${depthMax} messages`);
  const reader = new Reader(bytes);
  const scalar = wrappedScalars.get(type);
  if (scalar !== undefined) return readWrapper(reader, scalar);
  switch (type) {
    case "google.protobuf.Any":
      return readAny(reader, at);
    case "google.protobuf.Duration":
      return formatDuration(readTime(reader));
    case "google.protobuf.Timestamp": {
      const text = formatTimestamp(readTime(reader));
      if (text === undefined) throw new CodecError("bad_bytes", `${at.path}: time out of range`);
      return text;
    }
    case "google.protobuf.Struct":
      return readStruct(reader, at);
    case "google.protobuf.ListValue":
      return readListValue(reader, at);
    case "google.protobuf.Value":
      return readJsonValue(reader, at);
    default:
      return readFields(reader, wantMessage(type, at.path), at);
  }
}

function wantMessage(type: string, path: string): Message {
  const message = findMessage(type);
  if (message === undefined)
    throw new CodecError("unknown_type", `${path === "" ? "(top)" : path}: unknown type ${type}`);
  return message;
}

function readFields(reader: Reader, message: Message, at: At): JsonObject {
  const value = initialOf(message);
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    const field = message.byId.get(id);
    if (field === undefined)
      throw new CodecError(
        "unknown_field",
        `${joinPath(at.path, String(id))}: unknown field number of ${message.name}`,
      );
    readField(reader, field, { wireType, into: value, at: { path: joinPath(at.path, field.name), depth: at.depth } });
    if (field.oneof !== undefined) dropRivals(message, field, value);
  }
  return value;
}

/** The last member of a oneof wins. */
function dropRivals(message: Message, winner: Field, value: JsonObject): void {
  for (const field of message.fields)
    if (field.oneof === winner.oneof && field !== winner && field.name in value) delete value[field.name];
}

function initialOf(message: Message): JsonObject {
  const value: JsonObject = {};
  for (const name of lists.get(message.name) ?? []) value[name] = [];
  if (!message.name.startsWith("wherry.v1.")) return value;
  for (const field of message.fields)
    if (field.list || field.mapKey !== undefined || !field.presence)
      value[field.name] = field.mapKey !== undefined ? {} : field.list ? [] : zeroOf(field.type);
  return value;
}

interface Target {
  readonly wireType: number;
  readonly into: JsonObject;
  readonly at: At;
}

function readField(reader: Reader, field: Field, { wireType, into, at }: Target): void {
  if (field.mapKey !== undefined) {
    wantWireType(wireType, wireTypes.bytes, at.path);
    return readMapEntry(new Reader(reader.bytes()), field, field.mapKey, { at, wireType, into });
  }
  if (!field.list) {
    into[field.name] = readOne(reader, field, wireType, at);
    return;
  }
  const list = (into[field.name] ??= []) as unknown[];
  const packed =
    wireType === wireTypes.bytes && field.kind !== "message" && plainWireType(field) !== wireTypes.bytes
      ? new Reader(reader.bytes())
      : undefined;
  if (packed === undefined) {
    list.push(readOne(reader, field, wireType, { path: `${at.path}[${list.length}]`, depth: at.depth }));
    return;
  }
  while (!packed.done) list.push(readPlain(packed, field));
}

function readOne(reader: Reader, field: Field, wireType: number, at: At): unknown {
  if (field.kind === "message") {
    wantWireType(wireType, wireTypes.bytes, at.path);
    return decodeValue(field.type, reader.bytes(), { path: at.path, depth: at.depth + 1 });
  }
  wantWireType(wireType, plainWireType(field), at.path);
  return readPlain(reader, field);
}

function plainWireType(field: Field): number {
  return field.kind === "enum" ? wireTypes.varint : wireTypeOf(field.type);
}

function readPlain(reader: Reader, field: Field): unknown {
  if (field.kind !== "enum") return readScalar(reader, field.type);
  const number = Number(BigInt.asIntN(32, reader.varint64()));
  return findEnum(field.type).names.get(number) ?? number;
}

function readMapEntry(reader: Reader, field: Field, keyType: string, { into, at }: Target): void {
  let key = String(zeroOf(keyType));
  let value: unknown = field.kind === "message" ? undefined : zeroOf(field.type);
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1) {
      wantWireType(wireType, wireTypeOf(keyType), at.path);
      key = String(readScalar(reader, keyType));
    } else if (id === 2) {
      value = readOne(reader, field, wireType, { path: `${at.path}[${JSON.stringify(key)}]`, depth: at.depth });
    } else {
      reader.skipValue(wireType);
    }
  }
  setOwn((into[field.name] ??= {}) as JsonObject, key, value ?? {});
}

/** Sets also the key "__proto__" as an own property, so that bytes from outside change no prototype. */
function setOwn(object: JsonObject, key: string, value: unknown): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}

function wantWireType(observed: number, wanted: number, path: string): void {
  if (observed !== wanted)
    throw new CodecError("bad_bytes", `${path}: observed wire type ${observed}, wanted ${wanted}`);
}

function readWrapper(reader: Reader, scalar: string): unknown {
  let value: unknown = zeroOf(scalar);
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1 && wireType === wireTypeOf(scalar)) value = readScalar(reader, scalar);
    else reader.skipValue(wireType);
  }
  return value;
}

function readTime(reader: Reader): SecondsNanos {
  let seconds = 0;
  let nanos = 0;
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1 && wireType === wireTypes.varint) seconds = Number(BigInt.asIntN(64, reader.varint64()));
    else if (id === 2 && wireType === wireTypes.varint) nanos = Number(BigInt.asIntN(32, reader.varint64()));
    else reader.skipValue(wireType);
  }
  return { seconds, nanos };
}

function readAny(reader: Reader, at: At): JsonObject {
  let typeUrl = "";
  let bytes: Uint8Array = new Uint8Array();
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1 && wireType === wireTypes.bytes) typeUrl = reader.string();
    else if (id === 2 && wireType === wireTypes.bytes) bytes = reader.bytes();
    else reader.skipValue(wireType);
  }
  if (typeUrl === "" && bytes.length === 0) return {};
  const type = typeNameOf(typeUrl);
  const value = decodeValue(type, bytes, { path: at.path, depth: at.depth + 1 });
  const isPlain = !type.startsWith("google.protobuf.") || type === "google.protobuf.Empty";
  return isPlain ? { "@type": typeUrl, ...(value as JsonObject) } : { "@type": typeUrl, value };
}

function readStruct(reader: Reader, at: At): JsonObject {
  const value: JsonObject = {};
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id !== 1 || wireType !== wireTypes.bytes) reader.skipValue(wireType);
    else readStructEntry(new Reader(reader.bytes()), value, at);
  }
  return value;
}

function readStructEntry(reader: Reader, into: JsonObject, at: At): void {
  let key = "";
  let item: unknown = null;
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 1 && wireType === wireTypes.bytes) key = reader.string();
    else if (id === 2 && wireType === wireTypes.bytes)
      item = decodeValue("google.protobuf.Value", reader.bytes(), {
        path: joinPath(at.path, key),
        depth: at.depth + 1,
      });
    else reader.skipValue(wireType);
  }
  setOwn(into, key, item);
}

function readListValue(reader: Reader, at: At): unknown[] {
  const list: unknown[] = [];
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    const path = `${at.path}[${list.length}]`;
    if (id !== 1 || wireType !== wireTypes.bytes) reader.skipValue(wireType);
    else list.push(decodeValue("google.protobuf.Value", reader.bytes(), { path, depth: at.depth + 1 }));
  }
  return list;
}

function readJsonValue(reader: Reader, at: At): unknown {
  const inner = { path: at.path, depth: at.depth + 1 };
  let value: unknown = null;
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (id === 2 && wireType === wireTypes.fixed64) value = reader.double();
    else if (id === 3 && wireType === wireTypes.bytes) value = reader.string();
    else if (id === 4 && wireType === wireTypes.varint) value = reader.varint64() !== 0n;
    else if (id === 5 && wireType === wireTypes.bytes)
      value = decodeValue("google.protobuf.Struct", reader.bytes(), inner);
    else if (id === 6 && wireType === wireTypes.bytes)
      value = decodeValue("google.protobuf.ListValue", reader.bytes(), inner);
    else reader.skipValue(wireType);
  }
  return value;
}
