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
};
