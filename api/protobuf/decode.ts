/**
 * Kubernetes protobuf into JSON: what kubectl's typed commands and client-go programs send for the built-in kinds.
 *
 *   bytes ─▶ envelope (`k8s\0`, runtime.Unknown) ─▶ messageOf(kind) ─▶ decodeMessage() ─▶ object
 *
 * Invariant: any bytes give an object or a CodecError; nothing else is thrown. Fields without a number in the tables
 * are passed over, as Go does. Follows: k8s.io/apimachinery pkg/runtime/serializer/protobuf.
 */
import { CodecError } from "../xds/errors.ts";
import { Reader, wireTypes } from "../xds/wire.ts";
import { type Field, type Message, messageOf } from "./messages.ts";

/** What every body begins with. */
const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

const prefixes: Readonly<Record<string, string>> = {
  v1: "core",
  "apps/v1": "apps",
  "batch/v1": "batch",
  "policy/v1": "policy",
  "autoscaling/v1": "autoscaling",
  "networking.k8s.io/v1": "networking",
  "discovery.k8s.io/v1": "discovery",
  "coordination.k8s.io/v1": "coordination",
  "authentication.k8s.io/v1": "authentication",
  "authorization.k8s.io/v1": "authorization",
};

/** The object in a body. Throws CodecError: bad_bytes, or unknown_type for a kind that no table has. */
export function decodeKubernetes(bytes: Uint8Array): unknown {
  if (Buffer.compare(magic, bytes.subarray(0, magic.length)) !== 0)
    throw new CodecError("bad_bytes", 'Cannot decode protobuf: the body does not begin with "k8s" and a zero byte');
  const { apiVersion, kind, raw } = decodeEnvelope(bytes.subarray(magic.length));
  const prefix = kind === "DeleteOptions" ? "meta" : prefixes[apiVersion];
  const message = prefix === undefined ? undefined : messageOf(`${prefix}.${kind}`);
  if (message === undefined)
    throw new CodecError(
      "unknown_type",
      `Cannot decode protobuf of kind ${JSON.stringify(kind)} in ${JSON.stringify(apiVersion)}: it is not known here (send application/json)`,
    );
  return { apiVersion, kind, ...decodeMessage(message, raw) };
}

/** runtime.Unknown: typeMeta=1 (apiVersion=1, kind=2), raw=2. */
function decodeEnvelope(bytes: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  const found = { apiVersion: "", kind: "", raw: new Uint8Array() as Uint8Array };
  eachField(bytes, (id, reader) => {
    if (id === 1)
      eachField(reader.bytes(), (id, reader) => {
        if (id === 1) found.apiVersion = reader.string();
        else if (id === 2) found.kind = reader.string();
        else return false;
        return true;
      });
    else if (id === 2) found.raw = reader.bytes();
    else return false;
    return true;
  });
  return found;
}

function decodeMessage(message: Message, bytes: Uint8Array): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  eachField(bytes, (id, reader, wireType) => {
    const field = message.get(id);
    if (field === undefined) return false;
    if (field.name === "@") Object.assign(result, decodeValue(field, reader, wireType));
    else if (field.form === "list") {
      const list = (result[field.name] ?? []) as unknown[];
      list.push(decodeValue(field, reader, wireType));
      result[field.name] = list;
    } else if (field.form === "map") {
      const map = (result[field.name] ?? {}) as Record<string, unknown>;
      const [key, value] = decodeEntry(field, reader.bytes());
      // Defined, not assigned, so that a key such as "__proto__" stays a key.
      Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
      result[field.name] = map;
    } else {
      const value = decodeValue(field, reader, wireType);
      const isZero = value === "" || value === 0 || value === false;
      if (value !== undefined && !(field.omitZero && isZero)) result[field.name] = value;
    }
    return true;
  });
  return result;
}

/** A map's entry: key=1, value=2. */
function decodeEntry(field: Field, bytes: Uint8Array): readonly [string, unknown] {
  let [key, value] = ["", zeroOf(field.type)];
  eachField(bytes, (id, reader, wireType) => {
    if (id === 1) key = reader.string();
    else if (id === 2) value = decodeValue(field, reader, wireType);
    else return false;
    return true;
  });
  return [key, value];
}

function zeroOf(type: string): unknown {
  return type === "s" || type === "x" || type === "quantity" ? "" : {};
}

function decodeValue({ type }: Field, reader: Reader, wireType: number): unknown {
  const wanted = type === "i" || type === "b" ? wireTypes.varint : type === "d" ? wireTypes.fixed64 : wireTypes.bytes;
  if (wireType !== wanted)
    throw new CodecError("bad_bytes", `Cannot decode protobuf: wire type ${wireType}, wanted ${wanted}`);
  switch (type) {
    case "s":
      return reader.string();
    case "i":
      return toNumber(reader.varint64());
    case "b":
      return reader.varint64() !== 0n;
    case "d":
      return reader.double();
    case "x":
      return reader.bytes().toString("base64");
    case "time":
      return decodeTime(reader.bytes());
    case "quantity":
      return decodeText(reader.bytes());
    case "raw":
      return parseRaw(decodeText(reader.bytes()));
    case "intOrString":
      return decodeIntOrString(reader.bytes());
    default: {
      const message = messageOf(type);
      if (message === undefined) throw new CodecError("unknown_type", `Cannot decode protobuf: no table has ${type}`);
      return decodeMessage(message, reader.bytes());
    }
  }
}

/** Largest and smallest seconds of RFC 3339: the years 1 to 9999. */
const secondsMax = 253_402_300_799;
const secondsMin = -62_135_596_800;

/** Time and MicroTime: seconds=1, nanos=2. An empty message is no time. */
function decodeTime(bytes: Uint8Array): string | undefined {
  if (bytes.length === 0) return undefined;
  let [seconds, nanos] = [0, 0];
  eachField(bytes, (id, reader) => {
    if (id === 1) seconds = toNumber(reader.varint64());
    else if (id === 2) nanos = toNumber(reader.varint64());
    else return false;
    return true;
  });
  if (seconds < secondsMin || seconds > secondsMax || nanos < 0 || nanos > 999_999_999)
    throw new CodecError("bad_bytes", `Cannot decode protobuf: ${seconds} s and ${nanos} ns are no time`);
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  const micros = String(Math.trunc(nanos / 1000)).padStart(6, "0");
  return nanos === 0 ? `${whole}Z` : `${whole}.${micros}Z`;
}

/** Quantity, RawExtension, FieldsV1: the content is field 1. */
function decodeText(bytes: Uint8Array): string {
  let text = "";
  eachField(bytes, (id, reader) => {
    if (id !== 1) return false;
    text = reader.string();
    return true;
  });
  return text;
}

function parseRaw(text: string): unknown {
  try {
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  } catch {
    throw new CodecError("bad_bytes", "Cannot decode protobuf: a field that holds JSON does not");
  }
}

/** type=1 (0: number), intVal=2, strVal=3. */
function decodeIntOrString(bytes: Uint8Array): number | string {
  let [type, number, text] = [0, 0, ""];
  eachField(bytes, (id, reader) => {
    if (id === 1) type = toNumber(reader.varint64());
    else if (id === 2) number = toNumber(reader.varint64());
    else if (id === 3) text = reader.string();
    else return false;
    return true;
  });
  return type === 0 ? number : text;
}

function toNumber(bits: bigint): number {
  const value = Number(BigInt.asIntN(64, bits));
  if (!Number.isSafeInteger(value))
    throw new CodecError("bad_bytes", `Cannot decode protobuf: the number ${value} is too large for JSON`);
  return value;
}

/** Reads fields until the end. `read` says whether it took the value; what it did not take is passed over. */
function eachField(bytes: Uint8Array, read: (id: number, reader: Reader, wireType: number) => boolean): void {
  const reader = new Reader(bytes);
  while (!reader.done) {
    const [id, wireType] = reader.tag();
    if (!read(id, reader, wireType)) reader.skipValue(wireType);
  }
}
