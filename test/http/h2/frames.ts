/**
 * HTTP/2 frames and HPACK blocks as bytes, right or wrong as the test wants them: a writer without a protocol.
 *
 *   *-cases.ts ─▶ frame(), headers(), field() … ─▶ bytes ─▶ peer.ts ─▶ the engine ─▶ readFrame() ─▶ peer.ts
 *
 * Header fields are written as literals that enter no table, unless a case asks for another form. Source: RFC 9113 §4
 * and §6, RFC 7541 §5 and §6.
 */

export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  /** None that RFC 9113 knows. */
  unknown: 0x16,
} as const;

export const flags = { none: 0, endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 0x20 } as const;
/** A head that is whole, of a request without a body. */
export const whole: number = flags.endStream | flags.endHeaders;

/** RFC 9113 §7, by number. */
export const errorCodes: readonly string[] = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

export const preface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flag: number, stream: number, payload: Buffer | string = ""): Buffer {
  const body = Buffer.from(payload as string, "latin1");
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** The first frame of `bytes`, or undefined when it is not whole. */
export function readFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 9) return undefined;
  const end = 9 + bytes.readUIntBE(0, 3);
  if (bytes.length < end) return undefined;
  const stream = bytes.readUInt32BE(5) & 0x7fff_ffff;
  return { type: bytes[3]!, flags: bytes[4]!, stream, payload: bytes.subarray(9, end) };
}

export const headers = (stream: number, block: Buffer, flag: number = whole): Buffer =>
  frame(types.headers, flag, stream, block);
export const continuation = (stream: number, block: Buffer, flag: number = flags.endHeaders): Buffer =>
  frame(types.continuation, flag, stream, block);
export const data = (stream: number, body: Buffer | string, flag: number = flags.endStream): Buffer =>
  frame(types.data, flag, stream, body);
export const settings = (...pairs: ReadonlyArray<readonly [number, number]>): Buffer =>
  frame(types.settings, 0, 0, Buffer.concat(pairs.map(([id, value]) => setting(id, value))));
export const settingsAck: Buffer = frame(types.settings, flags.ack, 0);
export const ping = (payload: string, flag: number = flags.none, stream = 0): Buffer =>
  frame(types.ping, flag, stream, payload);
export const rstStream = (stream: number, code = 8): Buffer => frame(types.rstStream, 0, stream, uint32(code));
export const goaway = (stream: number, code = 0): Buffer =>
  frame(types.goaway, 0, stream, Buffer.concat([uint32(0), uint32(code)]));
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(types.windowUpdate, 0, stream, uint32(increment));

export interface Priority {
  readonly dependency: number;
  readonly isExclusive?: boolean;
  /** 1 to 256. */
  readonly weight?: number;
}

/** The five bytes of a PRIORITY frame, and in front of a block with the priority flag. */
export const priorityBytes = ({ dependency, isExclusive = false, weight = 16 }: Priority): Buffer =>
  Buffer.concat([uint32((isExclusive ? 0x8000_0000 : 0) + dependency), Buffer.of(weight - 1)]);
export const priority = (stream: number, what: Priority): Buffer =>
  frame(types.priority, 0, stream, priorityBytes(what));

/** `payload` with its length of padding in front and as many zero bytes behind. */
export const padded = (payload: Buffer | string, bytes: number): Buffer =>
  Buffer.concat([Buffer.of(bytes), Buffer.from(payload as string, "latin1"), Buffer.alloc(bytes)]);

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.of(0, id), uint32(value)]);
}

/** RFC 7541 §5.1: `value` in the low `bits` of a byte whose high bits are `first`, and bytes behind it. */
export function integer(value: number, bits: number, first = 0): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.of(first | value);
  const bytes = [first | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(0x80 | (rest & 0x7f));
  return Buffer.of(...bytes, rest);
}

/** RFC 7541 §5.2, not Huffman-coded. */
export const string = (text: string): Buffer => Buffer.concat([integer(text.length, 7), Buffer.from(text, "latin1")]);
/** RFC 7541 §5.2 with the Huffman flag: `hex` is the coded form. */
export const huffman = (hex: string): Buffer =>
  Buffer.concat([integer(hex.length / 2, 7, 0x80), Buffer.from(hex, "hex")]);

/** A literal field without indexing, with a new name. */
export const field = (name: string, value: string): Buffer =>
  Buffer.concat([Buffer.of(0), string(name), string(value)]);
export const fields = (list: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(list.map(([name, value]) => field(name, value)));

/** A request's fields: what HTTP/2 wants of each, and `more` behind them. */
export function request(path = "/", ...more: readonly (readonly [string, string])[]): Buffer {
  return fields([[":method", "GET"], [":scheme", "http"], [":path", path], [":authority", "a"], ...more]);
}

export function post(path = "/", ...more: readonly (readonly [string, string])[]): Buffer {
  return fields([[":method", "POST"], [":scheme", "http"], [":path", path], [":authority", "a"], ...more]);
}
