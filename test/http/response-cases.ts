/**
 * HTTP/1 responses on which parsers disagree, written from the published descriptions of the cases: the origin is
 * named, nothing is copied. The cases of "rfc9112" are ours: what the requests of request-cases.ts have, said by an
 * upstream.
 *
 *   responses.test.ts ─▶ each case: an upstream says it and ends ─▶ the engine ─▶ downstream, and node:http (llhttp)
 *
 * `outcome` is ours: "forward", the status of the answer that stands in for it, or "cut": a reset where the head had
 * gone out before. Where llhttp sees it otherwise, differences.ts has the reason.
 */
export interface ResponseCase {
  readonly origin: "llhttp" | "garden" | "rfc9112";
  readonly name: string;
  readonly bytes: string;
  readonly outcome: "forward" | "cut" | number;
  /** Of the request, default GET. */
  readonly method: string;
}

type Row = readonly [name: string, bytes: string, outcome: ResponseCase["outcome"], method?: string];

const ok = (lines: string, body = ""): string => `HTTP/1.1 200 OK\r\n${lines}\r\n${body}`;
const chunked = (body: string): string => ok("Transfer-Encoding: chunked\r\n", body);
const counted = (body: string): string => ok(`Content-Length: ${body.length}\r\n`, body);
const empty = ok("Content-Length: 0\r\n");
/** What must not be taken for a response to the next request. */
const second = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

const startLines: readonly Row[] = [
  ["simple", ok("Header1: Value1\r\nHeader2:\t Value2\r\nContent-Length: 0\r\n"), "forward"],
  ["body by Content-Length", counted("hello"), "forward"],
  ["no headers, no body", "HTTP/1.1 404 Not Found\r\n\r\n", "forward"],
  ["no reason phrase", "HTTP/1.1 301\r\nContent-Length: 0\r\n\r\n", "forward"],
  ["empty reason phrase behind a space", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "forward"],
  ["reason with bytes over 0x7f", "HTTP/1.1 500 Ori\xc3\xabntatie\r\nContent-Length: 0\r\n\r\n", "forward"],
  ["reason without spaces", "HTTP/1.1 301 MovedPermanently\r\nContent-Length: 0\r\n\r\n", "forward"],
  ["two spaces before the reason", "HTTP/1.1 200  OK\r\nContent-Length: 0\r\n\r\n", "forward"],
  ["RTSP", "RTSP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["ICE", "ICE/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["a longer name of the protocol", "HTTPER/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["a shorter name of the protocol", "HTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["major version 01", "HTTP/01.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["major version 11", "HTTP/11.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["minor version 01", "HTTP/1.01 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["version 5.6", "HTTP/5.6 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["version 0.9", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["tab behind the version", "HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["CR in front, tab behind the version", "\rHTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["status of one digit", "HTTP/1.1 2 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["empty line in front", `\r\n${empty}`, 502],
  ["CR alone behind the status line", "HTTP/1.1 200 OK\rContent-Length: 0\r\n\r\n", 502],
  ["two CRs behind the status line", "HTTP/1.1 200 OK\r\rContent-Length: 4\r\n\r\nEvil", 502],
  ["LF alone, no body", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502],
  ["LF alone, body until the end", "HTTP/1.1 200 OK\nFoo: abc\nBar: def\n\nBODY\n", 502],
  ["LF alone, Connection: close", "HTTP/1.1 200 OK\nContent-Type: text/html\nConnection: close\n\nheaders", 502],
];

const fields: readonly Row[] = [
  ["line that starts with a space", "HTTP/1.1 200 OK\r\n Host: foo\r\n\r\n", 502],
  ["headers with a CR between", ok("Foo: 1\rBar: 2\r\n"), 502],
  ["underscore in a name", ok("Content-Length: 0\r\nDCLK_imp: v7;x;1;0/0;~okv=;dcmt=text/xml;;~cs=o\r\n"), "forward"],
  ["space in a name", ok("en-US Content-Type: text/xml\r\nContent-Length: 3\r\n", "abc"), 502],
  ["names with a letter missing", ok(".et-Cookie: a=b\r\n_onnection: Keep-Alive\r\nContent-Length: 0\r\n"), "forward"],
  ["dollar in a name", ok("X-$PrototypeBI-Version: 1.6.0.3\r\nContent-Length: 0\r\n"), "forward"],
  ["empty value", ok("Pragma: \r\nContent-Length: 0\r\n"), "forward"],
  ["Proxy-Connection", ok("Proxy-Connection: close\r\nContent-Length: 11\r\n", "hello world"), "forward"],
  ["Content-Length with spaces around", ok("Content-Length:  3  \r\n", "abc"), "forward"],
  ["Content-Length with tabs around", ok("Content-Length:\t3\t\r\n", "abc"), "forward"],
  ["Content-Length-X", ok("Content-Length-X: 0\r\nTransfer-Encoding: chunked\r\n", "2\r\nOK\r\n0\r\n\r\n"), "forward"],
];

const ends: readonly Row[] = [
  ["HTTP/1.0, keep-alive, body until the end", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", "forward"],
  ["HTTP/1.0, keep-alive, another response in the body", `HTTP/1.0 200 OK\r\n\r\n${second}`, "forward"],
  [
    "HTTP/1.0, keep-alive, 204 and another response",
    `HTTP/1.0 204 No\r\nConnection: keep-alive\r\n\r\n${second}`,
    "forward",
  ],
  [
    "HTTP/1.0 with Content-Length",
    "HTTP/1.0 301 Moved\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
    "forward",
  ],
  ["body until the end", ok("Content-Type: text/plain\r\n", "hello world"), "forward"],
  ["body until the end, Connection: close", ok("Connection: close\r\n", "<?xml?>"), "forward"],
  ["another response in a body until the end", ok("", second), "forward"],
  ["204 and another response", `HTTP/1.1 204 No content\r\n\r\n${second}`, "forward"],
  ["204, Connection: close, and another response", `HTTP/1.1 204 No\r\nConnection: close\r\n\r\n${second}`, "forward"],
  [
    "bytes behind a body, Connection: close",
    ok("Content-Length: 5\r\nConnection: close\r\n", "2ad731e3-4dcd"),
    "forward",
  ],
  ["body that does not come", ok("Content-Length: 123\r\n"), "cut"],
  ["another response instead of a body", ok("Content-Length: 123\r\n", second), "cut"],
  ["three responses behind each other", `${counted("AAA")}${counted("BBBB")}${counted("CCCCC")}`, "forward"],
  ["200 with Upgrade, body until the end", ok("Connection: upgrade\r\nUpgrade: h2c\r\n", "body"), "forward"],
  [
    "200 with Upgrade and Content-Length",
    ok("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n", "body"),
    "forward",
  ],
  [
    "200 with Upgrade and chunks",
    ok("Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n", "2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"),
    "forward",
  ],
  ["304 with Content-Length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "forward"],
  ["304 with Content-Length and another response", `HTTP/1.1 304 No\r\nContent-Length: 10\r\n\r\n${second}`, "forward"],
  ["304 with chunked", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", "forward"],
  [
    "304 with chunked and another response",
    `HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n${second}`,
    "forward",
  ],
  ["100, then 404", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n404", "forward"],
  ["103, then 200", `HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n${counted("hello")}`, "forward"],
  ["101 that nobody asked for", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nproto", 502],
  [
    "101 with Content-Length",
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nbody",
    502,
  ],
  [
    "101 with chunks",
    "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n0\r\n\r\n",
    502,
  ],
];

const chunks: readonly Row[] = [
  ["a chunk", chunked("a\r\n0123456789\r\n0\r\n\r\n"), "forward"],
  ["a chunk extension", chunked("a;foo=bar\r\n0123456789\r\n0\r\n\r\n"), "forward"],
  [
    "chunk extensions",
    chunked("5;ilovew3;much=aretheseparameters\r\nhello\r\n6;bla;b\r\n world\r\n0\r\n\r\n"),
    "forward",
  ],
  ["quoted chunk extensions", chunked('5;a="I love; it";b="c";d;e=f\r\nhello\r\n0\r\n\r\n'), "forward"],
  ["a chunk extension with an open quote", chunked('5;a="abc";b="def; ghi\r\nhello\r\n0\r\n\r\n'), "cut"],
  ["space behind a chunk size", chunked("5  \r\nhello\r\n0  \r\n\r\n"), "cut"],
  ["chunk extension without a semicolon", chunked("2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n"), "cut"],
  ["semicolon without an extension", chunked("2;\r\naa\r\n0\r\n\r\n"), "cut"],
  ["chunk extension with a backslash in its quotes", chunked('2;a="x\\"y"\r\naa\r\n0\r\n\r\n'), "forward"],
  ["chunk extension with space around it", chunked("2; a = b\r\naa\r\n0\r\n\r\n"), "cut"],
  ["chunk extension whose name is no token", chunked("2;(\r\naa\r\n0\r\n\r\n"), "cut"],
  ["chunk extension with bytes behind its quotes", chunked('2;a="x"y\r\naa\r\n0\r\n\r\n'), "cut"],
  ["chunked, deflate", ok("Transfer-Encoding: chunked, deflate\r\n", "World"), 502],
  ["chunked and identity", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "World"), 502],
  ["chunkedchunked", ok("Transfer-Encoding: chunkedchunked\r\n", "2\r\nOK\r\n0\r\n\r\n"), 502],
  ["folded line behind chunked", ok("Transfer-Encoding: chunked\r\n  abc\r\n", "5\r\nWorld\r\n0\r\n\r\n"), 502],
];

const garden: readonly Row[] = [
  ["chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), "cut"],
  ["chunk size with a minus", chunked("-3\r\nabc\r\n0\r\n\r\n"), "cut"],
  ["chunk size with an underscore", chunked("0_3\r\nabc\r\n0\r\n\r\n"), "cut"],
  ["chunk size that overflows 64 bits", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), "cut"],
  ["LF alone behind a chunk size", chunked("3\nabc\r\n0\r\n\r\n"), "cut"],
  ["LF in a chunk extension", chunked("3;a\nb\r\nabc\r\n0\r\n\r\n"), "cut"],
  ["two bytes that are no CRLF behind a chunk", chunked("3\r\nabcXX0\r\n\r\n"), "cut"],
  ["no last chunk", chunked("3\r\nabc\r\n"), "cut"],
  ["Content-Length with an underscore", ok("Content-Length: 1_0\r\n", "0123456789"), 502],
  ["Content-Length with a plus", ok("Content-Length: +3\r\n", "abc"), 502],
  ["Content-Length with leading zeros", ok("Content-Length: 003\r\n", "abc"), 502],
  ["empty Content-Length", ok("Content-Length:\r\n", "abc"), 502],
];

const framing: readonly Row[] = [
  ["Content-Length and chunked", ok("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 502],
  ["two different Content-Lengths", ok("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 502],
  ["the same Content-Length twice", ok("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 502],
  ["a list of equal lengths", ok("Content-Length: 3, 3\r\n", "abc"), 502],
  ["chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502],
  ["gzip, chunked", ok("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 502],
  ["Transfer-Encoding with a space in front of the colon", ok("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 502],
  ["NUL in a value", ok("X: a\0b\r\nContent-Length: 0\r\n"), 502],
  ["folded line", ok("X: a\r\n b\r\nContent-Length: 0\r\n"), 502],
  ["status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["status with a plus", "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n", 502],
  ["status 099", "HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", 502],
  ["NUL in the reason", "HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", 502],
  ["answer to HEAD with a length", ok("Content-Length: 100\r\n"), "forward", "HEAD"],
  ["answer to HEAD with a body", counted("hello"), "forward", "HEAD"],
  ["answer to HEAD with chunks", chunked("3\r\nabc\r\n0\r\n\r\n"), "forward", "HEAD"],
  ["answer to HEAD and another response", `${ok("Content-Length: 3\r\n")}${second}`, "forward", "HEAD"],
  ["17 interim responses", `${"HTTP/1.1 102 Processing\r\n\r\n".repeat(17)}${counted("hello")}`, 502],
  ["an interim response without another", "HTTP/1.1 100 Continue\r\n\r\n", 503],
  ["an interim response with a length", `HTTP/1.1 103 No\r\nContent-Length: 4\r\n\r\n${counted("hello")}`, "forward"],
  ["Content-Length in the trailers", chunked("3\r\nabc\r\n0\r\nContent-Length: 5\r\n\r\n"), "cut"],
  ["trailers", chunked("3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), "forward"],
  ["a head that ends in its middle", "HTTP/1.1 200 OK\r\nContent-Le", 503],
  ["nothing", "", 503],
];

export const responseCases: readonly ResponseCase[] = [
  ...[...startLines, ...fields, ...ends, ...chunks].map((row) => toCase("llhttp", row)),
  ...garden.map((row) => toCase("garden", row)),
  ...framing.map((row) => toCase("rfc9112", row)),
];

function toCase(origin: ResponseCase["origin"], [name, bytes, outcome, method = "GET"]: Row): ResponseCase {
  return { origin, name, bytes, outcome, method };
}
