/**
 * What every HTTP/2 endpoint has to take, after the generic group of h2spec: each case is written from its description
 * and the section that it names; nothing is copied.
 *
 *   conformance.test.ts ─▶ each case ─▶ peer.ts
 */
import type { Case } from "./peer.ts";
import {
  continuation,
  data,
  field,
  fields,
  flags,
  frame,
  goaway,
  headers,
  huffman,
  integer,
  padded,
  ping,
  post,
  priority,
  priorityBytes,
  request,
  rstStream,
  settings,
  string,
  types,
  whole,
  windowUpdate,
} from "./frames.ts";

const ok = ["200 5"];
const ignored = ["ignored"];
const more = (index: number): Buffer => field(`x-more-${index}`, "y".repeat(index));
/** :method GET, :scheme http and :path / by their static indices, :authority as a literal that is indexed. */
const indexed = Buffer.concat([Buffer.of(0x82, 0x86, 0x84), Buffer.of(0x41), string("a")]);
const withField = (...parts: readonly Buffer[]): readonly [Buffer, "answer"] => [
  headers(1, Buffer.concat([request(), ...parts])),
  "answer",
];
/** Huffman codes of RFC 7541 C.4: "www.example.com", "custom-key", "custom-value"; the second is a token. */
const customKey = huffman("25a849e95ba97d7f");
const customValue = huffman("25a849e95bb8e8b4bf");

const streams: readonly Case[] = [
  {
    origin: "generic 1.1",
    section: "3.4",
    what: "the preface",
    send: [Buffer.alloc(0)],
    wants: ignored,
  },
  {
    origin: "generic 2.1",
    section: "5.1",
    what: "PRIORITY on an idle stream",
    send: [priority(1, { dependency: 0 })],
    wants: ignored,
  },
  {
    origin: "generic 2.2",
    section: "5.1",
    what: "WINDOW_UPDATE on a half-closed stream",
    send: [settings([4, 0]), headers(1, request()), "settled", windowUpdate(1, 100), "answer"],
    wants: ok,
  },
  {
    origin: "generic 2.3",
    section: "5.1",
    what: "PRIORITY on a half-closed stream",
    send: [settings([4, 0]), headers(1, request()), priority(1, { dependency: 0 }), windowUpdate(1, 100), "answer"],
    wants: ok,
  },
  {
    origin: "generic 2.4",
    section: "5.1",
    what: "RST_STREAM on a half-closed stream",
    send: [headers(1, request("/wait")), rstStream(1)],
    wants: ignored,
  },
  {
    origin: "generic 2.5",
    section: "5.1",
    what: "PRIORITY on a closed stream",
    send: [headers(1, request()), "answer", priority(1, { dependency: 0 })],
    wants: ok,
  },
];

const frames: readonly Case[] = [
  { origin: "generic 3.1.1", section: "6.1", what: "DATA", send: [open(), data(1, "test"), "answer"], wants: ok },
  {
    origin: "generic 3.1.2",
    section: "6.1",
    what: "two DATA",
    send: [open(), data(1, "test", flags.none), data(1, "test"), "answer"],
    wants: ok,
  },
  {
    origin: "generic 3.1.3",
    section: "6.1",
    what: "DATA with padding",
    send: [open(), data(1, padded("test", 6), flags.endStream | flags.padded), "answer"],
    wants: ok,
  },
  { origin: "generic 3.2.1", section: "6.2", what: "HEADERS", send: [headers(1, request()), "answer"], wants: ok },
  {
    origin: "generic 3.2.2",
    section: "6.2",
    what: "HEADERS with padding",
    send: [headers(1, padded(request(), 6), whole | flags.padded), "answer"],
    wants: ok,
  },
  {
    origin: "generic 3.2.3",
    section: "6.2",
    what: "HEADERS with a priority",
    send: [prioritised({ dependency: 0, isExclusive: true, weight: 255 }), "answer"],
    wants: ok,
  },
  ...(
    [
      ["3.3.1", "weight 1", { dependency: 0, weight: 1 }],
      ["3.3.2", "weight 256", { dependency: 0, weight: 256 }],
      ["3.3.3", "another stream", { dependency: 3 }],
      ["3.3.4", "an exclusive dependency", { dependency: 3, isExclusive: true }],
    ] as const
  ).map(([origin, what, priorities]): Case => ({
    origin: `generic ${origin}`,
    section: "6.3",
    what: `PRIORITY with ${what}`,
    send: [priority(1, priorities), headers(1, request()), "answer"],
    wants: ok,
  })),
  {
    origin: "generic 3.3.5",
    section: "6.3",
    what: "PRIORITY on a higher idle stream first",
    send: [priority(7, { dependency: 0 }), headers(1, request()), "answer"],
    wants: ok,
  },
  {
    origin: "generic 3.4.1",
    section: "6.4",
    what: "RST_STREAM on an open stream",
    send: [open("/wait"), rstStream(1)],
    wants: ignored,
  },
  {
    origin: "generic 3.5.1",
    section: "6.5",
    what: "SETTINGS",
    send: [settings([3, 100])],
    wants: ignored,
    wantsAcks: ["settings"],
  },
  {
    origin: "generic 3.7.1",
    section: "6.7",
    what: "PING",
    send: [ping("wherry!!")],
    wants: ignored,
    wantsAcks: ["wherry!!"],
  },
  {
    origin: "generic 3.8.1",
    section: "6.8",
    what: "GOAWAY",
    send: [goaway(0)],
    wants: ["ignored", "close"],
  },
  {
    origin: "generic 3.9.1",
    section: "6.9",
    what: "WINDOW_UPDATE of the connection",
    send: [windowUpdate(0, 1)],
    wants: ignored,
  },
  {
    origin: "generic 3.9.2",
    section: "6.9",
    what: "WINDOW_UPDATE of a stream",
    send: [open(), windowUpdate(1, 1), data(1, "test"), "answer"],
    wants: ok,
  },
  {
    origin: "generic 3.10.1",
    section: "6.10",
    what: "CONTINUATION",
    send: [headers(1, request(), flags.endStream), continuation(1, more(1)), "answer"],
    wants: ok,
  },
  {
    origin: "generic 3.10.2",
    section: "6.10",
    what: "two CONTINUATION",
    send: [
      headers(1, request(), flags.endStream),
      continuation(1, more(1), flags.none),
      continuation(1, more(2)),
      "answer",
    ],
    wants: ok,
  },
];

const messages: readonly Case[] = [
  { origin: "generic 4.1", section: "8.1", what: "GET", send: [headers(1, request()), "answer"], wants: ok },
  {
    origin: "generic 4.2",
    section: "8.1",
    what: "HEAD",
    send: [
      headers(
        1,
        fields([
          [":method", "HEAD"],
          [":scheme", "http"],
          [":path", "/"],
          [":authority", "a"],
        ]),
      ),
      "answer",
    ],
    wants: ["200"],
  },
  {
    origin: "generic 4.3",
    section: "8.1",
    what: "POST",
    send: [headers(1, post("/", ["content-length", "4"]), flags.endHeaders), data(1, "test"), "answer"],
    wants: ok,
  },
  {
    origin: "generic 4.4",
    section: "8.1",
    what: "POST with trailers",
    send: [open(), data(1, "test", flags.none), headers(1, field("x-sum", "1")), "answer"],
    wants: ok,
  },
];

/** RFC 7541 §6.1, §6.2: every form of a field, its name known or new, its texts coded or not. */
const forms: ReadonlyArray<readonly [origin: string, section: string, what: string, send: Case["send"]]> = [
  ["5.1", "7541 6.1", "indexed fields", [headers(1, indexed), "answer"]],
  ["5.2", "7541 6.2.1", "indexed name, to be indexed", withField(integer(58, 6, 0x40), string("x"))],
  ["5.3", "7541 6.2.1", "indexed name, to be indexed, coded", withField(integer(58, 6, 0x40), customValue)],
  ["5.4", "7541 6.2.1", "new name, to be indexed", withField(Buffer.of(0x40), string("x-a"), string("x"))],
  ["5.5", "7541 6.2.1", "new name, to be indexed, coded", withField(Buffer.of(0x40), customKey, customValue)],
  ["5.6", "7541 6.2.2", "indexed name, not indexed", withField(integer(58, 4), string("x"))],
  ["5.7", "7541 6.2.2", "indexed name, not indexed, coded", withField(integer(58, 4), customValue)],
  ["5.8", "7541 6.2.2", "new name, not indexed", withField(Buffer.of(0), string("x-a"), string("x"))],
  ["5.9", "7541 6.2.2", "new name, not indexed, coded", withField(Buffer.of(0), customKey, customValue)],
  ["5.10", "7541 6.2.3", "indexed name, never indexed", withField(integer(58, 4, 0x10), string("x"))],
  ["5.11", "7541 6.2.3", "indexed name, never indexed, coded", withField(integer(58, 4, 0x10), customValue)],
  ["5.12", "7541 6.2.3", "new name, never indexed", withField(Buffer.of(0x10), string("x-a"), string("x"))],
  ["5.13", "7541 6.2.3", "new name, never indexed, coded", withField(Buffer.of(0x10), customKey, customValue)],
  [
    "5.14",
    "7541 6.3",
    "a new size of the table",
    [headers(1, Buffer.concat([integer(128, 5, 0x20), request()])), "answer"],
  ],
  [
    "5.15",
    "7541 6.3",
    "two new sizes of the table",
    [headers(1, Buffer.concat([integer(128, 5, 0x20), integer(4096, 5, 0x20), request()])), "answer"],
  ],
];

export const genericCases: readonly Case[] = [...streams, ...frames, ...messages, ...forms.map(formCase)];

function formCase([origin, section, what, send]: (typeof forms)[number]): Case {
  return { origin: `generic ${origin}`, section, what, send, wants: ok };
}

/** The head of a request with a body. */
function open(path = "/"): Buffer {
  return headers(1, post(path), flags.endHeaders);
}

function prioritised(what: Parameters<typeof priorityBytes>[0]): Buffer {
  return frame(types.headers, whole | flags.priority, 1, Buffer.concat([priorityBytes(what), request()]));
}
