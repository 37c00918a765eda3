import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StatusError } from "#api/status.ts";
import { applyJSONPatch, parseJSONPatch } from "./json-patch.ts";

const apply = (target: unknown, operations: unknown): unknown => applyJSONPatch(target, parseJSONPatch(operations));

/** RFC 6902 appendix A: the example's number, the document, the patch, the result. */
const examples: readonly (readonly [string, unknown, readonly unknown[], unknown])[] = [
  ["A.1", { foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { foo: "bar", baz: "qux" }],
  ["A.2", { foo: ["bar", "baz"] }, [{ op: "add", path: "/foo/1", value: "qux" }], { foo: ["bar", "qux", "baz"] }],
  ["A.3", { baz: "qux", foo: "bar" }, [{ op: "remove", path: "/baz" }], { foo: "bar" }],
  ["A.4", { foo: ["bar", "qux", "baz"] }, [{ op: "remove", path: "/foo/1" }], { foo: ["bar", "baz"] }],
  ["A.5", { baz: "qux" }, [{ op: "replace", path: "/baz", value: "boo" }], { baz: "boo" }],
  ["A.6", { a: { b: 1 }, c: {} }, [{ op: "move", from: "/a/b", path: "/c/d" }], { a: {}, c: { d: 1 } }],
  ["A.7", { foo: ["a", "b", "c"] }, [{ op: "move", from: "/foo/1", path: "/foo/2" }], { foo: ["a", "c", "b"] }],
  ["A.8", { baz: "qux" }, [{ op: "test", path: "/baz", value: "qux" }], { baz: "qux" }],
  ["A.14", { "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
  ["A.16", { foo: ["bar"] }, [{ op: "add", path: "/foo/-", value: ["abc"] }], { foo: ["bar", ["abc"]] }],
  [
    "copy",
    { a: [1] },
    [
      { op: "copy", from: "/a", path: "/b" },
      { op: "add", path: "/b/-", value: 2 },
    ],
    { a: [1], b: [1, 2] },
  ],
];

for (const [name, target, operations, wanted] of examples)
  test(`applyJSONPatch() does RFC 6902 ${name}`, () => {
    const before = structuredClone(target);
    assert.deepEqual(apply(target, operations), wanted);
    assert.deepEqual(target, before);
  });

test("applyJSONPatch() refuses what cannot be applied, with the place", () => {
  const refuse = (operation: unknown, message: RegExp): void =>
    assert.throws(() => apply({ a: [1], b: { c: 1 } }, [operation]), { code: "Invalid", message });
  refuse({ op: "test", path: "/b/c", value: 2 }, /at "\/b\/c": the value is not the one/);
  refuse({ op: "remove", path: "/x" }, /there is no "x"/);
  refuse({ op: "replace", path: "/a/1", value: 0 }, /the list has 1 items/);
  refuse({ op: "add", path: "/a/01", value: 0 }, /"01" is not an index/);
  refuse({ op: "move", from: "/b", path: "/b/c" }, /cannot move into itself/);
  refuse({ op: "add", path: "/b/c/d", value: 0 }, /neither an object nor a list/);
});

test("parseJSONPatch() refuses what is no patch, and too many operations", () => {
  for (const body of [
    {},
    [{ op: "new", path: "" }],
    [{ op: "add", path: "a", value: 1 }],
    [{ op: "add", path: "/a" }],
    [1],
  ])
    assert.throws(() => parseJSONPatch(body), { code: "BadRequest" });
  const many = Array.from({ length: 10_001 }, () => ({ op: "test", path: "", value: 1 }));
  assert.throws(() => parseJSONPatch(many), { code: "RequestEntityTooLarge" });
});

test("applyJSONPatch() bounds what copies add", () => {
  const operations = Array.from({ length: 40 }, (_, index) => ({ op: "copy", from: "", path: `/c${index}` }));
  assert.throws(() => apply({ text: "x".repeat(1000) }, operations), { code: "Invalid", message: /copies amount/ });
});

test("applyJSONPatch() gives a value or a StatusError for any pointers, and keeps __proto__ a key", () => {
  assert.deepEqual(Object.keys(apply({}, [{ op: "add", path: "/__proto__", value: {} }]) as object), ["__proto__"]);
  const token = fc.constantFrom("a", "b", "0", "1", "-", "__proto__", "constructor", "");
  const pointer = fc.array(token, { maxLength: 3 }).map((tokens) => tokens.map((text) => `/${text}`).join(""));
  const op = fc.constantFrom("add", "remove", "replace", "move", "copy", "test");
  const operations = fc.array(fc.record({ op, path: pointer, from: pointer, value: fc.jsonValue() }), { maxLength: 5 });
  fc.assert(
    fc.property(operations, (list) => {
      try {
        apply({ a: { b: [1, { a: 2 }] } }, list);
      } catch (error) {
        assert.ok(error instanceof StatusError, String(error));
      }
    }),
  );
});
