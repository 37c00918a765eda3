/** Answers to requests that could not be read: what of the listener's configuration they have, and their records. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { httpDefault } from "./config/http.ts";
import { plainChain } from "./config/listener.ts";
import { raw, routesTo, startRig, staticCluster } from "./fixture.ts";
import { requestPolicyDefault } from "./route/policy.ts";

const cases: readonly (readonly [text: string, status: number, details: string])[] = [
  [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(100_000)}\r\n\r\n`, 431, "http1.headers_too_large"],
  ["GET / HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n", 400, "http1.codec_error"],
  ["GET / HTTP/1.1\r\n\r\n", 400, "missing_host_header"],
  ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", 400, "http1.invalid_transfer_encoding"],
];

test("what cannot be read is answered as the listener wants its own answers, and told with its reason", async () => {
  const chain = plainChain("http", {
    ...httpDefault,
    routeName: "routes",
    inline: undefined,
    policy: { ...requestPolicyDefault, server: { name: "edge", mode: "overwrite" }, via: "1.1 edge" },
    localReplies: {
      mappers: [{ filter: () => true, status: undefined, body: "mapped", headers: [], format: undefined }],
      format: undefined,
    },
  });
  const clusters = [staticCluster("up", [1])];
  await using rig = await startRig({ listener: { defaultChain: chain }, routes: routesTo("up"), clusters });
  for (const [text, status, details] of cases) {
    const answer = await raw(rig.port, text);
    assert.match(
      answer,
      new RegExp(`^HTTP/1\\.1 ${status} .*Server: edge\r\nVia: 1\\.1 edge\r\n.*\r\n\r\nmapped$`, "s"),
    );
    const record = rig.records.at(-1)!;
    assert.deepEqual([record.status, record.flag, record.details, record.responseBytes], [status, "DPE", details, 6]);
  }
  assert.equal(rig.records.length, cases.length);
});
