/** Raw response text → head and framing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { HTTP1Error, type HTTP1ErrorCode } from "./errors.ts";
import { responseFraming } from "./framing.ts";
import { parseResponseHead } from "./response.ts";
import { formatResponseHead } from "./write.ts";

test("parseResponseHead() refuses what can be read in two ways", () => {
  const rows: readonly (readonly [string, HTTP1ErrorCode])[] = [
    ["HTTP/2 200 OK\r\n\r\n", "BAD_START_LINE"],
    ["HTTP/1.1 20 OK\r\n\r\n", "BAD_START_LINE"],
    ["HTTP/1.1 2000 OK\r\n\r\n", "BAD_START_LINE"],
    ["HTTP/1.1 099 OK\r\n\r\n", "BAD_START_LINE"],
    ["HTTP/1.1  200 OK\r\n\r\n", "BAD_START_LINE"],
    ["200 OK\r\n\r\n", "BAD_START_LINE"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "AMBIGUOUS_LENGTH"],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "BAD_CONTENT_LENGTH"],
    ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "BAD_TRANSFER_ENCODING"],
    ["HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "BAD_HEADER"],
    ["HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "OBS_FOLD"],
  ];
  for (const [text, code] of rows)
    assert.throws(
      () => parseResponseHead(text),
      (error) => error instanceof HTTP1Error && error.code === code,
      JSON.stringify(text),
    );
});

test("parseResponseHead() accepts an absent reason", () => {
  for (const [text, reason] of [
    ["HTTP/1.1 200\r\n\r\n", ""],
    ["HTTP/1.1 200 \r\n\r\n", ""],
    ["HTTP/1.1 200 All is well\r\n\r\n", "All is well"],
  ] as const) {
    const head = parseResponseHead(text);
    assert.deepEqual([head.status, head.reason], [200, reason]);
  }
});

test("responseFraming() knows which responses have no body", () => {
  const framing = (status: number, headers: string, method = "GET"): string =>
    responseFraming(parseResponseHead(`HTTP/1.1 ${status} X\r\n${headers}\r\n`).hop, status, method).kind;
  assert.equal(framing(200, "Content-Length: 5\r\n"), "length");
  assert.equal(framing(200, "Transfer-Encoding: chunked\r\n"), "chunked");
  assert.equal(framing(200, ""), "untilClose");
  assert.equal(framing(200, "Content-Length: 5\r\n", "HEAD"), "none");
  assert.equal(framing(204, ""), "none");
  assert.equal(framing(304, "Content-Length: 5\r\n"), "none");
});

/** RFC 9110 §5.6.7 has this one. */
const wallMs = (): number => 784_111_777_000;

test("formatResponseHead() writes the framing anew and drops what is for one hop", () => {
  const head = parseResponseHead(
    "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n" +
      "Content-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
  );
  assert.equal(
    formatResponseHead(head, { framing: { kind: "length", bytes: 5 }, isBodiless: false, keepsAlive: false, wallMs }),
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n" +
      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\n",
  );
});

test("formatResponseHead() leaves the date of the origin", () => {
  const head = parseResponseHead("HTTP/1.1 204 No Content\r\ndate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\n");
  assert.equal(
    formatResponseHead(head, { framing: { kind: "none" }, isBodiless: true, keepsAlive: true, wallMs }),
    "HTTP/1.1 204 No Content\r\ndate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\n",
  );
});
