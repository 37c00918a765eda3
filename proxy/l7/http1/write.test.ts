/** Heads are written the same, whether lines are taken from what was received or put together anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Headers, parseHeaders, withHeader } from "./headers.ts";
import { parseRequestHead } from "./request.ts";
import { parseResponseHead } from "./response.ts";
import { formatRequestHead, formatResponseHead } from "./write.ts";

const name = fc.constantFrom("Date", "X-A", "x-b", "Keep-Alive", "TE", "X-Request-ID", "Cookie", "Server");
const value = fc.constantFrom("", "a", "x-a", "Sun, 22 Nov 2026 05:33:26 GMT", 'W/"1"', "é");
const listing = fc.tuple(fc.constant("Connection"), fc.constantFrom("x-a", "close", "x-b, cookie", "date"));
const blank = fc.constantFrom(" ", " ", " ", "", "\t", "  ");
const line = fc
  .tuple(fc.oneof(fc.tuple(name, value), fc.tuple(name, value), listing), blank, fc.constantFrom("", "", "", " "))
  .map(([[key, text], before, after]) => `${key}:${before}${text}${after}\r\n`);
const block = fc.array(line, { maxLength: 12 }).map((lines) => lines.join(""));

const anew = (headers: Headers): Headers => ({ ...headers, lines: undefined });

test("Lines that stand as they are written are passed on in one piece, and read the same", () => {
  const options = { framing: { kind: "none" }, isBodiless: false, keepsAlive: true, wallMs: () => 0 } as const;
  const added = { replaces: new Set(["x-request-id"]), lines: () => "" };
  let taken = 0;
  const check = fc.property(block, fc.boolean(), (lines, isLonger) => {
    const request = parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
    const response = parseResponseHead(`HTTP/1.1 200 OK\r\n${lines}\r\n`);
    if (response.headers.lines !== undefined) taken++;
    const longer = (headers: Headers): Headers => (isLonger ? withHeader(headers, "X-New", "x-new", "1") : headers);
    const [sent, got] = [longer(request.headers), longer(response.headers)];
    const rest = { added, addedLines: "", authority: "" };
    assert.equal(
      formatRequestHead({ head: { ...request, headers: sent }, ...rest }),
      formatRequestHead({ head: { ...request, headers: anew(sent) }, ...rest }),
    );
    assert.equal(
      formatResponseHead({ ...response, headers: got }, options),
      formatResponseHead({ ...response, headers: anew(got) }, options),
    );
  });
  fc.assert(check, { seed: 20, numRuns: 2000 });
  assert.ok(taken > 300, `${taken} were taken as they stood`);
});

test("parseHeaders() says where its lines stand, unless one is written another way", () => {
  const text = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n";
  assert.deepEqual(parseHeaders(text, 17).lines, { text, from: 17, count: 2 });
  for (const other of ["A:1", "A:  1", "A: 1 ", "A:\t1", "A:"])
    assert.equal(parseHeaders(text.replace("A: 1", other), 17).lines, undefined, other);
});
