/** The patch of `wherry apply`. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { list, object, string } from "#api/schema/schema.ts";
import { strategicMerge } from "../control/apiserver/patch/strategic.ts";
import { planPatch } from "./apply-patch.ts";

type JSONObject = Record<string, unknown>;

const schema = object({
  items: list(object({ name: string(), a: string(), tags: list(string()) }), { patchMergeKey: "name" }),
  names: list(string(), { patchStrategy: "merge" }),
});

describe("planPatch()", () => {
  const rows: readonly [what: string, before: JSONObject, wanted: JSONObject, patch: JSONObject][] = [
    ["sets what the file says", {}, { a: 1 }, { a: 1 }],
    ["deletes what has gone from the file", { a: 1, b: 2 }, { a: 1 }, { a: 1, b: null }],
    ["deletes deep inside", { s: { a: 1, b: 2 } }, { s: { a: 1 } }, { s: { a: 1, b: null } }],
    ["replaces lists without keys", { l: [1, 2] }, { l: [2] }, { l: [2] }],
    ["makes an object of what was none", { s: 1 }, { s: { a: 1 } }, { s: { a: 1 } }],
    ["leaves alone what neither says", {}, {}, {}],
  ];
  for (const [what, before, wanted, patch] of rows) {
    it(what, () => {
      assert.deepEqual(planPatch(schema, before, wanted), patch);
    });
  }

  const merged: readonly [
    what: string,
    before: JSONObject,
    wanted: JSONObject,
    there: JSONObject,
    after: JSONObject,
  ][] = [
    [
      "keeps what others added to an item, and what they changed beside the file",
      { items: [{ name: "x", a: "1" }] },
      { items: [{ name: "x", a: "2" }] },
      { items: [{ name: "x", a: "1", tags: ["theirs"] }] },
      { items: [{ name: "x", a: "2", tags: ["theirs"] }] },
    ],
    [
      "deletes items and fields that have gone from the file, not those of others",
      { items: [{ name: "x", a: "1" }, { name: "y" }] },
      { items: [{ name: "x" }] },
      { items: [{ name: "x", a: "1" }, { name: "y" }, { name: "theirs" }] },
      { items: [{ name: "x" }, { name: "theirs" }] },
    ],
    [
      "brings items into the order of the file",
      { items: [{ name: "x" }, { name: "y" }] },
      { items: [{ name: "z" }, { name: "y" }, { name: "x" }] },
      { items: [{ name: "x" }, { name: "y" }] },
      { items: [{ name: "z" }, { name: "y" }, { name: "x" }] },
    ],
    [
      "replaces lists whose items share a key",
      { items: [{ name: "x", a: "1" }] },
      {
        items: [
          { name: "x", a: "1" },
          { name: "x", a: "2" },
        ],
      },
      { items: [{ name: "x", a: "1" }, { name: "y" }] },
      {
        items: [
          { name: "x", a: "1" },
          { name: "x", a: "2" },
        ],
      },
    ],
    [
      "unites lists of names, less those that have gone from the file",
      { names: ["a", "b"] },
      { names: ["b", "c"] },
      { names: ["a", "b", "theirs"] },
      { names: ["b", "theirs", "c"] },
    ],
  ];
  for (const [what, before, wanted, there, after] of merged) {
    it(what, () => {
      assert.deepEqual(strategicMerge(schema, there, planPatch(schema, before, wanted)), after);
    });
  }
});
