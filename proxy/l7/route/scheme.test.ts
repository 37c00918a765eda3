/** The scheme that logs and header values are told: the connection's, or what a proxy in front says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTemplate } from "../accesslog/template.ts";
import { parseRequestHead } from "../http1/request.ts";
import { requestPolicyDefault } from "./policy.ts";
import type { SchemeRule } from "./scheme.ts";

const template = compileTemplate("%REQ(:SCHEME)% %REQ(X-NONE?:SCHEME)%", (why) => Error(why));
const none = { status: 0, flag: "-", requestBytes: 0, responseBytes: 0, durationMs: 0 };
const edge: SchemeRule = { ...requestPolicyDefault, usesRemoteAddress: true };

const rows: readonly (readonly [proto: string, isTLS: boolean, trust: SchemeRule | undefined, wanted: string])[] = [
  ["", false, requestPolicyDefault, "http"],
  ["", true, requestPolicyDefault, "https"],
  ["https", false, requestPolicyDefault, "https"],
  ["HTTPS", false, requestPolicyDefault, "https"],
  ["http", true, requestPolicyDefault, "http"],
  ["gopher", true, requestPolicyDefault, "https"],
  ["https, http", false, requestPolicyDefault, "http"],
  ["https", false, edge, "http"],
  ["http", true, edge, "https"],
  ["https", false, { ...edge, trustedHops: 1 }, "https"],
  ["http", false, { ...edge, scheme: "https" }, "https"],
  ["https", false, undefined, "https"],
];

test("%REQ(:SCHEME)% is the connection's, or what a proxy in front says where it is believed", () => {
  for (const [proto, isTLS, trust, wanted] of rows) {
    const line = proto === "" ? "" : `X-Forwarded-Proto: ${proto}\r\n`;
    const head = parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n`);
    const connection = { remoteAddress: "192.0.2.1", isTLS, trust };
    const told = template.render({ ...none, connection, head }, "-");
    assert.equal(told, `${wanted} ${wanted}`, JSON.stringify([proto, isTLS, trust]));
  }
});

test("%REQ(:SCHEME)% of a request that could not be read is not known", () => {
  const connection = { remoteAddress: "192.0.2.1", trust: edge };
  assert.equal(template.render({ ...none, connection, head: undefined }, "-"), "- -");
});
