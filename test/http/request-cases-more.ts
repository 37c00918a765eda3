/**
 * More requests on which parsers disagree, written from the published descriptions of the cases: the origin is named,
 * nothing is copied. Together with request-cases.ts they are all of h1spec's, llhttp's strict cases, the tiers of
 * http-desync-guardian, and the HTTP Garden's numbered bugs.
 *
 *   request-cases.ts ─▶ differential.test.ts
 */
import type { RequestCase } from "./request-cases.ts";

type Row = readonly [name: string, bytes: string, outcome: RequestCase["outcome"]];

const head = (lines: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const post = (lines: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n${body}`;
const chunked = (body: string): string => post("Transfer-Encoding: chunked\r\n", body);
const line = (text: string): string => `${text}\r\nHost: a\r\n\r\n`;
/** A header line that says chunked by `name`, and a body that would be chunks. */
const named = (name: string, value = "chunked"): string => post(`${name}: ${value}\r\n`, "0\r\n\r\n");

const llhttp: readonly Row[] = [
  ["PUT, keep-alive", "PUT /url HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "forward"],
  ["request behind HTTP/1.0", `PUT /url HTTP/1.0\r\nHost: a\r\n\r\n${head("")}`, "forward"],
  ["empty line between requests", `${post("Content-Length: 4\r\n", "q=42")}\r\n${head("")}`, "forward"],
  ["CR in Connection", head("Connection: keep\ralive\r\n"), 400],
  ["Connection: close and a tab", head("Connection: close\t\r\n"), "forward"],
  ["request behind Connection: close", `${head("Connection: close\r\n")}${head("")}`, "forward"],
  ["options of Connection", head("Connection: close, token, upgrade, token, keep-alive\r\n"), "forward"],
  ["folded Connection", head("Connection: Something,\r\n Upgrade, ,Keep-Alive\r\n"), 400],
  ["CRLF inside Connection", head("Connection: keep-alive, \r\n upgrade\r\n"), 400],
  ["space behind the name Connection", head("Connection : upgrade\r\nUpgrade: ws\r\n"), 400],
  ["Content-Length behind other headers", post("X: 1\r\nContent-Length: 3\r\nOhai: world\r\n", "abc"), "forward"],
  ["Content-Length and identity", post("Content-Length: 1\r\nTransfer-Encoding: identity\r\n", "a"), 400],
  ["space behind the name Content-Length", post("Content-Length : 4\r\n", "abcd"), 400],
  ["capitals in Content-Length, HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nconTENT-Length: 5\r\n\r\nHELLO", "forward"],
  ["spaces around Content-Length", post("Content-Length:  3  \r\n", "abc"), "forward"],
  ["tabs around Content-Length", post("Content-Length:\t3\t\r\n", "abc"), "forward"],
  ["CR in the name Content-Length", post("Content\rLength: 3\r\n", "abc"), 400],
  ["CR in front of the body", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\rabc", 400],
  ["ICE and GET", line("GET /music ICE/1.0"), 400],
  ["nearly HTTP", line("GET /music IHTTP/1.0"), 400],
  ["RTSP and PUT", line("PUT /music RTSP/1.0"), 400],
  ["RTSP and OPTIONS", line("OPTIONS /music RTSP/1.0"), 400],
  ["RTSP's method", line("ANNOUNCE /music HTTP/1.0"), 400],
  ["LF between headers", post("x:x\nTransfer-Encoding: chunked\r\n", "1\r\nA\r\n0\r\n\r\n"), 400],
  ["CR behind an empty header", post("x:\rTransfer-Encoding: chunked\r\n", "1\r\nA\r\n0\r\n\r\n"), 400],
  ["LF behind an empty header", post("x:\nTransfer-Encoding: chunked\r\n", "1\r\nA\r\n0\r\n\r\n"), 400],
  ["a request behind CR and a byte", "GET / HTTP/1.1\r\nHost: a\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["at sign in a name", head("Fo@: Failure\r\n"), 400],
  ["control byte in a name", head("Foo\x01test: Bar\r\n"), 400],
  ["name on a line of its own", head("name\r\n : value\r\n"), 400],
  ["Connection cut by CR", head("Connection\r\x1b\x35\xd5eep-Alive\r\n"), 400],
  ["request hidden in a header", `${head("Dummy: x\nContent-Length: 23\r\n")}GET / HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ["version 5.6", line("GET / HTTP/5.6"), 505],
  ["LF alone everywhere", "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n1\nA\n0\n\n", 400],
  [
    "space in front of Content-Length",
    `POST / HTTP/1.1\r\nHost: a\r\nFoo: b\r\n Content-Length: 38\r\n\r\n${head("")}`,
    400,
  ],
  ["REPORT", line("REPORT /test HTTP/1.1"), "forward"],
  ["PATCH", "PATCH /f HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nccc", "forward"],
  ["PURGE", line("PURGE /f HTTP/1.1"), "forward"],
  ["SEARCH", line("SEARCH / HTTP/1.1"), "forward"],
  ["M-SEARCH with an asterisk", line("M-SEARCH * HTTP/1.1"), 400],
  ["LINK", line("LINK /f HTTP/1.1"), "forward"],
  ["UNLINK", line("UNLINK /f HTTP/1.1"), "forward"],
  ["QUERY", "QUERY /f HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "forward"],
  ["PRI in HTTP/1.1", "PRI * HTTP/1.1\r\nHost: a\r\n\r\nSM\r\n\r\n", 505],
  [
    "three requests",
    `${post("Content-Length: 3\r\n", "AAA")}${post("Content-Length: 1\r\n", "B")}${head("")}`,
    "forward",
  ],
  ["HEAD", line("HEAD /url HTTP/1.1"), "forward"],
  ["Host with an equals sign", "GET /test HTTP/1.1\r\nHost: 0.0.0.0=5000\r\n\r\n", "forward"],
  ["value of pluses", head("aaaaaaaaaaaaa:++++++++++\r\n"), "forward"],
  ["no LF behind a CR", "GET / HTTP/1.1\rLine: 1\r\n\r\n", 400],
  ["UTF-8 in a value", head("Test: D\xc3\xbcsseldorf\r\n"), "forward"],
  ["byte 255 in a value", head("Header2: \xffValue2\r\n"), "forward"],
  ["lower-case chunk size", chunked("a\r\n0123456789\r\n0\r\n\r\n"), "forward"],
  ["two chunks and many zeros", chunked("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n"), "forward"],
  ["two chunks and trailers", chunked("5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n"), "forward"],
  ["chunk extensions", chunked("5;ilovew3;much=aretheseparameters\r\nhello\r\n0\r\n\r\n"), "forward"],
  ["chunk extension without a semicolon", chunked("2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n"), 400],
  ["semicolon without an extension", chunked("2;\r\naa\r\n0\r\n\r\n"), 400],
  ["quoted chunk extensions", chunked('5;a="I love; it";b="c";d;e=f\r\nhello\r\n0\r\n\r\n'), "forward"],
  ["chunk extension with an open quote", chunked('5;a="abc";b="def; ghi\r\nhello\r\n0\r\n\r\n'), 400],
  ["chunked before another coding", post("Transfer-Encoding: chunked, deflate\r\n", "0\r\n\r\n"), 400],
  [
    "two headers, chunked is not the last",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", ""),
    400,
  ],
  ["chunkedchunked", named("Transfer-Encoding", "chunkedchunked"), 400],
  ["pigeons and Content-Length", post("Transfer-Encoding: pigeons\r\nContent-Length: 3\r\n", "abc"), 400],
  ["deflate, chunked", named("Transfer-Encoding", "deflate, chunked"), 501],
  ["folded line behind chunked", post("Transfer-Encoding: chunked\r\n  abc\r\n", "0\r\n\r\n"), 400],
  ["folded line in front of chunked", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400],
  ["quotes and brackets in the query", line('GET /with_"stupid"_quotes?foo="bar" HTTP/1.1'), "forward"],
  ["question mark in the query", line("GET /test.cgi?foo=bar?baz HTTP/1.1"), "forward"],
  ["two question marks", line("GET /test.cgi?? HTTP/1.1"), "forward"],
  ["slashes in front", line("GET //a/b HTTP/1.1"), "forward"],
  ["pipes in the path", line("GET /a|b{c}^`d HTTP/1.1"), "forward"],
  ["DEL in the path", line("GET /a\x7fb HTTP/1.1"), 400],
  ["no target", line("GET HTTP/1.1"), 505],
];

const guardian: readonly Row[] = [
  ...(["Transfer-Encoding", "Content-Length"] as const).flatMap((name): Row[] => {
    const value = name === "Content-Length" ? "1000" : "chunked";
    const spaced = ["\x01", "\x01\x01", "\0", " ", "\r", "\xa0"].map((byte): Row => [
      `${JSON.stringify(byte)} in front of ${name}`,
      post(`${byte}${name}: ${value}\r\n`, "0\r\n\r\n"),
      400,
    ]);
    const behind = ["\x01", "\t", "\0", "\r", "\n", "\x88", "\xa0"].map((byte): Row => [
      `${JSON.stringify(byte)} behind the name ${name}`,
      named(`${name}${byte}`, value),
      400,
    ]);
    const values = [`\x01${value}`, `${value}\x01`, `${value}\x11`, `${value}\x7f`, `\xa0${value}`, `${value}\xa0`];
    const around = [...values, `${value}\x80`, `\0${value}`].map((text): Row => [
      `${name} of ${JSON.stringify(text)}`,
      named(name, text),
      400,
    ]);
    return [...spaced, ...behind, ...around];
  }),
  ["space inside the name Transfer-Encoding", named("Transfer- Encoding"), 400],
  ["underscore for the dash of Transfer-Encoding", post("Transfer_Encoding: chunked\r\n", ""), "forward"],
  ["underscores for the dash of Transfer-Encoding", post("Transfer___Encoding: chunked\r\n", ""), "forward"],
  ["underscore for the dash of Content-Length", post("Content_Length: 1000\r\n", ""), "forward"],
  ["long s in Transfer-Encoding", named("Tran\xc5\xbffer-Encoding"), 400],
  ["dotless i in Transfer-Encoding", named("Transfer-Encod\xc4\xb1ng"), 400],
  ["UTF-8 dash in Transfer-Encoding", named("Transfer\xe2\x80\x95Encoding"), 400],
  ["gzip and Content-Length", post("Transfer-Encoding: gzip\r\nContent-Length: 100\r\n", ""), 400],
  [
    "GET with chunks",
    "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "forward",
  ],
  ["HEAD with a body", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "forward"],
  ["HEAD with chunks", "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "forward"],
  ["GET with Content-Length 0", head("Content-Length: 0\r\n"), "forward"],
  ["name starts with a colon", post(":SomeHeader:Transfer-Encoding:: chunked\r\n", ""), 400],
  ["name of white space", post("   \t\t  : chunked\r\n", ""), 400],
  ["chunked in HTTP/0.9", "POST / HTTP/0.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 505],
  ["Content-Length in HTTP/0.9", "POST / HTTP/0.9\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 505],
  ["chunked without a version", "POST /\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 505],
  ["Content-Length 1000 1000", post("Content-Length: 1000 1000\r\n", ""), 400],
  ["Content-Length 1000.1000", post("Content-Length: 1000.1000\r\n", ""), 400],
  ["Content-Length of 2^64", post("Content-Length: 18446744073709551616\r\n", ""), 400],
  ["chunked, chunked", named("Transfer-Encoding", "chunked, chunked"), 400],
  ["chunk for chunked", named("Transfer-Encoding", "chunk"), 400],
  ["cow behind chunked", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "0\r\n\r\n"), 400],
  ["chunked with a parameter", named("Transfer-Encoding", "\t\tchunked;custom_param;\t\t"), 400],
  ["five codings in five headers", post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400],
  ["deflate, identity, chunked", named("Transfer-Encoding", "deflate, identity, chunked"), 400],
  ["capitals in chunked, with Content-Length", post("TrAnSfEr-EnCoDiNg: ChUnKeD\r\nContent-Length: 6\r\n", ""), 400],
  [
    "chunked as another header's value",
    post("Content-Length: 3\r\nX-test: Transfer-Encoding: chunked\r\n", "abc"),
    "forward",
  ],
  ["control byte in a method", line("bad_method\x01 / HTTP/1.1"), 400],
  ["tab and version in the target", line("GET /a\tHTTP/1.1 HTTP/1.1"), 400],
  ["request in the target", "GET /a\tHTTP/1.1\r\nHost:a\r\n\r\nGET\t/b\t HTTP/1.1\r\nHost: a\r\n\r\n", 505],
  ["two versions", line("GET / HTTP/1.1 HTTP/1.1"), 400],
  ["CR in the target", line("GET /a\rHTTP/1.1 HTTP/1.1"), 400],
  ["LF in the target", line("GET /a\nHTTP/1.1 HTTP/1.1"), 400],
  ["NUL in front of the target", line("GET \0/a HTTP/1.1"), 400],
  ["control bytes in the target, encoded", line("GET /a%09%20%0D%0A HTTP/1.1"), "forward"],
  ["space behind a name of no account", head("x-my-custom-header : value\r\n"), 400],
  ["29 headers", head(Array.from({ length: 29 }, (_, index) => `Name-${index}: v\r\n`).join("")), "forward"],
];

const h1spec: readonly Row[] = [
  ["no version", "GET / \r\n\r\n", 400],
  ["Expect", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "forward"],
  ["tab in front of Host, and an empty value", "GET / HTTP/1.1\r\nhoSt:\ta\r\nempty:\r\n\r\n", "forward"],
  ["brackets in a name", head("X-Invalid[]: test\r\n"), 400],
  ["Content-Length without Host", "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400],
  ["negative Content-Length that overflows", head("Content-Length: -123456789123456789123456789\r\n"), 400],
  ["Content-Length of letters", head("Content-Length: abc\r\n"), 400],
  ["bell in a value", head("X-Bad-Control-Char: test\x07\r\n"), 400],
  ["version 9.9", line("GET / HTTP/9.9"), 505],
  ["text in front of the method", line("Extra lineGET / HTTP/1.1"), 400],
  ["CR where the head would end", "GET / HTTP/1.1\r\nHost: a\r\n\rSome-Header: Test\r\n\r\n", 400],
  ["a chunk whose bytes are letters of sizes", chunked("c\r\nHellO world1\r\n0\r\n\r\n"), "forward"],
  ["mixed case, both lengths", post("content-LengtH: 5\r\nTransFer-Encoding: chunked\r\n", "0\r\n\r\n"), 400],
  // A head that goes on later is waited for; here the downstream ends instead.
  ...["G", "GET ", "GET /", "GET / ", "GET / HTTP/1.1", "GET / HTTP/1.1\r", "GET / HTTP/1.1\r\n"].map(cut),
  ...["Hos", "Host:", "Host: ", "Host: a", "Host: a\r", "Host: a\r\n", "Host: a\r\n\r"].map((text) =>
    cut(`GET / HTTP/1.1\r\n${text}`),
  ),
];

const garden: readonly Row[] = [
  ["chunk size with a minus", chunked("-3\r\nabc\r\n0\r\n\r\n"), 400],
  ["NUL and CR in a value", head("Header: v\0\ralue\r\n"), 400],
  ["tab in front of the first header", "GET / HTTP/1.1\r\n\tContent-Length: 1\r\nHost: a\r\n\r\nX", 400],
  ["version 1.32", line("GET /test HTTP/1.32"), 400],
  ["a method of punctuation", line('G=":<>(e),[T];?" /get HTTP/1.1'), 400],
  ["exclamation mark for a target", line("GET ! HTTP/1.1"), 400],
  ["LF for a space in the request line", line("GET /\nHTTP/1.1"), 400],
  ["Content-Length +1_0", post("Content-Length: +1_0\r\n", "0123456789"), 400],
  ["CR as a line's end", head("Visible: :/\rSmuggled: :)\r\n"), 400],
  [
    "all control bytes in a name",
    head(`${Array.from({ length: 31 }, (_, code) => String.fromCharCode(code + 1)).join("")}: v\r\n`),
    400,
  ],
  ["CRs in the version", line("GET / HTTP/\r\r1.1"), 400],
  ["empty chunk size at the end", chunked("\r\n\r\n"), 400],
  ["LFs in front of a value", head("Useless:\n\nGET / HTTP/1.1\r\n"), 400],
  ["0x85 behind the name Content-Length", post("Content-Length\x85: 10\r\n", "0123456789"), 400],
  ["comma in front of chunked", named("Transfer-Encoding", ",chunked"), 400],
  ["version that overflows", line("GET / HTTP/4294967295.255"), 400],
  ["colon alone", head(":\r\nI: am chopped off\r\n"), 400],
  ["space for a colon", post("Content-Length 10\r\n", "0123456789"), 400],
  ["Content-Length 1Z", post("Content-Length: 1Z\r\n", "Z"), 400],
  ["CR and a byte behind a chunk line", chunked("5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n"), 400],
  ["CR and CR behind a chunk extension", chunked(`3;a=b\r\rXXX\r\n0\r\n\r\n${head("")}`), 400],
  ["Content-Length 010", post("Content-Length: 010\r\n", "01234567"), 400],
  ["NUL cuts a value", head("Test: test\0THESE\r\nConnection: close\r\n"), 400],
  [
    "name continued on the next line",
    post("Transfer-\r\nEncoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
    400,
  ],
  ["two bytes for CRLF behind the last chunk", chunked("0\r\nX:POST / HTTP/1.1\r\n\r\n"), "forward"],
  ["digits and dots for a version", line("\0 / HTTP/............0596.7407."), 400],
  ["bytes over 0x7f around a value", head("User: \x85admin\xa0\r\n"), "forward"],
  ["empty Content-Length and another", post("Content-Length: \r\nContent-Length: 43\r\n", head("")), 400],
  ["unknown coding", named("Transfer-Encoding", "blegh"), 400],
  ["invalid request behind Connection: close", `${head("Connection: close\r\n")}Invalid\r\n\r\n`, "forward"],
  ["bytes over 0x7f around Host", "GET / HTTP/1.1\r\nHost: \xffa\xff\r\n\r\n", 400],
  ["a chunk that is none, and a request", chunked(`INVALID!!!\r\n${head("")}`), 400],
  ["Content-Length 0 and a request", `${post("Content-Length: 0\r\nid: 0\r\n", "")}${head("id: 1\r\n")}`, "forward"],
  ["letters that are no chunk sizes", chunked("Z\r\nZZ\r\nZZZ\r\n\r\n"), 400],
  ["bytes behind a chunk size", chunked("1these-bytes\r\nZ\r\n0\r\n\r\n"), 400],
  ["CR in front of an extension's semicolon", chunked("2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n"), 400],
];

export const moreRequestCases: readonly RequestCase[] = [
  ...llhttp.map((row) => toCase("llhttp", row)),
  ...guardian.map((row) => toCase("desync-guardian", row)),
  ...h1spec.map((row) => toCase("h1spec", row)),
  ...garden.map((row) => toCase("garden", row)),
];

/** 0: no answer, for nobody asked in whole. */
function cut(text: string): Row {
  return [`cut behind ${JSON.stringify(text)}`, text, 0];
}

function toCase(origin: RequestCase["origin"], [name, bytes, outcome]: Row): RequestCase {
  return { origin, name, bytes, outcome };
}
