/** The patch of `wherry apply`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { planPatch } from "./apply.ts";

describe("planPatch()", () => {
  const rows: readonly [what: string, before: object, wanted: object, patch: object][] = [
    ["sets what the file says", {}, { a: 1 }, { a: 1 }],
    ["deletes what has gone from the file", { a: 1, b: 2 }, { a: 1 }, { a: 1, b: null }],
    ["deletes deep inside", { s: { a: 1, b: 2 } }, { s: { a: 1 } }, { s: { a: 1, b: null } }],
    ["replaces lists as a whole", { l: [1, 2] }, { l: [2] }, { l: [2] }],
    ["makes an object of what was none", { s: 1 }, { s: { a: 1 } }, { s: { a: 1 } }],
    ["leaves alone what neither says", {}, {}, {}],
  ];
  for (const [what, before, wanted, patch] of rows) {
    it(what, () => {
      assert.deepEqual(planPatch(before as Record<string, unknown>, wanted as Record<string, unknown>), patch);
    });
  }
});
