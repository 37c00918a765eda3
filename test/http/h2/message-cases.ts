/**
 * Requests that are malformed although their frames are not, after sections 7 and 8 of h2spec's http2 group: each case
 * is written from its description and the section that it names; nothing is copied. The cases of "rfc9113" are ours:
 * what section 8 demands and h2spec does not ask.
 *
 *   conformance.test.ts ─▶ each case ─▶ peer.ts
 *
 * None of them may reach an upstream as a whole request.
 */
import type { Case, Step } from "./peer.ts";
import {
  data,
  field,
  fields,
  flags,
  frame,
  goaway,
  headers,
  post,
  request,
  rstStream,
  types,
  uint32,
} from "./frames.ts";

type Pairs = readonly (readonly [string, string])[];

const streamError = ["RST_STREAM 1 PROTOCOL_ERROR", "GOAWAY PROTOCOL_ERROR"];
const open = (...more: Pairs): Buffer => headers(1, post("/", ...more), flags.endHeaders);
const unknownCode = 0xff;

const codes: readonly Case[] = [
  {
    origin: "http2 7.1",
    section: "7",
    what: "GOAWAY with a code that does not exist",
    send: [goaway(0, unknownCode)],
    wants: ["ignored", "close"],
  },
  {
    origin: "http2 7.2",
    section: "7",
    what: "RST_STREAM with a code that does not exist",
    send: [open(), rstStream(1, unknownCode)],
    wants: ["ignored"],
  },
];

/** Heads alone; each is a stream error (RFC 9113 §8.1.1), or an answer of 400 where the last column says so. */
const heads: ReadonlyArray<readonly [origin: string, section: string, what: string, send: Buffer, isAnswered?: true]> =
  [
    ["http2 8.1.2.1", "8.2.1", "a name with capitals", request("/", ["X-Test", "a"])],
    ["http2 8.1.2.1.1", "8.3", "a pseudo-header that does not exist", withFirst([":test", "a"])],
    ["http2 8.1.2.1.2", "8.3", "a response's pseudo-header", withFirst([":status", "200"])],
    [
      "http2 8.1.2.1.4",
      "8.3",
      "a pseudo-header behind a field",
      plain([":method", "GET"], ["x-test", "a"], [":path", "/"]),
    ],
    ["http2 8.1.2.2.1", "8.2.2", "connection", request("/", ["connection", "keep-alive"])],
    ["http2 8.1.2.2.2", "8.2.2", "te other than trailers", request("/", ["te", "trailers, deflate"])],
    ["http2 8.1.2.3.1", "8.3.1", "an empty path", plain([":method", "GET"], [":path", ""])],
    ["http2 8.1.2.3.2", "8.3.1", "no method", plain([":path", "/"])],
    [
      "http2 8.1.2.3.3",
      "8.3.1",
      "no scheme",
      fields([
        [":method", "GET"],
        [":path", "/"],
        [":authority", "a"],
      ]),
    ],
    ["http2 8.1.2.3.4", "8.3.1", "no path", plain([":method", "GET"])],
    ["http2 8.1.2.3.5", "8.3.1", "two methods", withFirst([":method", "GET"])],
    ["http2 8.1.2.3.6", "8.3.1", "two schemes", withFirst([":scheme", "http"])],
    ["http2 8.1.2.3.7", "8.3.1", "two paths", withFirst([":path", "/"])],
    ["rfc9113 1", "8.2.1", "a line feed in a value", request("/", ["x-test", "a\nb"])],
    ["rfc9113 2", "8.2.1", "CRLF and a field in a value", request("/", ["x-test", "a\r\nx-evil: b"])],
    ["rfc9113 3", "8.2.1", "NUL in a value", request("/", ["x-test", "a\0b"])],
    ["rfc9113 4", "8.2.1", "a colon in a name", request("/", ["x:test", "a"])],
    ["rfc9113 5", "8.2.1", "a space in a name", request("/", ["x test", "a"])],
    ["rfc9113 6", "8.2.1", "CRLF in a name", request("/", ["x\r\ny", "a"])],
    ["rfc9113 7", "8.2.1", "an empty name", request("/", ["", "a"])],
    ["rfc9113 8", "8.2.2", "transfer-encoding", request("/", ["transfer-encoding", "chunked"])],
    ["rfc9113 9", "8.2.2", "upgrade", request("/", ["upgrade", "h2c"])],
    ["rfc9113 10", "8.2.2", "keep-alive", request("/", ["keep-alive", "timeout=5"])],
    ["rfc9113 11", "8.2.2", "proxy-connection", request("/", ["proxy-connection", "keep-alive"])],
    ["rfc9113 12", "8.1.1", "two content-lengths", request("/", ["content-length", "0"], ["content-length", "0"])],
    ["rfc9113 13", "8.1.1", "a content-length with a sign", request("/", ["content-length", "+0"])],
    ["rfc9113 14", "8.3.1", "two authorities", withFirst([":authority", "a"])],
    ["rfc9113 15", "8.3.1", "CRLF in the method", plain([":method", "GET / HTTP/1.1\r\nx: y"], [":path", "/"])],
    ["rfc9113 16", "8.3.1", "CRLF in the path", plain([":method", "GET"], [":path", "/ HTTP/1.1\r\nx: y"])],
    ["rfc9113 17", "8.3.1", "a space in the path", plain([":method", "GET"], [":path", "/ HTTP/1.1"]), true],
    ["rfc9113 18", "8.3.1", "a path without a slash", plain([":method", "GET"], [":path", "x"]), true],
    ["rfc9113 19", "8.3.1", "host beside another authority", request("/", ["host", "b"]), true],
    ["rfc9113 20", "8.3.1", "two hosts", request("/", ["host", "a"], ["host", "a"]), true],
    ["rfc9113 21", "8.3.1", "neither authority nor host", withoutAuthority(), true],
    ["rfc9113 22", "8.3.1", "user information in the authority", withAuthority("u@a"), true],
    ["rfc9113 23", "8.3.1", "a slash in the authority", withAuthority("a/b"), true],
    ["rfc9113 24", "8.5", "CONNECT with a path", plain([":method", "CONNECT"], [":path", "/"])],
    ["rfc9113 25", "8.2.1", "white space in front of a value", request("/", ["x-test", " a"])],
    ["rfc9113 26", "8.2.1", "white space behind a value", request("/", ["x-test", "a\t"])],
  ];

const bodies: ReadonlyArray<readonly [origin: string, section: string, what: string, send: readonly Step[]]> = [
  [
    "http2 8.1.1",
    "8.1",
    "a second HEADERS that does not end the stream",
    [open(), headers(1, field("x-sum", "1"), flags.endHeaders)],
  ],
  [
    "http2 8.1.2.1.3",
    "8.1",
    "a pseudo-header in the trailers",
    [open(), data(1, "test", flags.none), headers(1, field(":method", "GET"))],
  ],
  ["http2 8.1.2.6.1", "8.1.1", "content-length is not DATA's", [open(["content-length", "1"]), data(1, "test")]],
  [
    "http2 8.1.2.6.2",
    "8.1.1",
    "content-length is not the sum of DATA's",
    [open(["content-length", "1"]), data(1, "test", flags.none), data(1, "test")],
  ],
  ["rfc9113 27", "8.1.1", "less DATA than content-length", [open(["content-length", "5"]), data(1, "test")]],
  ["rfc9113 28", "8.1.1", "content-length without DATA", [headers(1, post("/", ["content-length", "4"]))]],
  ["rfc9113 29", "8.2.1", "CRLF in a trailer", [open(), headers(1, field("x-sum", "1\r\nx: y"))]],
];

const push: Case = {
  origin: "http2 8.2.1",
  section: "8.4",
  what: "PUSH_PROMISE from a client",
  send: [
    headers(1, request("/wait")),
    frame(types.pushPromise, flags.endHeaders, 1, Buffer.concat([uint32(2), request("/")])),
  ],
  wants: ["GOAWAY PROTOCOL_ERROR"],
};

export const messageCases: readonly Case[] = [
  ...codes,
  ...heads.map(([origin, section, what, block, isAnswered]): Case => ({
    origin,
    section,
    what,
    send: [headers(1, block), "answer"],
    wants: isAnswered === true ? [...streamError, "400"] : streamError,
  })),
  ...bodies.map(([origin, section, what, send]): Case => ({
    origin,
    section,
    what,
    send: [...send, "answer"],
    wants: streamError,
  })),
  push,
];

function withFirst(pair: readonly [string, string]): Buffer {
  return Buffer.concat([fields([pair]), request("/")]);
}

/** Scheme and authority, and `pairs` behind. */
function plain(...pairs: Pairs): Buffer {
  return fields([[":scheme", "http"], [":authority", "a"], ...pairs]);
}

function withoutAuthority(): Buffer {
  return fields([
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
  ]);
}

function withAuthority(authority: string): Buffer {
  return fields([
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", authority],
  ]);
}
