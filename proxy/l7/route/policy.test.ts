/** What an edge takes off requests from outside, and what it leaves on those from inside. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { headerValue } from "../http1/headers.ts";
import { parseRequestHead } from "../http1/request.ts";
import { type RequestPolicy, prepareHead, requestPolicyDefault } from "./policy.ts";

const edge: RequestPolicy = { ...requestPolicyDefault, usesRemoteAddress: true, isPlain: false };
const connection = { remoteAddress: "192.0.2.1", remotePort: 5000, localPort: 8080 };

/** The headers `key` = value as routes see them. */
function prepared(lines: string, policy: RequestPolicy): (key: string) => string | undefined {
  const head = parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
  const made = prepareHead(head, policy, { connection, newRequestId: () => "made" });
  assert.equal(made.kind, "head");
  return (key) => headerValue(made.head.headers, key);
}

const forged =
  "X-Request-Id: mine\r\nX-Envoy-Original-Path: /a\r\nX-Envoy-Original-Host: b\r\nX-Forwarded-Port: 1\r\n" +
  "X-Envoy-Upstream-Stream-Duration-Ms: 1\r\n";
const keys = ["x-request-id", "x-envoy-original-path", "x-envoy-original-host", "x-envoy-upstream-stream-duration-ms"];

test("prepareHead() at an edge takes off what only a proxy may say, and gives an id of its own", () => {
  assert.deepEqual(keys.map(prepared(forged, edge)), ["made", undefined, undefined, undefined]);
  const preserved = prepared(forged, { ...edge, preservesRequestId: true });
  assert.deepEqual(keys.map(preserved), ["mine", undefined, undefined, undefined]);
});

test("prepareHead() leaves it on requests from inside, and where the peer is a proxy", () => {
  const inside = prepared(forged, { ...edge, isInternal: (address) => address === connection.remoteAddress });
  assert.deepEqual(keys.map(inside), ["mine", "/a", "b", "1"]);
  assert.deepEqual(keys.map(prepared(forged, requestPolicyDefault)), ["mine", "/a", "b", undefined]);
});

test("prepareHead() believes an x-forwarded-port of proxies alone", () => {
  const port = (lines: string, policy: RequestPolicy): string | undefined =>
    prepared(lines, { ...policy, appendsForwardedPort: true, isPlain: false })("x-forwarded-port");
  assert.equal(port(forged, edge), "8080");
  assert.equal(port(forged, { ...edge, trustedHops: 1 }), "1");
  assert.equal(port(forged, requestPolicyDefault), "1");
  assert.equal(port("", requestPolicyDefault), "8080");
});

test("prepareHead() takes off what Connection lists, which cannot take off what is set here", () => {
  const listed = "Connection: X-Own, X-Envoy-External-Address, X-Request-Id, close\r\nX-Own: 1\r\nX-Other: 2\r\n";
  const head = parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${listed}X-Envoy-External-Address: 1.1.1.1\r\n\r\n`);
  const made = prepareHead(head, edge, { connection, newRequestId: () => "made" });
  assert.equal(made.kind, "head");
  const keys = ["x-own", "x-other", "x-envoy-external-address", "x-request-id"];
  assert.deepEqual(
    keys.map((key) => headerValue(made.head.headers, key)),
    [undefined, "2", "192.0.2.1", "made"],
  );
  assert.deepEqual([made.head.hop.listed, made.head.hop.wantsClose], [[], true]);
});
