/**
 * The preface, frame sizes, header blocks and the states of streams, after sections 3 to 5 of h2spec's http2 group:
 * each case is written from its description and the section that it names; nothing is copied.
 *
 *   conformance.test.ts ─▶ each case ─▶ peer.ts
 *
 * `/wait` is never answered, so that the state of its stream is known.
 */
import { type Case, streamsMax } from "./peer.ts";
import {
  continuation,
  data,
  field,
  flags,
  frame,
  headers,
  ping,
  post,
  preface,
  priority,
  priorityBytes,
  request,
  rstStream,
  settings,
  types,
  whole,
  windowUpdate,
} from "./frames.ts";

const protocolError = ["GOAWAY PROTOCOL_ERROR"];
const ignored = ["ignored"];
const ok = ["200 5"];
const open = (stream = 1, path = "/wait"): Buffer => headers(stream, post(path), flags.endHeaders);
/** Without the end of the block. */
const cut = (stream = 1): Buffer => headers(stream, request("/wait"), flags.endStream);
const rest = (stream = 1): Buffer => continuation(stream, field("x-more", "y"));
const closedStream = (stream: number): readonly string[] => [
  `RST_STREAM ${stream} STREAM_CLOSED`,
  "GOAWAY STREAM_CLOSED",
];
const dependsOnItself = headers(
  1,
  Buffer.concat([priorityBytes({ dependency: 1 }), request()]),
  whole | flags.priority,
);

const framing: readonly Case[] = [
  {
    origin: "http2 3.5.1",
    section: "3.4",
    what: "the preface and a first SETTINGS",
    isBare: true,
    send: [preface, settings([4, 1000])],
    wants: ignored,
  },
  {
    origin: "http2 3.5.2",
    section: "3.4",
    what: "another preface",
    isBare: true,
    send: [Buffer.from("INVALID CONNECTION PREFACE\r\n\r\n"), settings()],
    wants: ["GOAWAY PROTOCOL_ERROR", "close"],
  },
  {
    origin: "http2 4.1.1",
    section: "4.1",
    what: "a frame of an unknown type",
    send: [frame(types.unknown, 0, 0, "12345678"), ping("wherry!!")],
    wants: ignored,
    wantsAcks: ["wherry!!"],
  },
  {
    origin: "http2 4.1.2",
    section: "4.1",
    what: "a PING with flags that do not exist",
    send: [ping("wherry!!", 0x16)],
    wants: ignored,
    wantsAcks: ["wherry!!"],
  },
  {
    origin: "http2 4.1.3",
    section: "4.1",
    what: "a PING with the reserved bit of the stream",
    send: [ping("wherry!!", flags.none, 0x8000_0000)],
    wants: ignored,
    wantsAcks: ["wherry!!"],
  },
  {
    origin: "http2 4.2.1",
    section: "4.2",
    what: "DATA of 16,384 bytes",
    send: [open(1, "/"), data(1, Buffer.alloc(16_384)), "answer"],
    wants: ok,
  },
  {
    origin: "http2 4.2.2",
    section: "4.2",
    what: "DATA of 16,385 bytes",
    send: [open(), data(1, Buffer.alloc(16_385))],
    wants: ["RST_STREAM 1 FRAME_SIZE_ERROR", "GOAWAY FRAME_SIZE_ERROR"],
  },
  {
    origin: "http2 4.2.3",
    section: "4.2",
    what: "HEADERS of over 16,384 bytes",
    send: [headers(1, Buffer.concat([request(), field("x-long", "y".repeat(16_384))]))],
    wants: ["GOAWAY FRAME_SIZE_ERROR"],
  },
  {
    origin: "http2 4.3.1",
    section: "4.3",
    what: "a block that cannot be decoded",
    // A literal to be indexed whose name of ten bytes is not there.
    send: [headers(1, Buffer.from("400a", "hex"))],
    wants: ["GOAWAY COMPRESSION_ERROR"],
  },
  {
    origin: "http2 4.3.2",
    section: "4.3",
    what: "PRIORITY inside a block",
    send: [cut(), priority(1, { dependency: 0 }), rest()],
    wants: protocolError,
  },
  {
    origin: "http2 4.3.3",
    section: "4.3",
    what: "HEADERS of another stream inside a block",
    send: [cut(1), cut(3), rest(1)],
    wants: protocolError,
  },
];

const states: readonly Case[] = [
  {
    origin: "http2 5.1.1",
    section: "5.1",
    what: "DATA on an idle stream",
    send: [data(1, "test")],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.2",
    section: "5.1",
    what: "RST_STREAM on an idle stream",
    send: [rstStream(1)],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.3",
    section: "5.1",
    what: "WINDOW_UPDATE on an idle stream",
    send: [windowUpdate(1, 100)],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.4",
    section: "5.1",
    what: "CONTINUATION on an idle stream",
    send: [continuation(1, request())],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.5",
    section: "5.1",
    what: "DATA on a half-closed stream",
    send: [headers(1, request("/wait")), data(1, "test")],
    wants: closedStream(1),
  },
  {
    origin: "http2 5.1.6",
    section: "5.1",
    what: "HEADERS on a half-closed stream",
    send: [headers(1, request("/wait")), headers(1, request("/wait"))],
    wants: closedStream(1),
  },
  {
    origin: "http2 5.1.7",
    section: "5.1",
    what: "CONTINUATION on a half-closed stream",
    send: [headers(1, request("/wait")), rest()],
    wants: [...closedStream(1), ...protocolError],
  },
  {
    origin: "http2 5.1.8",
    section: "5.1",
    what: "DATA behind one's own RST_STREAM",
    send: [open(), rstStream(1), data(1, "test")],
    wants: closedStream(1),
  },
  {
    origin: "http2 5.1.9",
    section: "5.1",
    what: "HEADERS behind one's own RST_STREAM",
    send: [open(), rstStream(1), headers(1, request("/wait"))],
    wants: closedStream(1),
  },
  {
    origin: "http2 5.1.10",
    section: "5.1",
    what: "CONTINUATION behind one's own RST_STREAM",
    send: [open(), rstStream(1), rest()],
    wants: [...closedStream(1), ...protocolError],
  },
  {
    origin: "http2 5.1.11",
    section: "5.1",
    what: "DATA on a stream that has closed",
    send: [headers(1, request()), "answer", data(1, "test")],
    wants: closedStream(1),
  },
  {
    origin: "http2 5.1.12",
    section: "5.1",
    what: "HEADERS on a stream that has closed",
    send: [headers(1, request()), "answer", headers(1, request("/wait"))],
    wants: ["GOAWAY STREAM_CLOSED"],
  },
  {
    origin: "http2 5.1.13",
    section: "5.1",
    what: "CONTINUATION on a stream that has closed",
    send: [headers(1, request()), "answer", rest()],
    wants: ["GOAWAY STREAM_CLOSED", ...protocolError],
  },
  {
    origin: "http2 5.1.1.1",
    section: "5.1.1",
    what: "a stream with an even number",
    send: [headers(2, request("/wait"))],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.1.2",
    section: "5.1.1",
    what: "a stream with a lower number than the one before",
    send: [headers(5, request("/wait")), headers(3, request("/wait"))],
    wants: protocolError,
  },
  {
    origin: "http2 5.1.2.1",
    section: "5.1.2",
    what: "a stream more than allowed",
    send: [
      Buffer.concat(Array.from({ length: streamsMax + 1 }, (_, index) => headers(2 * index + 1, request("/wait")))),
    ],
    wants: [
      `RST_STREAM ${2 * streamsMax + 1} PROTOCOL_ERROR`,
      `RST_STREAM ${2 * streamsMax + 1} REFUSED_STREAM`,
      ...protocolError,
    ],
  },
];

const others: readonly Case[] = [
  {
    origin: "http2 5.3.1.1",
    section: "5.3.1",
    what: "HEADERS that depend on their own stream",
    send: [dependsOnItself, "answer"],
    // RFC 7540 wanted an error; RFC 9113 §5.3.2 has endpoints ignore what priorities say.
    wants: [...ok, ...protocolError],
  },
  {
    origin: "http2 5.3.1.2",
    section: "5.3.1",
    what: "PRIORITY that depends on its own stream",
    send: [priority(2, { dependency: 2 })],
    wants: ignored,
  },
  {
    origin: "http2 5.4.1.1",
    section: "5.4.1",
    what: "a PING of a wrong stream closes the connection",
    send: [ping("wherry!!", flags.none, 3)],
    wants: protocolError,
  },
  {
    origin: "http2 5.4.1.2",
    section: "5.4.1",
    what: "GOAWAY comes before the connection closes",
    send: [headers(1, request()), "answer", ping("wherry!!", flags.none, 3)],
    wants: protocolError,
  },
  {
    origin: "http2 5.5.1",
    section: "5.5",
    what: "a frame of an unknown extension",
    send: [frame(types.unknown, 0, 0, "12345678")],
    wants: ignored,
  },
  {
    origin: "http2 5.5.2",
    section: "5.5",
    what: "a frame of an unknown extension inside a block",
    send: [cut(), frame(types.unknown, 0, 0, "12345678")],
    wants: protocolError,
  },
];

export const streamCases: readonly Case[] = [...framing, ...states, ...others];
