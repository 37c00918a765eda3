/**
 * Servers that misbehave towards the engine as a client: after the client group of h2spec and section 8 of RFC 9113.
 * Each case is written from its description and the section that it names; nothing is copied.
 *
 *   client.test.ts ─▶ each case ─▶ client-peer.ts
 *
 * Streams 1 and 3 are requests that wait; `send` is what comes instead of an answer to stream 1.
 */
import {
  continuation,
  data,
  fields,
  flags,
  frame,
  goaway,
  headers,
  integer,
  padded,
  ping,
  priority,
  priorityBytes,
  rstStream,
  settings,
  types,
  uint32,
  windowUpdate,
} from "./frames.ts";

export interface ClientCase {
  readonly section: string;
  readonly what: string;
  readonly send: readonly Buffer[];
  /** The first error that the engine tells: "GOAWAY CODE", "RST_STREAM STREAM CODE", "close"; or "nothing". */
  readonly tells: readonly string[];
  /** "STATUS FLAG" of the request on stream 1; "cut": its response had begun. */
  readonly answer: string;
  /** Of the one on stream 3; default 200 where the error is of one stream, else 502 UPE, as in Envoy. */
  readonly other?: string;
}

type Wanted = Omit<ClientCase, "section" | "what" | "send">;

const { endHeaders, endStream } = flags;
const response = (...more: readonly (readonly [string, string])[]): Buffer => fields([[":status", "200"], ...more]);
const ok = headers(1, response());
const okHead = headers(1, response(), endHeaders);

const broken = (code: string): Wanted => ({
  tells: [`GOAWAY ${code}`],
  answer: "502 UPE",
});
const protocol = broken("PROTOCOL_ERROR");
const size = broken("FRAME_SIZE_ERROR");
const flow = broken("FLOW_CONTROL_ERROR");
const compression = broken("COMPRESSION_ERROR");
/** Passed over: what is behind it is the answer. */
const fine: Wanted = { tells: ["nothing"], answer: "200 -" };
const malformed: Wanted = { tells: ["RST_STREAM 1 PROTOCOL_ERROR"], answer: "502 UPE" };

const cut = (wanted: Wanted): Wanted => ({ ...wanted, answer: "cut" });

const row = (section: string, what: string, send: readonly Buffer[], wants: Wanted): ClientCase => ({
  section,
  what,
  send,
  ...wants,
});

export const clientCases: readonly ClientCase[] = [
  row("4.1", "a frame of an unknown type", [frame(types.unknown, 0, 0, "x"), ok], fine),
  row("4.1", "a PING with flags that nobody knows", [ping("12345678", 0x16), ok], fine),
  row("4.2", "DATA longer than SETTINGS_MAX_FRAME_SIZE", [okHead, data(1, Buffer.alloc(16_385))], cut(size)),
  row("4.2", "HEADERS longer than SETTINGS_MAX_FRAME_SIZE", [headers(1, Buffer.alloc(16_385))], size),
  row("4.3", "a header block that cannot be decoded", [headers(1, integer(70, 7, 0x80))], compression),
  row("4.3", "PRIORITY inside a header block", [headers(1, response(), 0), priority(1, { dependency: 0 })], protocol),
  row("4.3", "HEADERS of another stream inside a block", [headers(1, response(), 0), headers(3, response())], protocol),
  row("5.1", "DATA on an idle stream", [data(5, "x")], protocol),
  row("5.1", "RST_STREAM on an idle stream", [rstStream(5)], protocol),
  row("5.1", "WINDOW_UPDATE on an idle stream", [windowUpdate(5, 1)], protocol),
  row("5.1", "CONTINUATION on an idle stream", [continuation(5, response())], protocol),
  row("5.1.1", "HEADERS that open a stream", [headers(2, response())], protocol),
  row("5.3.1", "a stream that depends on itself", [priority(1, { dependency: 1 }), ok], fine),
  row("5.5", "an unknown frame inside a block", [headers(1, response(), 0), frame(types.unknown, 0, 1)], protocol),
  row("6.1", "DATA on stream 0", [data(0, "x")], protocol),
  row(
    "6.1",
    "DATA padded beyond its end",
    [okHead, frame(types.data, flags.padded | endStream, 1, "\x06x")],
    cut(protocol),
  ),
  row("6.1", "DATA before HEADERS", [data(1, "x")], protocol),
  row("6.2", "HEADERS on stream 0", [headers(0, response())], protocol),
  row(
    "6.2",
    "HEADERS padded beyond their end",
    [frame(types.headers, flags.padded | endHeaders, 1, "\x09x")],
    protocol,
  ),
  row(
    "6.2",
    "HEADERS with padding and priority",
    [
      frame(
        types.headers,
        flags.padded | flags.priority | endHeaders | endStream,
        1,
        padded(Buffer.concat([priorityBytes({ dependency: 0 }), response()]), 3),
      ),
    ],
    fine,
  ),
  // nghttp2 has no priorities any more, here as in Envoy.
  row("6.3", "PRIORITY on stream 0", [priority(0, { dependency: 1 }), ok], fine),
  row("6.3", "PRIORITY of four bytes", [frame(types.priority, 0, 1, "1234")], size),
  row("6.4", "RST_STREAM on stream 0", [rstStream(0)], protocol),
  row("6.4", "RST_STREAM of three bytes", [frame(types.rstStream, 0, 1, "123")], size),
  row("6.4", "RST_STREAM, INTERNAL_ERROR", [rstStream(1, 2)], { tells: ["nothing"], answer: "503 UR" }),
  row("6.4", "RST_STREAM, REFUSED_STREAM", [rstStream(1, 7)], { tells: ["nothing"], answer: "503 UR" }),
  row("6.4", "RST_STREAM, NO_ERROR, without a response", [rstStream(1, 0)], { tells: ["nothing"], answer: "503 UR" }),
  row("6.5", "SETTINGS that acknowledge with a payload", [frame(types.settings, flags.ack, 0, "123456")], size),
  row("6.5", "SETTINGS on a stream", [frame(types.settings, 0, 1)], protocol),
  row("6.5", "SETTINGS of three bytes", [frame(types.settings, 0, 0, "123")], size),
  row("6.5", "SETTINGS with 33 entries", [settings(...Array.from({ length: 33 }, () => [0x99, 1] as const))], {
    tells: ["GOAWAY ENHANCE_YOUR_CALM", "close"],
    answer: "502 UPE",
  }),
  row("6.5.2", "SETTINGS_ENABLE_PUSH of a server", [settings([2, 1])], protocol),
  row("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1", [settings([4, 2 ** 31])], flow),
  row("6.5.2", "SETTINGS_MAX_FRAME_SIZE below 16,384", [settings([5, 16_383])], protocol),
  row("6.5.2", "SETTINGS_MAX_FRAME_SIZE above 2^24-1", [settings([5, 2 ** 24])], protocol),
  row("6.5.2", "a setting that nobody knows", [settings([0x99, 1]), ok], fine),
  row(
    "6.6",
    "PUSH_PROMISE, which was not allowed",
    [frame(types.pushPromise, endHeaders, 1, Buffer.concat([uint32(2), fields([[":method", "GET"]])]))],
    protocol,
  ),
  row("6.7", "PING on a stream", [ping("12345678", 0, 1)], protocol),
  row("6.7", "PING of six bytes", [ping("123456")], size),
  // node:http2's rule, which RFC 9113 does not have.
  row("6.7", "a PING's acknowledgement that nobody asked for", [ping("12345678", flags.ack)], broken("INTERNAL_ERROR")),
  row("6.8", "GOAWAY on a stream", [frame(types.goaway, 0, 1, Buffer.alloc(8))], protocol),
  row("6.8", "GOAWAY that has not looked at the stream", [goaway(0)], {
    tells: ["nothing", "close"],
    answer: "503 UR",
    other: "503 UR",
  }),
  row("6.9", "WINDOW_UPDATE of 0 on the connection", [windowUpdate(0, 0)], protocol),
  row("6.9", "WINDOW_UPDATE of 0 on a stream", [windowUpdate(1, 0)], protocol),
  row("6.9", "WINDOW_UPDATE of three bytes", [frame(types.windowUpdate, 0, 0, "123")], size),
  row("6.9.1", "a window of the connection above 2^31-1", [windowUpdate(0, 2 ** 31 - 1)], flow),
  row("6.9.1", "a window of a stream above 2^31-1", [windowUpdate(1, 2 ** 31 - 1)], flow),
  row(
    "6.10",
    "a header block in three frames",
    [
      headers(1, fields([[":status", "200"]]), endStream),
      continuation(1, fields([["a", "b"]]), 0),
      continuation(1, fields([["c", "d"]])),
    ],
    fine,
  ),
  row("6.10", "CONTINUATION behind a whole block", [okHead, continuation(1, fields([["a", "b"]]))], cut(protocol)),
  row("6.10", "CONTINUATION on stream 0", [headers(1, response(), 0), continuation(0, response())], protocol),
  row(
    "6.10",
    "2,000 CONTINUATIONs without an end",
    [
      headers(1, response(), 0),
      ...Array.from({ length: 2000 }, () => continuation(1, fields([["a", "b".repeat(100)]]), 0)),
    ],
    {
      tells: ["RST_STREAM 1 INTERNAL_ERROR"],
      other: "502 UPE",
      answer: "502 UPE",
    },
  ),
  row("8.1", "trailers that end no stream", [okHead, headers(1, fields([["a", "b"]]), endHeaders)], cut(malformed)),
  row("8.1", "1xx that ends the stream", [headers(1, fields([[":status", "100"]]))], malformed),
  row(
    "8.1",
    "17 interim responses",
    Array.from({ length: 17 }, () => headers(1, fields([[":status", "103"]]), endHeaders)),
    { tells: ["RST_STREAM 1 CANCEL"], answer: "502 UPE" },
  ),
  row("8.2.1", "a name in upper case", [headers(1, response(["X-A", "b"]))], malformed),
  // nghttp2 drops the field, and nothing of it goes on.
  row("8.2.1", "a line break in a value", [headers(1, response(["x-a", "b\r\nc: d"]))], fine),
  row("8.2.2", "a header for one connection", [headers(1, response(["connection", "close"]))], malformed),
  row("8.3", "no :status", [headers(1, fields([["x-a", "b"]]))], malformed),
  row("8.3", ":status twice", [headers(1, response([":status", "200"]))], malformed),
  row("8.3", "a :status of letters", [headers(1, fields([[":status", "abc"]]))], malformed),
  row("8.3", "a pseudo-header of a request", [headers(1, response([":path", "/"]))], malformed),
  row(
    "8.3",
    "a pseudo-header behind others",
    [
      headers(
        1,
        fields([
          ["x-a", "b"],
          [":status", "200"],
        ]),
      ),
    ],
    malformed,
  ),
  row(
    "8.1.1",
    "a body longer than Content-Length",
    [headers(1, response(["content-length", "1"]), endHeaders), data(1, "xy")],
    // node:http2 ends the whole connection, as in ../differences.ts.
    cut(broken("INTERNAL_ERROR")),
  ),
  row(
    "8.1.1",
    "Content-Length twice",
    [headers(1, response(["content-length", "0"], ["content-length", "1"]))],
    malformed,
  ),
  row("10.5", "500 empty SETTINGS", Array.from({ length: 500 }, () => settings()).concat(ok), fine),
  row("10.5", "500 PINGs", Array.from({ length: 500 }, () => ping("12345678")).concat(ok), fine),
  row("3.4", "bytes that are no frames", [Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")], {
    tells: ["GOAWAY FRAME_SIZE_ERROR", "GOAWAY PROTOCOL_ERROR"],
    answer: "502 UPE",
  }),
];
