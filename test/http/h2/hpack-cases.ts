/**
 * Header blocks that cannot be decoded, after the hpack group of h2spec: each case is written from its description
 * and the section of RFC 7541 that it names; nothing is copied. Each is COMPRESSION_ERROR of the connection (RFC 9113
 * §4.3).
 *
 *   conformance.test.ts ─▶ each case ─▶ peer.ts
 */
import type { Case } from "./peer.ts";
import { headers, huffman, integer, request, string } from "./frames.ts";

const wants = ["GOAWAY COMPRESSION_ERROR"];
const block = (...parts: readonly Buffer[]): readonly [Buffer] => [headers(1, Buffer.concat(parts))];
/** "www.example.com" (RFC 7541 C.4.1): its last byte has no bits to spare, so bytes behind it are padding alone. */
const coded = "f1e3c2e5f23a6ba0ab90f4ff";

export const hpackCases: readonly Case[] = [
  {
    origin: "hpack 2.3.3.1",
    section: "7541 2.3.3",
    what: "an indexed field beyond the tables",
    send: block(request(), integer(70, 7, 0x80)),
    wants,
  },
  {
    origin: "hpack 2.3.3.2",
    section: "7541 2.3.3",
    what: "a literal whose name is beyond the tables",
    send: block(request(), integer(70, 6, 0x40), string("empty")),
    wants,
  },
  {
    origin: "hpack 4.2.1",
    section: "7541 4.2",
    what: "a new size of the table behind fields",
    send: block(request(), integer(1, 5, 0x20)),
    wants,
  },
  {
    origin: "hpack 5.2.1",
    section: "7541 5.2",
    what: "padding of more than seven bits",
    send: block(request(), Buffer.of(0), string("x-test"), huffman(`${coded}ff`)),
    wants,
  },
  {
    origin: "hpack 5.2.2",
    section: "7541 5.2",
    what: "padding of zeros",
    send: block(request(), Buffer.of(0), string("x-test"), huffman("00")),
    wants,
  },
  {
    origin: "hpack 5.2.3",
    section: "7541 5.2",
    what: "the end-of-string symbol",
    send: block(request(), Buffer.of(0), string("x-test"), huffman("fffffffc")),
    wants,
  },
  {
    origin: "hpack 6.1.1",
    section: "7541 6.1",
    what: "index 0",
    send: block(request(), Buffer.of(0x80)),
    wants,
  },
  {
    origin: "hpack 6.3.1",
    section: "7541 6.3",
    what: "a size of the table over the one allowed",
    send: block(integer(4097, 5, 0x20), request()),
    wants,
  },
];
