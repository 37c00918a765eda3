/**
 * HTTP/1 requests on which parsers disagree, written from the published descriptions of the cases: the origin is
 * named, nothing is copied.
 *
 *   differential.test.ts ─▶ each case ─▶ the engine, and node:http (llhttp)
 *
 * `outcome` is ours: "forward" with what reaches the upstream in one reading, or the status of the refusal. Where
 * llhttp would have taken it, differences.ts has the reason.
 */
import { moreRequestCases } from "./request-cases-more.ts";

export interface RequestCase {
  readonly origin: "llhttp" | "desync-guardian" | "h1spec" | "garden" | "rfc9112";
  readonly name: string;
  readonly bytes: string;
  readonly outcome: "forward" | number;
}

const head = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const post = (lines: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`;
const chunked = (body: string): string => post("Transfer-Encoding: chunked\r\n", body);

const firstCases: readonly RequestCase[] = [
  // The request line.
  { origin: "llhttp", name: "simple GET", bytes: head(""), outcome: "forward" },
  { origin: "llhttp", name: "empty line before the request", bytes: `\r\n${head("")}`, outcome: "forward" },
  { origin: "llhttp", name: "lower-case method", bytes: "get / HTTP/1.1\r\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "llhttp", name: "unknown method", bytes: "FOO / HTTP/1.1\r\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "llhttp", name: "no version (HTTP/0.9)", bytes: "GET /\r\n\r\n", outcome: 505 },
  { origin: "llhttp", name: "version 1.2", bytes: "GET / HTTP/1.2\r\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "llhttp", name: "version 3.0", bytes: "GET / HTTP/3.0\r\nHost: a\r\n\r\n", outcome: 505 },
  { origin: "llhttp", name: "ICE protocol", bytes: "GET / ICE/1.0\r\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "llhttp", name: "space at the end of the line", bytes: "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", outcome: 400 },
  {
    origin: "desync-guardian",
    name: "two spaces behind the method",
    bytes: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "tab instead of space",
    bytes: "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  { origin: "desync-guardian", name: "NUL in the target", bytes: "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", outcome: 400 },
  {
    origin: "desync-guardian",
    name: "fragment in the target",
    bytes: "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "byte over 0x7f in the target",
    bytes: "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "space in the target",
    bytes: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "garden",
    name: "absolute target, same host",
    bytes: "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: "forward",
  },
  {
    origin: "garden",
    name: "absolute target, other host",
    bytes: "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  { origin: "garden", name: "target without a slash", bytes: "GET x HTTP/1.1\r\nHost: a\r\n\r\n", outcome: 400 },
  {
    origin: "garden",
    name: "user information in the target",
    bytes: "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "rfc9112",
    name: "asterisk with OPTIONS",
    bytes: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    outcome: "forward",
  },
  { origin: "rfc9112", name: "asterisk with GET", bytes: "GET * HTTP/1.1\r\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "h1spec", name: "bare LF behind the request line", bytes: "GET / HTTP/1.1\nHost: a\r\n\r\n", outcome: 400 },
  { origin: "h1spec", name: "bare CR behind the request line", bytes: "GET / HTTP/1.1\rHost: a\r\n\r\n", outcome: 400 },
  { origin: "h1spec", name: "HTTP/2's preface", bytes: "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", outcome: 505 },

  // Header lines.
  { origin: "h1spec", name: "no Host", bytes: "GET / HTTP/1.1\r\n\r\n", outcome: 400 },
  { origin: "h1spec", name: "two Hosts", bytes: head("Host: b\r\n"), outcome: 400 },
  { origin: "h1spec", name: "space before the colon", bytes: head("X : y\r\n"), outcome: 400 },
  { origin: "h1spec", name: "empty name", bytes: head(": y\r\n"), outcome: 400 },
  { origin: "h1spec", name: "no colon", bytes: head("foo\r\n"), outcome: 400 },
  { origin: "llhttp", name: "folded line", bytes: head("X: a\r\n b\r\n"), outcome: 400 },
  {
    origin: "llhttp",
    name: "first line starts with a space",
    bytes: "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    outcome: 400,
  },
  { origin: "llhttp", name: "bare LF behind a header", bytes: head("X: y\nZ: w\r\n"), outcome: 400 },
  { origin: "llhttp", name: "bare CR in a value", bytes: head("X: y\rZ: w\r\n"), outcome: 400 },
  { origin: "llhttp", name: "empty value", bytes: head("X:\r\n"), outcome: "forward" },
  { origin: "llhttp", name: "white space around a value", bytes: head("X: \t y \t\r\n"), outcome: "forward" },
  {
    origin: "llhttp",
    name: "empty line that ends in a bare LF",
    bytes: "GET / HTTP/1.1\r\nHost: a\r\n\n",
    outcome: 400,
  },
  { origin: "desync-guardian", name: "NUL in a value", bytes: head("X: a\0b\r\n"), outcome: 400 },
  { origin: "desync-guardian", name: "control byte in a value", bytes: head("X: a\x01b\r\n"), outcome: 400 },
  { origin: "desync-guardian", name: "vertical tab before a value", bytes: head("X:\x0by\r\n"), outcome: 400 },
  { origin: "desync-guardian", name: "byte over 0x7f in a name", bytes: head("X\xe9: y\r\n"), outcome: 400 },
  { origin: "desync-guardian", name: "parenthesis in a name", bytes: head("X(: y\r\n"), outcome: 400 },
  { origin: "desync-guardian", name: "byte over 0x7f in a value", bytes: head("X: caf\xe9\r\n"), outcome: "forward" },
  { origin: "desync-guardian", name: "Host with a path", bytes: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", outcome: 400 },
  { origin: "desync-guardian", name: "Host with a space", bytes: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", outcome: 400 },
  { origin: "garden", name: "Host with a comma", bytes: "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", outcome: 400 },
  {
    origin: "garden",
    name: "Host with a port that is none",
    bytes: "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    outcome: 400,
  },
  { origin: "garden", name: "Connection lists Host", bytes: head("Connection: host\r\n"), outcome: "forward" },
  {
    origin: "garden",
    name: "Connection lists Content-Length",
    bytes: post("Connection: content-length\r\nContent-Length: 3\r\n", "abc"),
    outcome: "forward",
  },

  // Content-Length.
  { origin: "llhttp", name: "body by Content-Length", bytes: post("Content-Length: 3\r\n", "abc"), outcome: "forward" },
  {
    origin: "llhttp",
    name: "GET with a body",
    bytes: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    outcome: "forward",
  },
  { origin: "llhttp", name: "Content-Length with a plus", bytes: post("Content-Length: +3\r\n", "abc"), outcome: 400 },
  { origin: "llhttp", name: "Content-Length with a minus", bytes: post("Content-Length: -3\r\n", "abc"), outcome: 400 },
  { origin: "llhttp", name: "Content-Length with letters", bytes: post("Content-Length: 3x\r\n", "abc"), outcome: 400 },
  {
    origin: "llhttp",
    name: "Content-Length with a space inside",
    bytes: post("Content-Length: 1 3\r\n", "abc"),
    outcome: 400,
  },
  { origin: "llhttp", name: "empty Content-Length", bytes: post("Content-Length:\r\n", ""), outcome: 400 },
  {
    origin: "llhttp",
    name: "Content-Length that overflows",
    bytes: post("Content-Length: 99999999999999999999\r\n", ""),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "two different Content-Lengths",
    bytes: post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "the same Content-Length twice",
    bytes: post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "a list of equal lengths",
    bytes: post("Content-Length: 3, 3\r\n", "abc"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "hexadecimal Content-Length",
    bytes: post("Content-Length: 0x3\r\n", "abc"),
    outcome: 400,
  },
  {
    origin: "garden",
    name: "Content-Length with leading zeros",
    bytes: post("Content-Length: 003\r\n", "abc"),
    outcome: 400,
  },
  {
    origin: "garden",
    name: "Content-Length with an underscore",
    bytes: post("Content-Length: 1_0\r\n", "abcdefghij"),
    outcome: 400,
  },

  // Transfer-Encoding.
  { origin: "llhttp", name: "chunked body", bytes: chunked("3\r\nabc\r\n0\r\n\r\n"), outcome: "forward" },
  {
    origin: "llhttp",
    name: "chunked, coding in capitals",
    bytes: post("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"),
    outcome: "forward",
  },
  {
    origin: "llhttp",
    name: "chunk size in capitals",
    bytes: chunked("A\r\n0123456789\r\n0\r\n\r\n"),
    outcome: "forward",
  },
  {
    origin: "llhttp",
    name: "chunk size with leading zeros",
    bytes: chunked("000003\r\nabc\r\n000\r\n\r\n"),
    outcome: "forward",
  },
  { origin: "llhttp", name: "chunk extension", bytes: chunked('3;a="b"\r\nabc\r\n0\r\n\r\n'), outcome: "forward" },
  { origin: "llhttp", name: "trailers", bytes: chunked("0\r\nX-Sum: 1\r\n\r\n"), outcome: "forward" },
  {
    origin: "desync-guardian",
    name: "Content-Length and Transfer-Encoding",
    bytes: post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "Transfer-Encoding and Content-Length",
    bytes: post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "two Transfer-Encodings",
    bytes: post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "chunked, identity",
    bytes: post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  { origin: "desync-guardian", name: "identity", bytes: post("Transfer-Encoding: identity\r\n", ""), outcome: 400 },
  {
    origin: "desync-guardian",
    name: "xchunked",
    bytes: post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "gzip, chunked",
    bytes: post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
    outcome: 501,
  },
  {
    origin: "desync-guardian",
    name: "quoted coding",
    bytes: post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "vertical tab before the coding",
    bytes: post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "space in the name Transfer-Encoding",
    bytes: post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "desync-guardian",
    name: "Transfer-Encoding in HTTP/1.0",
    bytes: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    outcome: 400,
  },
  {
    origin: "garden",
    name: "chunked with a trailing comma",
    bytes: post("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"),
    outcome: 400,
  },
  { origin: "garden", name: "chunk size with 0x", bytes: chunked("0x3\r\nabc\r\n0\r\n\r\n"), outcome: 400 },
  { origin: "garden", name: "chunk size with a plus", bytes: chunked("+3\r\nabc\r\n0\r\n\r\n"), outcome: 400 },
  { origin: "garden", name: "chunk size with an underscore", bytes: chunked("0_3\r\nabc\r\n0\r\n\r\n"), outcome: 400 },
  { origin: "garden", name: "space behind a chunk size", bytes: chunked("3 \r\nabc\r\n0\r\n\r\n"), outcome: 400 },
  {
    origin: "garden",
    name: "chunk size that overflows 64 bits",
    bytes: chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"),
    outcome: 400,
  },
  { origin: "garden", name: "bare LF behind a chunk size", bytes: chunked("3\nabc\r\n0\r\n\r\n"), outcome: 400 },
  {
    origin: "garden",
    name: "bare LF in a chunk extension",
    bytes: chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "garden",
    name: "bare CR in a chunk extension",
    bytes: chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"),
    outcome: 400,
  },
  { origin: "garden", name: "no CRLF behind chunk data", bytes: chunked("3\r\nabc0\r\n\r\n"), outcome: 400 },
  {
    origin: "garden",
    name: "two bytes that are no CRLF behind chunk data",
    bytes: chunked("3\r\nabcXX0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "garden",
    name: "Content-Length in the trailers",
    bytes: chunked("0\r\nContent-Length: 3\r\n\r\n"),
    outcome: 400,
  },
  { origin: "garden", name: "empty chunk size", bytes: chunked("\r\nabc\r\n0\r\n\r\n"), outcome: 400 },

  // Two requests in one go: each is read as itself.
  {
    origin: "h1spec",
    name: "two requests behind each other",
    bytes: `${head("")}${head("X: 2\r\n")}`,
    outcome: "forward",
  },
  {
    origin: "garden",
    name: "a request in the body of another",
    bytes: post("Content-Length: 30\r\n", "GET /evil HTTP/1.1\r\nHost: b\r\n\r\n".slice(0, 30)),
    outcome: "forward",
  },
  {
    origin: "garden",
    name: "a request in a chunk",
    bytes: chunked("1c\r\nGET /evil HTTP/1.1\r\nHost: b\r\n\r\n0\r\n\r\n"),
    outcome: 400,
  },
  {
    origin: "garden",
    name: "Upgrade to h2c with a body",
    bytes: post(
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: 3\r\n",
      "abc",
    ),
    outcome: "forward",
  },
];

export const requestCases: readonly RequestCase[] = [...firstCases, ...moreRequestCases];
