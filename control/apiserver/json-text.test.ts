import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { inspectJSON, isDeeper } from "./json-text.ts";

describe("inspectJSON()", () => {
  it("names fields that stand twice by their path", () => {
    const rows: readonly (readonly [string, readonly string[]])[] = [
      ['{"a":1,"b":{"a":2}}', []],
      ['{"a":1,"a":2}', ["a"]],
      ['{"spec":{"containers":[{"name":"x"},{"name":"y","name":"z"}]}}', ["spec.containers[1].name"]],
      ['{"a":"{\\"b\\":1,\\"b\\":2}"}', []],
      ['{"a":1,"\\u0061":2}', ["a"]],
      ['{"a":["x","x",{"a":"a"}],"b":"a","a":null,"a":1}', ["a"]],
      ["", []],
      ['{"a', []],
      ["]]}}", []],
    ];
    for (const [text, wanted] of rows) assert.deepEqual(inspectJSON(text, 100).duplicates, wanted, text);
  });

  it("finds none in what JSON.stringify wrote, and the depth of it", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        const canonical = JSON.stringify(JSON.parse(text));
        const { deepest, duplicates } = inspectJSON(canonical, 1000);
        assert.deepEqual(duplicates, []);
        const value: unknown = JSON.parse(canonical);
        assert.equal(isDeeper(value, deepest), false);
      }),
    );
  });

  it("stops where it gets too deep", () => {
    assert.equal(inspectJSON("[".repeat(1_000_000), 100).deepest, 101);
  });
});
