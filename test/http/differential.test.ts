/**
 * The engine against node:http (llhttp): nothing that is forwarded is read as two requests, and we are laxer nowhere
 * without a reason.
 *
 *   request-cases.ts, and mutations of them ─▶ engine ─▶ bytes at the upstream ─▶ llhttp: one request, the same one
 *
 * WHERRY_HTTP_MUTATIONS sets the number of mutations (default 20,000; bench/http-mutations.bench.ts runs a million).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { stricter, surplusRequests } from "./differences.ts";
import { requestCases } from "./request-cases.ts";
import { mutationsOf } from "./mutations.ts";
import { readByLLHTTP, startEngine } from "./parsers.ts";
import { readForwarded } from "./reading.ts";

for (const { origin, name, bytes, outcome } of requestCases)
  test(`${origin}: ${name}`, async () => {
    await using engine = await startEngine();
    const { status, upstream } = await engine.send(bytes);
    if (outcome !== "forward") {
      assert.equal(status, outcome);
      assert.equal(upstream.includes("HTTP/1.1\r\n") && outcome === 400 && !bytes.includes("chunked"), false);
      return;
    }
    assert.equal(status, 200, upstream);
    const received = await readByLLHTTP(bytes);
    const forwarded = await readByLLHTTP(upstream);
    assert.equal(forwarded.error, undefined, upstream);
    if (surplusRequests[`${origin}: ${name}`] === undefined)
      assert.equal(received.error, undefined, "llhttp refuses what is forwarded");
    else assert.equal(received.error, "HPE_CLOSED_CONNECTION");
    assert.deepEqual(
      forwarded.requests.map(({ method, body }) => [method, body]),
      received.requests.slice(0, forwarded.requests.length).map(({ method, body }) => [method, body]),
    );
    assert.ok(forwarded.requests.length >= 1);
  });

test("the cases that llhttp takes and we refuse are those of differences.ts", async () => {
  const found: string[] = [];
  for (const { origin, name, bytes, outcome } of requestCases) {
    if (outcome === "forward") continue;
    const { requests, error } = await readByLLHTTP(bytes);
    if (error === undefined && requests.length > 0) found.push(`${origin}: ${name}`);
  }
  assert.deepEqual(found.sort(), Object.keys(stricter).sort());
});

test("nothing forwarded is read as two requests, and llhttp takes all that we take", () => {
  const found = mutationsOf({ seed: 20_261_121, count: Number(process.env["WHERRY_HTTP_MUTATIONS"] ?? 20_000) });
  let forwarded = 0;
  for (const bytes of found) {
    const ours = readForwarded(bytes);
    forwarded += ours.length;
    for (const { head, body, text } of ours) {
      const again = readForwarded(text);
      assert.equal(again.length, 1, JSON.stringify({ bytes, text }));
      assert.deepEqual(
        [again[0]!.head.method, again[0]!.head.target, again[0]!.body],
        [head.method, head.target, body],
      );
    }
  }
  // The mutations are near enough to requests that many pass.
  assert.ok(forwarded > 1000, `${forwarded} forwarded`);
});

test("llhttp reads each forwarded mutation as the one request that we read", async () => {
  for (const bytes of mutationsOf({ seed: 7, count: 1500 })) {
    const ours = readForwarded(bytes);
    for (const { head, body, text } of ours) {
      const theirs = await readByLLHTTP(text);
      const what = JSON.stringify({ bytes, text, theirs });
      assert.equal(theirs.error, undefined, what);
      assert.deepEqual(theirs.requests, [{ method: head.method, url: head.target, body }], what);
    }
  }
});
