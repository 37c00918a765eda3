/** Whose address a request counts as, and that logs tell it with port 0 where a proxy in front said it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileTemplate } from "../accesslog/template.ts";
import { parseRequestHead } from "../http1/request.ts";
import { requestPolicyDefault } from "./policy.ts";
import { type ClientTrust, clientAddress } from "./client-address.ts";

const headOf = (list: string): ReturnType<typeof parseRequestHead> =>
  parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${list}\r\n\r\n`);
const own = "192.0.2.9";

const rows: readonly (readonly [list: string, trust: ClientTrust, wanted: string])[] = [
  ["192.0.2.1", { usesRemoteAddress: false, trustedHops: 0 }, "192.0.2.1"],
  ["192.0.2.1", { usesRemoteAddress: true, trustedHops: 0 }, own],
  ["192.0.2.1, 192.0.2.2", { usesRemoteAddress: false, trustedHops: 0 }, "192.0.2.2"],
  ["192.0.2.1, 192.0.2.2", { usesRemoteAddress: false, trustedHops: 1 }, "192.0.2.1"],
  ["192.0.2.1, 192.0.2.2", { usesRemoteAddress: false, trustedHops: 2 }, own],
  ["192.0.2.1, 192.0.2.2", { usesRemoteAddress: true, trustedHops: 1 }, "192.0.2.2"],
  ["192.0.2.1\r\nx-forwarded-for: 192.0.2.2", { usesRemoteAddress: false, trustedHops: 0 }, "192.0.2.2"],
  ["2001:DB8:0::01", { usesRemoteAddress: false, trustedHops: 0 }, "2001:db8::1"],
  ["192.0.2.1:80", { usesRemoteAddress: false, trustedHops: 0 }, own],
  ["192.0.2.1,", { usesRemoteAddress: false, trustedHops: 0 }, own],
  ["nobody", { usesRemoteAddress: false, trustedHops: 0 }, own],
];

for (const [list, trust, wanted] of rows)
  test(`clientAddress() of ${JSON.stringify(list)} with ${JSON.stringify(trust)} is ${wanted}`, () => {
    assert.equal(clientAddress(headOf(list).headers, trust, own), wanted);
  });

test("Logs tell the downstream that is believed with port 0, and the connection's own beside it", () => {
  const operators = ["ADDRESS", "PORT", "ADDRESS_WITHOUT_PORT"].map((name) => `%DOWNSTREAM_REMOTE_${name}%`);
  const template = compileTemplate(`${operators.join(" ")} %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%`, (why) => Error(why));
  const none = { status: 0, flag: "-", requestBytes: 0, responseBytes: 0, durationMs: 0 };
  const connection = { remoteAddress: own, remotePort: 5000, trust: requestPolicyDefault };
  const line = (list: string): string => template.render({ ...none, connection, head: headOf(list) }, "-");
  assert.equal(line("192.0.2.1"), `192.0.2.1:0 0 192.0.2.1 ${own}:5000`);
  assert.equal(line("2001:db8::1"), `[2001:db8::1]:0 0 2001:db8::1 ${own}:5000`);
  assert.equal(line("nobody"), `${own}:5000 5000 ${own} ${own}:5000`);
  const unread = template.render({ ...none, connection, head: undefined }, "-");
  assert.equal(unread, `${own}:5000 5000 ${own} ${own}:5000`);
});
