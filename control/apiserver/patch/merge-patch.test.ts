/** Tests of merge patch: the RFC's own table, and properties. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { mergePatch } from "./merge-patch.ts";

/** RFC 7386 appendix A: original, patch, result. */
const rows: readonly (readonly [string, string, string])[] = [
  ['{"a":"b"}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'],
  ['{"a":"b"}', '{"a":null}', "{}"],
  ['{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'],
  ['{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'],
  ['{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'],
  ['{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'],
  ['{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'],
  ['["a","b"]', '["c","d"]', '["c","d"]'],
  ['{"a":"b"}', '["c"]', '["c"]'],
  ['{"a":"foo"}', "null", "null"],
  ['{"a":"foo"}', '"bar"', '"bar"'],
  ['{"e":null}', '{"a":1}', '{"e":null,"a":1}'],
  ["[1,2]", '{"a":"b","c":null}', '{"a":"b"}'],
  ["{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'],
  ['{"a":1}', '{"__proto__":{"x":1}}', '{"a":1,"__proto__":{"x":1}}'],
];

for (const [original, patch, result] of rows)
  test(`mergePatch() ${original} with ${patch}`, () => {
    const target = Object.freeze(JSON.parse(original) as object);
    assert.equal(JSON.stringify(mergePatch(target, JSON.parse(patch))), result);
  });

/** RFC 7386 section 2, word by word, on copies. */
function reference(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === "object" && target !== null && !Array.isArray(target);
  const copy = (isObject ? structuredClone(target) : {}) as Record<string, unknown>;
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete copy[name];
    else copy[name] = reference(copy[name], value);
  }
  return copy;
}

test("mergePatch() agrees with the RFC's pseudo-code, and is idempotent", () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, 1, "x"),
      fc.array(tie("any"), { maxLength: 2 }),
      fc.dictionary(fc.constantFrom("a", "b", "c"), tie("any"), { noNullPrototype: true }),
    ),
  })).any;
  fc.assert(
    fc.property(value, value, (target, patch) => {
      const merged = mergePatch(target, patch);
      assert.deepEqual(merged, reference(target, patch));
      assert.deepEqual(mergePatch(merged, patch), merged);
    }),
    { numRuns: 1000 },
  );
});
