import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseStrictJSON } from "./json.ts";

test("parseStrictJSON() reads what JSON.stringify() writes", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.deepEqual(parseStrictJSON(text), JSON.parse(text));
    }),
    { seed: 7, numRuns: 1000 },
  );
});

for (const text of ['{"a":1,"a":2}', '[{"b":{"a":":","a":1}}]', "{", "a: 1", "", '{"__proto__":1,"__proto__":2}'])
  test(`parseStrictJSON() does not take ${text}`, () => {
    assert.equal(parseStrictJSON(text), undefined);
  });

test("parseStrictJSON() is not misled by colons and quotes in strings", () => {
  assert.deepEqual(parseStrictJSON('{"a\\":":":\\\\","b":[null,{"c":"\\""}]}'), {
    'a":': ":\\",
    b: [null, { c: '"' }],
  });
});
