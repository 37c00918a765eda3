import assert from "node:assert/strict";
import test from "node:test";
import { parseYAML, parseYAMLObject } from "./yaml.ts";

for (const [text, wanted] of [
  ["a: [1, 2]\n", { a: [1, 2] }],
  ["---\na: 1\n---\n", { a: 1 }],
  ["# nothing\n", null],
  ["", null],
] as const)
  test(`parseYAML() reads ${JSON.stringify(text)}`, () => assert.deepEqual(parseYAML(text), wanted));

for (const [text, code, message] of [
  ["a: 1\n---\nb: 2\n", "NotOneDocument", "it has 2 YAML documents, wanted one"],
  ["{", "Malformed", "it is no YAML: Flow map must end with a } at line 1, column 2"],
  ["a: *x", "Malformed", "it is no YAML: Unresolved alias (the anchor must be set before the alias): x"],
] as const)
  test(`parseYAML() says of ${JSON.stringify(text)} in one line what it is`, () => {
    assert.throws(() => parseYAML(text), { name: "YAMLError", code, message });
  });

test("parseYAMLObject() refuses what is no object", () => {
  for (const text of ["", "- a", "text"])
    assert.throws(() => parseYAMLObject(text), { code: "Malformed", message: "it is no YAML object" });
  assert.deepEqual(parseYAMLObject("a: 1"), { a: 1 });
});
