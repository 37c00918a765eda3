/**
 * Where the engine and llhttp answer differently, and why. The engine is stricter everywhere: it is laxer nowhere.
 *
 *   differential.test.ts checks that these, and no other cases of the corpus, differ.
 */

/** By "origin: name". */
export const stricter: Readonly<Record<string, string>> = {
  "llhttp: no version (HTTP/0.9)": "HTTP/0.9 has no framing: a response behind it is read until the connection ends",
  "desync-guardian: two spaces behind the method": "parsers disagree on whether the target starts with the second one",
  "desync-guardian: fragment in the target":
    "a fragment is never sent (RFC 9112 §3.2); some cut it off, some route by it",
  "garden: absolute target, other host":
    "whoever routes by Host and whoever routes by the target reach different hosts",
  "garden: user information in the target": "what stands before the @ has been taken for the host",
  "rfc9112: asterisk with GET": "the asterisk goes with OPTIONS only (RFC 9112 §3.2.4)",
  "h1spec: two Hosts": "RFC 9112 §3.2 wants 400: which of them counts differs",
  "desync-guardian: Host with a path": "no authority has these bytes (RFC 9110 §7.2 wants 400)",
  "desync-guardian: Host with a space": "no authority has these bytes (RFC 9110 §7.2 wants 400)",
  "garden: Host with a comma": "a list of hosts, to some, and one name to others",
  "garden: Host with a port that is none": "the port of an authority is digits (RFC 3986 §3.2.3)",
  "garden: Content-Length with leading zeros": "some have read it as octal",
  "desync-guardian: gzip, chunked": "the coding is not implemented here, so RFC 9112 §6.1 wants 501",
  "desync-guardian: Transfer-Encoding in HTTP/1.0": "RFC 9112 §6.1: its framing is faulty, whoever sent it",
  "desync-guardian: chunked in HTTP/0.9": "HTTP/0.9 has no headers, so none that frame",
  "desync-guardian: Content-Length in HTTP/0.9": "HTTP/0.9 has no headers, so none that frame",
  "desync-guardian: chunked without a version": "HTTP/0.9 has no headers, so none that frame",
  "desync-guardian: five codings in five headers": "which of them counts differs; none but chunked is implemented",
  "desync-guardian: deflate, identity, chunked":
    "identity is no coding any more (RFC 9112 §7), and some skip what follows it",
  "llhttp: deflate, chunked": "the coding is not implemented here, so RFC 9112 §6.1 wants 501",
  "llhttp: RTSP and OPTIONS": "a listener of HTTP/1 serves HTTP/1.1 and HTTP/1.0; llhttp speaks RTSP too",
  "llhttp: M-SEARCH with an asterisk": "the asterisk goes with OPTIONS only (RFC 9112 §3.2.4); SSDP is UDP's",
  "garden: comma in front of chunked": "some take the empty element for a coding of its own, and read no chunks",
  "garden: bytes over 0x7f around Host": "no authority has these bytes (RFC 9110 §7.2 wants 400); some strip them",
};

const closedAlready = "llhttp takes the request, and then complains of what is behind it; that is never looked at here";

/** Requests of which llhttp says an error and which we forward without what it complains of. */
export const surplusRequests: Readonly<Record<string, string>> = {
  "llhttp: request behind HTTP/1.0": closedAlready,
  "llhttp: request behind Connection: close": closedAlready,
  "garden: invalid request behind Connection: close": closedAlready,
};

/** An outcome that RFC 9113 does not name, and why it is that. */
export interface Otherwise {
  readonly outcome: string;
  readonly reason: string;
}

const closedBefore =
  "nghttp2 passes over frames of streams that have closed, and so does Envoy: they may have crossed a reset on their way";
/** Envoy closes the connection. */
const dropped: Otherwise = {
  outcome: "200 5",
  reason:
    "node:http2 drops a field that nghttp2 finds malformed, and says nothing: the rest is forwarded, the field is not",
};
/** Envoy forwards the field without the white space. */
const blank: Otherwise = { outcome: "200 5", reason: dropped.reason };
const ends: Otherwise = {
  outcome: "GOAWAY INTERNAL_ERROR",
  reason: "node:http2 ends the session on any error that nghttp2 has for a frame, whatever its code",
};

/** Outcomes of h2/, by the case's origin, and the transport where it matters. */
export const http2Otherwise: Readonly<Record<string, Otherwise>> = {
  "http2 3.5.2, plaintext": {
    outcome: "HTTP/1 400",
    reason: "what is no preface is taken for HTTP/1, and refused as such",
  },
  "http2 3.5.2, TLS": ends,
  "http2 5.1.8": { outcome: "ignored", reason: closedBefore },
  "http2 5.1.9": { outcome: "ignored", reason: closedBefore },
  "http2 5.1.11": { outcome: "200 5", reason: closedBefore },
  "http2 5.1.12": { outcome: "200 5", reason: closedBefore },
  "http2 5.1.1.2": { outcome: "ignored", reason: "a lower number is that of a stream that has closed: as above" },
  "http2 6.3.1": { outcome: "ignored", reason: "nghttp2 looks at no PRIORITY (RFC 9113 §5.3.2 deprecates them)" },
  "http2 6.7.2": { outcome: ends.outcome, reason: "node:http2 takes an acknowledgement without a ping for an attack" },
  "http2 8.1.2.6.1": ends,
  "http2 8.1.2.6.2": ends,
  "rfc9113 1": dropped,
  "rfc9113 2": dropped,
  "rfc9113 3": dropped,
  "rfc9113 4": dropped,
  "rfc9113 5": dropped,
  "rfc9113 6": dropped,
  "rfc9113 7": dropped,
  "rfc9113 25": blank,
  "rfc9113 26": blank,
  "rfc9113 29": dropped,
};

const onlyHTTP = "an upstream of HTTP/1 says HTTP/1.1 or HTTP/1.0; whoever says something else speaks something else";
const whoseLength = "llhttp reads until the end then, others read chunks: RFC 9112 §6.3 leaves both";

/** Responses that llhttp takes and we refuse, by "origin: name". What llhttp refuses is forwarded nowhere. */
export const stricterResponses: Readonly<Record<string, string>> = {
  "garden: Content-Length with leading zeros": "some have read it as octal",
  "llhttp: ICE": onlyHTTP,
  "llhttp: RTSP": onlyHTTP,
  "llhttp: version 0.9": onlyHTTP,
  "llhttp: chunked and identity": whoseLength,
  "llhttp: chunked, deflate": whoseLength,
  "llhttp: chunkedchunked": whoseLength,
  "llhttp: empty line in front": "RFC 9112 §2.2 allows it in front of requests only",
  "rfc9112: 17 interim responses": "an upstream that never comes to an answer would hold the request for ever",
  "rfc9112: NUL in the reason": "RFC 9110 §5.5 wants none in a head: what reads C strings would stop there",
  "rfc9112: chunked in HTTP/1.0": "RFC 9112 §6.1: its framing is faulty, whoever sent it",
  "rfc9112: gzip, chunked": "the coding is not implemented here: the body would be passed on as another one",
  "rfc9112: status 099": "statuses begin at 100 (RFC 9110 §15)",
};

const surplus =
  "llhttp takes the response, and then complains of what is behind it; that is dropped with the upstream's connection";

/** Responses of which llhttp says an error and which we forward without what it complains of. */
export const surplusResponses: Readonly<Record<string, string>> = {
  "llhttp: 204, Connection: close, and another response": surplus,
  "llhttp: bytes behind a body, Connection: close": surplus,
  "rfc9112: answer to HEAD with a body": surplus,
  "rfc9112: answer to HEAD with chunks": surplus,
};

/** Cases of which Envoy 1.40 forwards nothing and we do; llhttp takes each. */
export const laxerThanEnvoy: Readonly<Record<string, string>> = {
  "rfc9112: asterisk with OPTIONS":
    "Envoy's prefix / does not match the asterisk, ours does: what is asked is the host's",
  "garden: Connection lists Host": "Host is kept whatever Connection lists, so there is nothing to smuggle",
  "llhttp: QUERY": "Envoy knows the methods of its list only",
  "rfc9112: an interim response with a length": "the length is dropped, and an interim response has no body to end",
};
