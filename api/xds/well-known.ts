/**
 * The JSON forms of google.protobuf's own messages: Duration and Timestamp as texts, wrappers as plain values,
 * Struct as an object.
 *
 *   encode.ts, decode.ts ⇄ here
 *
 * Source: protobuf.dev/programming-guides/json
 */

/** google.protobuf.XValue → the scalar that it wraps. */
export const wrappedScalars: ReadonlyMap<string, string> = new Map([
  ["google.protobuf.BoolValue", "bool"],
  ["google.protobuf.BytesValue", "bytes"],
  ["google.protobuf.DoubleValue", "double"],
  ["google.protobuf.FloatValue", "float"],
  ["google.protobuf.Int32Value", "int32"],
  ["google.protobuf.Int64Value", "int64"],
  ["google.protobuf.StringValue", "string"],
  ["google.protobuf.UInt32Value", "uint32"],
  ["google.protobuf.UInt64Value", "uint64"],
]);

export interface SecondsNanos {
  readonly seconds: number;
  readonly nanos: number;
}

/** Longest Duration: about 10,000 years, as google/protobuf/duration.proto says. */
const durationSecondsMax = 315_576_000_000;

/** "0.25s" → seconds and nanoseconds of the same sign; undefined when it is no duration. */
export function parseDuration(text: string): SecondsNanos | undefined {
  const match = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text);
  if (match === null) return undefined;
  const sign = match[1] === "-" ? -1 : 1;
  const seconds = Number(match[2]);
  if (seconds > durationSecondsMax) return undefined;
  const nanos = Number((match[3] ?? "").padEnd(9, "0"));
  // Adding zero turns -0 into 0.
  return { seconds: sign * seconds + 0, nanos: sign * nanos + 0 };
}

/** The inverse of `parseDuration`, with 0, 3, 6 or 9 digits after the point. */
export function formatDuration({ seconds, nanos }: SecondsNanos): string {
  const sign = seconds < 0 || nanos < 0 ? "-" : "";
  return `${sign}${Math.abs(seconds)}${formatNanos(Math.abs(nanos))}s`;
}

/** RFC 3339 → seconds since 1970 and nanoseconds; undefined when it is no time. */
export function parseTimestamp(text: string): SecondsNanos | undefined {
  const match = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/.exec(text);
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}${match[3]}`);
  if (Number.isNaN(ms)) return undefined;
  return { seconds: ms / 1000, nanos: Number((match[2] ?? "").padEnd(9, "0")) };
}

/** The inverse of `parseTimestamp`, in UTC; undefined when the time is outside the years 1 to 9999. */
export function formatTimestamp({ seconds, nanos }: SecondsNanos): string | undefined {
  if (seconds < -62_135_596_800 || seconds > 253_402_300_799) return undefined;
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${formatNanos(nanos)}Z`;
}

function formatNanos(nanos: number): string {
  if (nanos === 0) return "";
  const digits = String(nanos).padStart(9, "0");
  return `.${digits.endsWith("000000") ? digits.slice(0, 3) : digits.endsWith("000") ? digits.slice(0, 6) : digits}`;
}
