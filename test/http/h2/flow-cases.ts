/**
 * Windows and header blocks in more than one frame, after sections 6.9 and 6.10 of h2spec's http2 group: each case is
 * written from its description and the section that it names; nothing is copied.
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
  headers,
  padded,
  post,
  request,
  settings,
  types,
  windowUpdate,
} from "./frames.ts";

const protocolError = ["GOAWAY PROTOCOL_ERROR"];
const frameSizeError = ["GOAWAY FRAME_SIZE_ERROR"];
const flowControlError = ["GOAWAY FLOW_CONTROL_ERROR"];
const open = (path = "/wait"): Buffer => headers(1, post(path), flags.endHeaders);
const cut = (stream = 1): Buffer => headers(stream, request("/wait"), flags.endStream);
const rest = (stream = 1, flag: number = flags.endHeaders): Buffer => continuation(stream, field("x-more", "y"), flag);
const windowMax = 2 ** 31 - 1;
/** SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2). */
const initialWindow = 4;

const windows: readonly Case[] = [
  {
    origin: "http2 6.9.1",
    section: "6.9",
    what: "WINDOW_UPDATE by 0 of the connection",
    send: [windowUpdate(0, 0)],
    wants: protocolError,
  },
  {
    origin: "http2 6.9.2",
    section: "6.9",
    what: "WINDOW_UPDATE by 0 of a stream",
    send: [open(), windowUpdate(1, 0)],
    wants: ["RST_STREAM 1 PROTOCOL_ERROR", ...protocolError],
  },
  {
    origin: "http2 6.9.3",
    section: "6.9",
    what: "WINDOW_UPDATE of three bytes",
    send: [frame(types.windowUpdate, 0, 0, "\0\0\x01")],
    wants: frameSizeError,
  },
  {
    origin: "http2 6.9.1.1",
    section: "6.9.1",
    what: "no more DATA than the window",
    send: [settings([initialWindow, 1]), headers(1, request()), "data"],
    wants: ["200 1 …"],
  },
  {
    origin: "http2 6.9.1.2",
    section: "6.9.1",
    what: "the connection's window over 2^31-1",
    send: [windowUpdate(0, windowMax), windowUpdate(0, windowMax)],
    wants: flowControlError,
  },
  {
    origin: "http2 6.9.1.3",
    section: "6.9.1",
    what: "a stream's window over 2^31-1",
    send: [headers(1, request("/wait")), windowUpdate(1, windowMax), windowUpdate(1, windowMax)],
    wants: ["RST_STREAM 1 FLOW_CONTROL_ERROR", ...flowControlError],
  },
  {
    origin: "http2 6.9.2.1",
    section: "6.9.2",
    what: "a new initial window counts for open streams",
    send: [settings([initialWindow, 0]), headers(1, request()), "settled", settings([initialWindow, 1]), "data"],
    wants: ["200 1 …"],
  },
  {
    origin: "http2 6.9.2.2",
    section: "6.9.2",
    what: "a window may become negative",
    send: [
      settings([initialWindow, 3]),
      headers(1, request()),
      "data",
      settings([initialWindow, 2]),
      "settled",
      windowUpdate(1, 2),
      "data",
    ],
    wants: ["200 3+1 …"],
  },
  {
    origin: "http2 6.9.2.3",
    section: "6.9.2",
    what: "an initial window of 2^32-1",
    send: [settings([initialWindow, 2 ** 32 - 1])],
    wants: flowControlError,
  },
];

const continuations: readonly Case[] = [
  {
    origin: "http2 6.10.1",
    section: "6.10",
    what: "CONTINUATION twice behind HEADERS",
    send: [headers(1, request(), flags.endStream), rest(1, flags.none), rest(), "answer"],
    wants: ["200 5"],
  },
  {
    origin: "http2 6.10.2",
    section: "6.10",
    what: "another frame inside a block",
    send: [headers(1, post("/wait"), flags.none), data(1, "test")],
    wants: protocolError,
  },
  {
    origin: "http2 6.10.3",
    section: "6.10",
    what: "CONTINUATION on stream 0",
    send: [cut(), rest(0)],
    wants: protocolError,
  },
  {
    origin: "http2 6.10.4",
    section: "6.10",
    what: "CONTINUATION behind a whole HEADERS",
    send: [open(), rest()],
    wants: protocolError,
  },
  {
    origin: "http2 6.10.5",
    section: "6.10",
    what: "CONTINUATION behind the block's last",
    send: [cut(), rest(), rest()],
    wants: protocolError,
  },
  {
    origin: "http2 6.10.6",
    section: "6.10",
    what: "CONTINUATION behind DATA",
    send: [open(), data(1, padded("test", 0), flags.padded), rest()],
    wants: protocolError,
  },
];

export const flowCases: readonly Case[] = [...windows, ...continuations];
