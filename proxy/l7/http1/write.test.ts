/** Heads are written the same, whether lines are taken from what was received or put together anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { responseFraming } from "./framing.ts";
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
const length = fc.constantFrom("", "", "Content-Length: 5\r\n", "content-length: 5\r\n", "Content-Length:5\r\n");
const start = fc.constantFrom(
  "HTTP/1.1 200 OK",
  "HTTP/1.1 404 Not Found",
  "HTTP/1.1 200 ",
  "HTTP/1.1 200",
  "HTTP/1.0 200 OK",
);
const block = fc.array(line, { maxLength: 12 }).map((lines) => lines.join(""));
/** More than there are bits for. */
const many = "X-C: c\r\n".repeat(28);
const message = fc.record({
  requestLine: fc.constantFrom("GET / HTTP/1.1", "POST /a?b HTTP/1.1", "GET http://a/b HTTP/1.1", "GET / HTTP/1.0"),
  statusLine: start,
  lines: fc.tuple(fc.constantFrom("", "", many), length, block).map((all) => all.join("")),
  /** Something is changed on the way. */
  target: fc.constantFrom(undefined, undefined, "/b"),
  status: fc.constantFrom(undefined, undefined, 201),
  isLonger: fc.boolean(),
});

/** Content-Length may stand where it stood, in the letters it had. */
function sorted(text: string): readonly string[] {
  const [first = "", ...lines] = text.split("\r\n");
  return [first, ...lines.map((one) => one.replace(/^content-length/i, "Content-Length")).sort()];
}

const anew = (headers: Headers): Headers => ({ ...headers, lines: undefined });

test("Lines that stand as they are written are passed on in one piece, and read the same", () => {
  const added = { replaces: new Set(["x-request-id"]), lines: () => "" };
  let taken = 0;
  const check = fc.property(message, ({ requestLine, statusLine, lines, target, status, isLonger }) => {
    const received = parseRequestHead(`${requestLine}\r\nHost: a\r\n${lines}\r\n`);
    const answered = parseResponseHead(`${statusLine}\r\n${lines}\r\n`);
    if (answered.headers.lines !== undefined) taken++;
    const longer = (headers: Headers): Headers => (isLonger ? withHeader(headers, "X-New", "x-new", "1") : headers);
    const rest = { added, addedLines: "", authority: "" };
    const request = { ...received, target: target ?? received.target, headers: longer(received.headers) };
    assert.deepEqual(
      sorted(formatRequestHead({ head: request, ...rest })),
      sorted(formatRequestHead({ head: { ...request, headers: anew(request.headers) }, ...rest })),
    );
    const response = { ...answered, status: status ?? answered.status, headers: longer(answered.headers) };
    const framing = responseFraming(response.hop, response.status, "GET");
    const options = { framing, isBodiless: false, keepsAlive: true, wallMs: () => 0 };
    assert.deepEqual(
      sorted(formatResponseHead(response, options)),
      sorted(formatResponseHead({ ...response, headers: anew(response.headers) }, options)),
    );
  });
  fc.assert(check, { seed: 20, numRuns: 3000 });
  assert.ok(taken > 300, `${taken} were taken as they stood`);
});

test("parseHeaders() says where its lines stand, unless one is written another way", () => {
  const text = "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\n\r\n";
  assert.deepEqual(parseHeaders(text, 17).lines, { text, from: 17, count: 2, hopMask: 0 });
  assert.equal(parseHeaders(text.replace("B:", "Connection:"), 17).lines?.hopMask, 2);
  for (const other of ["A:1", "A:  1", "A: 1 ", "A:\t1", "A:"])
    assert.equal(parseHeaders(text.replace("A: 1", other), 17).lines, undefined, other);
});
