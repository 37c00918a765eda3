/**
 * Responses through the engine against node:http (llhttp): nothing that llhttp refuses or finds cut is forwarded as a
 * whole response, what is forwarded is read by llhttp as the one response that the upstream gave, and nothing is behind
 * it. Where the two differ, differences.ts has the reason.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { stricterResponses, surplusResponses } from "./differences.ts";
import { mutatedResponses } from "./mutations.ts";
import { readResponses, relay } from "./relaying.ts";
import { responseCases } from "./response-cases.ts";
import { readResponseByLLHTTP, startResponseEngine } from "./response-parsers.ts";

for (const { origin, name, bytes, method, outcome } of responseCases)
  test(`${origin}: ${name}`, async () => {
    await using engine = await startResponseEngine();
    const text = await engine.relay(bytes, method);
    const got = await readResponseByLLHTTP(text, method);
    if (outcome === "cut") {
      assert.ok(!got.isWhole, text);
      return;
    }
    assert.ok(got.isWhole, JSON.stringify({ text, got }));
    assert.equal(got.error, undefined);
    const final = [...readResponses(text, method)].filter(({ head }) => head.status >= 200);
    assert.deepEqual(
      final.map(({ head, body }) => [head.status, body]),
      [[got.status, got.body]],
    );
    if (outcome !== "forward") return assert.equal(got.status, outcome, text);
    const given = await readResponseByLLHTTP(bytes, method);
    assert.deepEqual([got.status, got.body], [given.status, given.body]);
  });

test("we forward what llhttp takes, but for differences.ts, and nothing else", async () => {
  const stricter: string[] = [];
  const surplus: string[] = [];
  for (const { origin, name, bytes, method, outcome } of responseCases) {
    const { isWhole, error } = await readResponseByLLHTTP(bytes, method);
    const isTaken = isWhole && error === undefined;
    if (isTaken && outcome !== "forward") stricter.push(`${origin}: ${name}`);
    if (outcome === "forward") assert.ok(isWhole, name);
    if (outcome === "forward" && error !== undefined) surplus.push(`${origin}: ${name}`);
  }
  assert.deepEqual(stricter.sort(), Object.keys(stricterResponses).sort());
  assert.deepEqual(surplus.sort(), Object.keys(surplusResponses).sort());
});

test("nothing relayed is read as two responses", () => {
  let relayed = 0;
  const count = Number(process.env["WHERRY_HTTP_MUTATIONS"] ?? 20_000);
  for (const { bytes, method } of mutatedResponses({ seed: 20_261_121, count })) {
    const ours = relay(bytes, method);
    if (ours === undefined) continue;
    relayed++;
    const again = [...readResponses(ours.text, method)];
    assert.deepEqual(
      again.map(({ head, body }) => [head.status, body]),
      [[ours.head.status, ours.body]],
      JSON.stringify({ bytes, text: ours.text }),
    );
  }
  // The mutations are near enough to responses that many pass.
  assert.ok(relayed > count / 20, `${relayed} relayed`);
});

test("llhttp takes each mutation that is relayed, and reads the same in what is relayed", async () => {
  for (const { bytes, method } of mutatedResponses({ seed: 7, count: 1500 })) {
    const ours = relay(bytes, method);
    if (ours === undefined) continue;
    const given = await readResponseByLLHTTP(bytes, method);
    const got = await readResponseByLLHTTP(ours.text, method);
    const what = JSON.stringify({ bytes, text: ours.text, given, got });
    assert.deepEqual(
      [got.status, got.body, got.isWhole, got.error],
      [ours.head.status, ours.body, true, undefined],
      what,
    );
    assert.deepEqual([given.status, given.body, given.isWhole], [ours.head.status, ours.body, true], what);
  }
});
