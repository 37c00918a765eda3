/** What a downstream is told of a failure, and what access logs are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerToFailure } from "./failures.ts";

for (const [why, told] of [
  ["connect ECONNREFUSED 10.0.0.7:8080", "connect ECONNREFUSED"],
  ["connect EHOSTUNREACH fd00::7:8080 - Local (fd00::1:40000)", "connect EHOSTUNREACH"],
  ["connect ENOENT /run/shop.sock", "connect ENOENT"],
  ["getaddrinfo ENOTFOUND db.internal", "getaddrinfo ENOTFOUND"],
  ["Cannot reach 10.0.0.7:8080: no route", "Cannot reach: no route"],
  ["Cannot connect to fd00::7:8080: EPERM", "Cannot connect to: EPERM"],
  ["Cannot reach [fd00::7]:8080", "Cannot reach"],
  ["the connect timeout passed", "the connect timeout passed"],
  ["write EPROTO 0A:error:0A00010B:SSL routines:wrong version number", undefined],
] as const)
  test(`answerToFailure() tells the downstream of "${why}" without an address`, () => {
    const { sentence, details } = answerToFailure({ kind: "connect", why, reason: "delayed" }, "shop");
    assert.equal(sentence, `Cannot connect to an endpoint of shop: ${told ?? why}`);
    assert.equal(details, "upstream_reset_before_response_started{remote_connection_failure|delayed}");
  });
