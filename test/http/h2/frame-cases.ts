/**
 * Each type of frame where it must not be, of a wrong size or with wrong contents, after section 6.1 to 6.8 of h2spec's
 * http2 group: each case is written from its description and the section that it names; nothing is copied.
 *
 *   conformance.test.ts ─▶ each case ─▶ peer.ts
 */
import type { Case } from "./peer.ts";
import {
  continuation,
  data,
  field,
  flags,
  frame,
  goaway,
  headers,
  ping,
  post,
  priority,
  request,
  rstStream,
  settings,
  types,
  uint32,
  whole,
} from "./frames.ts";

const protocolError = ["GOAWAY PROTOCOL_ERROR"];
const frameSizeError = ["GOAWAY FRAME_SIZE_ERROR"];
const flowControlError = ["GOAWAY FLOW_CONTROL_ERROR"];
const open = (path = "/wait"): Buffer => headers(1, post(path), flags.endHeaders);
const cut = (stream = 1): Buffer => headers(stream, request("/wait"), flags.endStream);
const rest = (stream = 1, flag: number = flags.endHeaders): Buffer => continuation(stream, field("x-more", "y"), flag);
/** The padding's length is one byte more than what is there. */
const overPadded = (payload: Buffer): Buffer => Buffer.concat([Buffer.of(payload.length + 1), payload]);
const windowMax = 2 ** 31 - 1;
/** By their numbers in RFC 9113 §6.5.2. */
const id = { enablePush: 2, concurrentStreamsMax: 3, initialWindow: 4, frameBytesMax: 5 } as const;

const bodies: readonly Case[] = [
  { origin: "http2 6.1.1", section: "6.1", what: "DATA on stream 0", send: [data(0, "test")], wants: protocolError },
  {
    origin: "http2 6.1.2",
    section: "6.1",
    what: "DATA behind the end of the stream",
    send: [headers(1, post("/wait")), data(1, "test")],
    wants: ["RST_STREAM 1 STREAM_CLOSED", "GOAWAY STREAM_CLOSED"],
  },
  {
    origin: "http2 6.1.3",
    section: "6.1",
    what: "DATA with more padding than bytes",
    send: [open(), data(1, overPadded(Buffer.from("test")), flags.endStream | flags.padded)],
    wants: protocolError,
  },
  {
    origin: "http2 6.2.1",
    section: "6.2",
    what: "HEADERS without an end, then PRIORITY",
    send: [cut(), priority(1, { dependency: 0 }), rest()],
    wants: protocolError,
  },
  {
    origin: "http2 6.2.2",
    section: "6.2",
    what: "HEADERS without an end, then those of another stream",
    send: [cut(1), cut(3), rest(1)],
    wants: protocolError,
  },
  {
    origin: "http2 6.2.3",
    section: "6.2",
    what: "HEADERS on stream 0",
    send: [headers(0, request("/wait"))],
    wants: protocolError,
  },
  {
    origin: "http2 6.2.4",
    section: "6.2",
    what: "HEADERS with more padding than bytes",
    send: [headers(1, overPadded(request("/wait")), whole | flags.padded)],
    wants: protocolError,
  },
  {
    origin: "http2 6.3.1",
    section: "6.3",
    what: "PRIORITY on stream 0",
    send: [priority(0, { dependency: 1 })],
    wants: protocolError,
  },
  {
    origin: "http2 6.3.2",
    section: "6.3",
    what: "PRIORITY of four bytes",
    send: [frame(types.priority, 0, 1, uint32(0x8000_0001))],
    wants: ["RST_STREAM 1 FRAME_SIZE_ERROR", ...frameSizeError],
  },
  { origin: "http2 6.4.1", section: "6.4", what: "RST_STREAM on stream 0", send: [rstStream(0)], wants: protocolError },
  {
    origin: "http2 6.4.2",
    section: "6.4",
    what: "RST_STREAM on an idle stream",
    send: [rstStream(1)],
    wants: protocolError,
  },
  {
    origin: "http2 6.4.3",
    section: "6.4",
    what: "RST_STREAM of three bytes",
    send: [open(), frame(types.rstStream, 0, 1, "\0\0\0")],
    wants: frameSizeError,
  },
];

const settingsCases: readonly Case[] = [
  {
    origin: "http2 6.5.1",
    section: "6.5",
    what: "an acknowledgement with a payload",
    send: [frame(types.settings, flags.ack, 0, "\0")],
    wants: frameSizeError,
  },
  {
    origin: "http2 6.5.2",
    section: "6.5",
    what: "SETTINGS on a stream",
    send: [frame(types.settings, 0, 1, settings([id.concurrentStreamsMax, 100]).subarray(9))],
    wants: protocolError,
  },
  {
    origin: "http2 6.5.3",
    section: "6.5",
    what: "SETTINGS of three bytes",
    send: [frame(types.settings, 0, 0, "\0\x03\0")],
    wants: frameSizeError,
  },
  {
    origin: "http2 6.5.2.1",
    section: "6.5.2",
    what: "ENABLE_PUSH neither 0 nor 1",
    send: [settings([id.enablePush, 2])],
    wants: protocolError,
  },
  {
    origin: "http2 6.5.2.2",
    section: "6.5.2",
    what: "INITIAL_WINDOW_SIZE over 2^31-1",
    send: [settings([id.initialWindow, windowMax + 1])],
    wants: flowControlError,
  },
  {
    origin: "http2 6.5.2.3",
    section: "6.5.2",
    what: "MAX_FRAME_SIZE under 16,384",
    send: [settings([id.frameBytesMax, 16_383])],
    wants: protocolError,
  },
  {
    origin: "http2 6.5.2.4",
    section: "6.5.2",
    what: "MAX_FRAME_SIZE over 2^24-1",
    send: [settings([id.frameBytesMax, 2 ** 24])],
    wants: protocolError,
  },
  {
    origin: "http2 6.5.2.5",
    section: "6.5.2",
    what: "a setting that does not exist",
    send: [settings([0xff, 1])],
    wants: ["ignored"],
    wantsAcks: ["settings"],
  },
  {
    origin: "http2 6.5.3.1",
    section: "6.5.3",
    what: "the same setting twice: the last one holds",
    send: [settings([id.initialWindow, 100], [id.initialWindow, 1]), headers(1, request()), "data"],
    wants: ["200 1 …"],
  },
  {
    origin: "http2 6.5.3.2",
    section: "6.5.3",
    what: "each SETTINGS is acknowledged",
    send: [settings(), settings()],
    wants: ["ignored"],
    wantsAcks: ["settings", "settings"],
  },
];

const pings: readonly Case[] = [
  {
    origin: "http2 6.7.1",
    section: "6.7",
    what: "PING is answered with its own bytes",
    send: [ping("\0\x01\x02\x03\xfc\xfd\xfe\xff")],
    wants: ["ignored"],
    wantsAcks: ["\0\x01\x02\x03\xfc\xfd\xfe\xff"],
  },
  {
    origin: "http2 6.7.2",
    section: "6.7",
    what: "an acknowledgement is not answered",
    send: [ping("unasked!", flags.ack), ping("wherry!!")],
    wants: ["ignored"],
    wantsAcks: ["wherry!!"],
  },
  {
    origin: "http2 6.7.3",
    section: "6.7",
    what: "PING on a stream",
    send: [ping("wherry!!", flags.none, 1)],
    wants: protocolError,
  },
  { origin: "http2 6.7.4", section: "6.7", what: "PING of six bytes", send: [ping("wherry")], wants: frameSizeError },
  { origin: "http2 6.8.1", section: "6.8", what: "GOAWAY on a stream", send: [goaway(1)], wants: protocolError },
];

export const frameCases: readonly Case[] = [...bodies, ...settingsCases, ...pings];
