/**
 * Raw request text → verdict, for every item of the strict profile; and node:http as a second reader of what is
 * accepted.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { test } from "node:test";
import * as fc from "fast-check";
import { BodyReader } from "./body.ts";
import { HTTP1Error, type HTTP1ErrorCode } from "./errors.ts";
import { type RequestHead, parseRequestHead } from "./request.ts";
import { HeadScanner } from "./scanner.ts";
import { type OutgoingRequest, formatChunkLine, formatRequestHead } from "./write.ts";

interface Read {
  readonly head: RequestHead;
  readonly body: string;
  /** Bytes behind the request. */
  readonly rest: string;
}

/** Reads one request from `text` in fragments of `size` bytes. */
function read(text: string, size = Infinity): Read | "incomplete" | HTTP1Error {
  const scanner = new HeadScanner(true);
  const reader = new BodyReader();
  const bytes = Buffer.from(text, "latin1");
  let head: RequestHead | undefined;
  let body = "";
  try {
    for (let from = 0; from < bytes.length; from += size) {
      const chunk = bytes.subarray(from, Math.min(bytes.length, from + size));
      let at = 0;
      if (head === undefined) {
        at = scanner.push(chunk, 0);
        if (at < 0) continue;
        head = parseRequestHead(scanner.take(chunk, 0, at), { marks: scanner.marks });
        reader.start(head.framing);
      }
      at = reader.consume(chunk, at, (slice) => (body += slice.toString("latin1")));
      if (reader.isDone) return { head, body, rest: bytes.toString("latin1", from + at) };
    }
  } catch (error) {
    assert.ok(error instanceof HTTP1Error, String(error));
    return error;
  }
  return "incomplete";
}

const get = (headers: string): string => `GET / HTTP/1.1\r\n${headers}\r\n`;
const chunked = (body: string): string => `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${body}`;
const post = (headers: string, body = ""): string => `POST / HTTP/1.1\r\nHost: a\r\n${headers}\r\n${body}`;

const refused: readonly (readonly [string, string, HTTP1ErrorCode, number])[] = [
  [
    "Content-Length and Transfer-Encoding",
    post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    "AMBIGUOUS_LENGTH",
    400,
  ],
  [
    "Transfer-Encoding before Content-Length",
    post("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
    "AMBIGUOUS_LENGTH",
    400,
  ],
  ["the same length twice", post("Content-Length: 1\r\nContent-Length: 1\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["two lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a list of lengths", post("Content-Length: 1, 1\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a signed length", post("Content-Length: +1\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a negative length", post("Content-Length: -1\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["an empty length", post("Content-Length: \r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a length with a leading zero", post("Content-Length: 01\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a hexadecimal length", post("Content-Length: 0x1\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["a huge length", post("Content-Length: 1000000000000000\r\n"), "BAD_CONTENT_LENGTH", 400],
  ["transfer coding identity", post("Transfer-Encoding: identity\r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["chunked, identity", post("Transfer-Encoding: chunked, identity\r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["xchunked", post("Transfer-Encoding: xchunked\r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["chunked twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["chunked, chunked", post("Transfer-Encoding: chunked, chunked\r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["an empty transfer coding", post("Transfer-Encoding: \r\n"), "BAD_TRANSFER_ENCODING", 400],
  ["gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n"), "UNKNOWN_TRANSFER_CODING", 501],
  ["chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "BAD_TRANSFER_ENCODING", 400],
  ["a folded header", get("Host: a\r\nX: y\r\n z\r\n"), "OBS_FOLD", 400],
  ["a folded header with a colon", get("Host: a\r\nX: y\r\n z: w\r\n"), "OBS_FOLD", 400],
  ["white space before the first header", get(" Host: a\r\n"), "OBS_FOLD", 400],
  ["white space before a colon", get("Host : a\r\n"), "BAD_HEADER", 400],
  ["an empty header name", get("Host: a\r\n: x\r\n"), "BAD_HEADER", 400],
  ["a header without a colon", get("Host: a\r\nfoo\r\n"), "BAD_HEADER", 400],
  ["a header name with a parenthesis", get("Host: a\r\nX(y): z\r\n"), "BAD_HEADER", 400],
  ["a header name with a high byte", get("Host: a\r\nX\xe9: z\r\n"), "BAD_HEADER", 400],
  ["a bare LF in the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", "BARE_LF", 400],
  ["a bare LF behind a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", "BARE_LF", 400],
  ["a bare LF for the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", "BARE_LF", 400],
  ["a bare CR in a value", get("Host: a\r\nX: y\rz\r\n"), "BARE_CR", 400],
  ["NUL in a value", get("Host: a\r\nX: y\0z\r\n"), "CONTROL_BYTE", 400],
  ["0x01 in a value", get("Host: a\r\nX: y\x01z\r\n"), "CONTROL_BYTE", 400],
  ["DEL in a value", get("Host: a\r\nX: y\x7fz\r\n"), "CONTROL_BYTE", 400],
  ["no Host", get(""), "MISSING_HOST", 400],
  ["two Hosts", get("Host: a\r\nHost: a\r\n"), "DUPLICATE_HOST", 400],
  ["an empty Host", get("Host: \r\n"), "BAD_HOST", 400],
  ["a Host with a slash", get("Host: a/b\r\n"), "BAD_HOST", 400],
  ["a Host with a comma", get("Host: a,b\r\n"), "BAD_HOST", 400],
  ["a Host with user information", get("Host: u@a\r\n"), "BAD_HOST", 400],
  ["a Host with a bad port", get("Host: a:b\r\n"), "BAD_HOST", 400],
  ["a Host with two ports", get("Host: a:1:2\r\n"), "BAD_HOST", 400],
  ["a Host with a space", get("Host: a b\r\n"), "BAD_HOST", 400],
  ["a Host with a high byte", get("Host: \xe9\r\n"), "BAD_HOST", 400],
  ["an absolute target that is not Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "HOST_MISMATCH", 400],
  ["an absolute target of another port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", "HOST_MISMATCH", 400],
  ["a fragment", "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["a high byte in the target", "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["a tab in the target", "GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["two spaces behind the target", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["a target that is no path", "GET foo HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["* with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_START_LINE", 400],
  ["a lower-case method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_METHOD", 400],
  ["an unknown method", "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_METHOD", 400],
  ["CONNECT in HTTP/1.0", "CONNECT a:80 HTTP/1.0\r\nHost: a:80\r\n\r\n", "CONNECT_UNSUPPORTED", 501],
  ["CONNECT to another than Host", "CONNECT a:80 HTTP/1.1\r\nHost: b:80\r\n\r\n", "HOST_MISMATCH", 400],
  ["CONNECT to a host without Host's port", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "HOST_MISMATCH", 400],
  ["CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_TARGET", 400],
  ["CONNECT to a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "BAD_HOST", 400],
  ["CONNECT to a URL", "CONNECT http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n", "BAD_HOST", 400],
  [
    "CONNECT with a body",
    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nContent-Length: 1\r\n\r\nx",
    "BAD_CONTENT_LENGTH",
    400,
  ],
  [
    "CONNECT in chunks",
    "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "BAD_TRANSFER_ENCODING",
    501,
  ],
  ["HTTP/0.9", "GET /\r\n\r\n", "BAD_VERSION", 505],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "BAD_START_LINE", 400],
  ["a short version", "GET / HTTP/2\r\nHost: a\r\n\r\n", "BAD_START_LINE", 400],
  ["HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "BAD_VERSION", 505],
  ["HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", "BAD_VERSION", 505],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "BAD_VERSION", 505],
  ["a lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", "BAD_START_LINE", 400],
  ["a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "BAD_START_LINE", 400],
  ["a head over 60 KiB", get(`Host: a\r\nX: ${"y".repeat(60 * 1024)}\r\n`), "HEAD_TOO_LARGE", 431],
  ["a target over 60 KiB", `GET /${"y".repeat(60 * 1024)} HTTP/1.1\r\n`, "TARGET_TOO_LONG", 414],
  ["101 headers", get(`Host: a\r\n${"X: y\r\n".repeat(100)}`), "TOO_MANY_HEADERS", 431],
  [
    "2100 headers, then a framing header",
    get(`Host: a\r\n${"X: y\r\n".repeat(2100)}Transfer-Encoding: chunked\r\n`),
    "TOO_MANY_HEADERS",
    431,
  ],
  ["a bad Connection option", get("Host: a\r\nConnection: a b\r\n"), "BAD_CONNECTION", 400],
  ["chunk size 0x1", chunked("0x1\r\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["a chunk size with a space", chunked("1 \r\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["a signed chunk size", chunked("+1\r\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["an empty chunk size", chunked("\r\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["a chunk size of 14 digits", chunked("00000000000001\r\n"), "BAD_CHUNK", 400],
  ["a bare LF behind a chunk size", chunked("1\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["an LF in a chunk extension", chunked("1;x\ny\r\na\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["no CRLF behind chunk data", chunked("1\r\nab\r\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["a bare LF behind chunk data", chunked("1\r\na\n0\r\n\r\n"), "BAD_CHUNK", 400],
  ["a bare CR behind chunk data", chunked("1\r\na\r0\r\n\r\n"), "BAD_CHUNK", 400],
  ["chunk extensions over 4 KiB", chunked(`1;${"x".repeat(20_000)}\r\n`), "CHUNK_EXTENSION_TOO_LARGE", 413],
  ["Content-Length in the trailers", chunked("0\r\nContent-Length: 1\r\n\r\n"), "BAD_TRAILER", 400],
  ["Transfer-Encoding in the trailers", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "BAD_TRAILER", 400],
  ["a bare LF in the trailers", chunked("0\r\nX: y\n\r\n"), "BARE_LF", 400],
  ["a trailer without a colon", chunked("0\r\nfoo\r\n\r\n"), "BAD_HEADER", 400],
];

for (const [name, text, code, status] of refused)
  test(`parseRequestHead() refuses ${name}`, () => {
    for (const size of [Infinity, 1, 7]) {
      const result = read(text, size);
      assert.ok(result instanceof HTTP1Error, `${JSON.stringify(text.slice(0, 200))} gave ${JSON.stringify(result)}`);
      assert.deepEqual([result.code, result.status], [code, status]);
      assert.match(result.message, /^[A-Z].*[^.]$/);
    }
  });

const accepted: readonly (readonly [string, string, Partial<RequestHead>, string])[] = [
  ["a plain GET", get("Host: a\r\n"), { method: "GET", path: "/", host: "a", protocol: "HTTP/1.1" }, ""],
  ["an empty line before the request line", `\r\n${get("Host: a\r\n")}`, { path: "/" }, ""],
  ["a query", "GET /a?b=c?d HTTP/1.1\r\nHost: A.b:80\r\n\r\n", { path: "/a", query: "b=c?d", host: "a.b:80" }, ""],
  ["an absolute target", "GET http://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n", { target: "/x?y", path: "/x" }, ""],
  ["an absolute target without a path", "GET http://a?y HTTP/1.1\r\nHost: a\r\n\r\n", { target: "/?y" }, ""],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", { target: "*" }, ""],
  ["an IPv6 Host", get("Host: [::1]:80\r\n"), { host: "[::1]:80" }, ""],
  ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", { protocol: "HTTP/1.0", host: "" }, ""],
  ["GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", {}, "abc"],
  ["high bytes in a value", get("Host: a\r\nX: \xe9\r\n"), {}, ""],
  ["a body of known length", post("Content-Length: 3\r\n", "abc"), {}, "abc"],
  ["a length of zero", post("Content-Length: 0\r\n"), {}, ""],
  [
    "chunks with extensions and trailers",
    chunked("3;x=y\r\nabc\r\n0A;z\r\n0123456789\r\n0\r\nX: y\r\n\r\n"),
    {},
    "abc0123456789",
  ],
  ["Chunked with a capital", post("Transfer-Encoding: Chunked\r\n", "1\r\na\r\n0\r\n\r\n"), {}, "a"],
  ["100 headers", get(`Host: a\r\n${"X: y\r\n".repeat(99)}`), {}, ""],
];

for (const [name, text, wanted, body] of accepted)
  test(`parseRequestHead() accepts ${name}, wherever it is cut`, () => {
    for (let size = 1; size <= Math.min(text.length, 80); size++) {
      const result = read(text, size);
      assert.ok(
        typeof result === "object" && !(result instanceof HTTP1Error),
        `size ${size}: ${JSON.stringify(result)}`,
      );
      assert.partialDeepStrictEqual(result.head, wanted);
      assert.deepEqual([result.body, result.rest], [body, ""]);
    }
  });

test("formatRequestHead() drops what is for one hop, and never Host or credentials", () => {
  const text = get(
    "Host: a\r\nConnection: close, x-hop, host, authorization, content-length\r\nX-Hop: 1\r\nAuthorization: b\r\n" +
      "Keep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: h2c\r\n" +
      "Proxy-Connection: x\r\nContent-Length: 0\r\nX-Kept: 2\r\n",
  );
  const result = read(text);
  assert.ok(typeof result === "object" && !(result instanceof HTTP1Error));
  assert.equal(
    formatRequestHead(outgoing(result.head)),
    "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nContent-Length: 0\r\nX-Kept: 2\r\n\r\n",
  );
});

test("formatRequestHead() puts added headers in place of the ones they replace", () => {
  const result = read(get("Host: a\r\nX-Request-Id: 1\r\nX: y\r\n"));
  assert.ok(typeof result === "object" && !(result instanceof HTTP1Error));
  const added = { replaces: new Set(["x-request-id"]), lines: (_head: RequestHead) => "x-request-id: 2\r\n" };
  assert.equal(
    formatRequestHead({ head: result.head, added, addedLines: added.lines(result.head), authority: "" }),
    "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nx-request-id: 2\r\n\r\n",
  );
});

/** Pieces from which requests are built that are nearly right. */
const piece = fc.constantFrom(
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 30\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding:chunked\r\n",
  "Content-length : 3\r\n",
  "Connection: close\r\n",
  "Connection: upgrade\r\n",
  "Upgrade: h2c\r\n",
  "X: y\r\n",
  "X:\r\n",
  "X: \t z \r\n",
  "Transfer-Encoding: x, chunked\r\n",
  "Host: b\r\n",
  "Expect: 100-continue\r\n",
  "Connection: content-length\r\n",
  "X: \xff\r\n",
  " folded\r\n",
  "X: y\n",
  "X: y\r",
);
const tail = fc.constantFrom(
  "",
  "abc",
  "3\r\nabc\r\n0\r\n\r\n",
  "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",

  "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n",
  "0003\r\nabc\r\n0\r\n\r\n",
);
const line = fc.constantFrom(
  "POST / HTTP/1.1",
  "GET /a?b HTTP/1.1",
  "PUT / HTTP/1.0",
  "HEAD / HTTP/1.1",
  "GET http://a/ HTTP/1.1",
  "DELETE /%00 HTTP/1.1",
);

test("what is forwarded is one request to node:http, with the same target and body", async () => {
  const seen: { target: string; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    request.on("end", () => {
      seen.push({ target: request.url ?? "", body });
      response.end();
    });
  });
  server.on("checkContinue", (request, response) => server.emit("request", request, response));
  server.on("clientError", (error, socket) => {
    seen.push({ target: `refused: ${error.message}`, body: "" });
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  let forwarded = 0;
  try {
    await fc.assert(
      fc.asyncProperty(line, fc.array(piece, { maxLength: 4 }), tail, async (line, pieces, tail) => {
        const result = read(`${line}\r\nHost: a\r\n${pieces.join("")}\r\n${tail}`);
        if (result === "incomplete" || result instanceof HTTP1Error) return;
        forwarded++;
        seen.length = 0;
        const { head, body } = result;
        const framed =
          head.framing.kind === "chunked"
            ? `${body === "" ? "" : `${formatChunkLine(body.length)}${body}\r\n`}0\r\n\r\n`
            : body;
        const socket = connect(port, "127.0.0.1");
        const over = new Promise<void>((resolve) => socket.once("close", () => resolve()));
        socket.on("error", () => socket.destroy());
        socket.resume().end(formatRequestHead({ ...outgoing(head), authority: "a" }) + framed, "latin1");
        await over;
        assert.deepEqual(seen, [{ target: head.target, body }]);
      }),
      { numRuns: 400, seed: 7 },
    );
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
  assert.ok(forwarded > 50, `only ${forwarded} were forwarded`);
});

function outgoing(head: RequestHead): OutgoingRequest {
  return { head, added: undefined, addedLines: "", authority: "" };
}
