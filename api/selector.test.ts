/** Tests of label and field selectors: a table of texts, and properties against a plain reading. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseMilli, parseQuantity } from "./quantity.ts";
import {
  formatLabelSelector,
  matchesLabels,
  matchesSelector,
  parseFieldSelector,
  parseLabelSelector,
  type Requirement,
} from "./selector.ts";
import { StatusError } from "./status.ts";

const labels = { app: "reviews", version: "v1", "example.com/tier": "", constructor_: "x" };

const rows: readonly (readonly [string, boolean])[] = [
  ["", true],
  ["app=reviews", true],
  ["app==reviews,version=v1", true],
  ["app = reviews , version = v2", false],
  ["app!=reviews", false],
  ["none!=x", true],
  ["version in (v1, v2)", true],
  ["version in (v2),app=reviews", false],
  ["version notin (v1)", false],
  ["none notin (v1)", true],
  ["app", true],
  ["!app", false],
  ["! none", true],
  ["example.com/tier", true],
  ["example.com/tier=", true],
  ["toString", false],
];

for (const [text, wanted] of rows)
  test(`matchesLabels() ${JSON.stringify(text)} is ${wanted}`, () => {
    assert.equal(matchesLabels(parseLabelSelector(text), labels), wanted);
  });

test("parseLabelSelector() refuses what it cannot read", () => {
  for (const text of ["a=b=c", "=x", "a in b", "a in (b", "a b", "-a", "a=b c", "a=(", "a/b/c", "x".repeat(64)])
    assert.throws(
      () => parseLabelSelector(text),
      (error) => error instanceof StatusError && error.code === "BadRequest",
      text,
    );
});

test("parseFieldSelector() reads equalities and refuses the rest", () => {
  assert.deepEqual(parseFieldSelector("spec.nodeName=n1, status.phase!=Failed,metadata.name==x,spec.nodeName="), [
    { field: "spec.nodeName", equal: true, value: "n1" },
    { field: "status.phase", equal: false, value: "Failed" },
    { field: "metadata.name", equal: true, value: "x" },
    { field: "spec.nodeName", equal: true, value: "" },
  ]);
  assert.throws(() => parseFieldSelector("a in (b)"), StatusError);
});

const word = fc.constantFrom("a", "b", "c");
const requirement: fc.Arbitrary<Requirement> = fc.oneof(
  fc.record({
    key: word,
    operator: fc.constantFrom("In" as const, "NotIn" as const),
    values: fc.uniqueArray(word, { minLength: 1 }),
  }),
  fc.record({
    key: word,
    operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const),
    values: fc.constant([]),
  }),
);

test("parseLabelSelector() reads back what formatLabelSelector() writes", () => {
  fc.assert(
    fc.property(fc.array(requirement), (drawn) => {
      const requirements = drawn.map((requirement) => ({ ...requirement }));
      assert.deepEqual(parseLabelSelector(formatLabelSelector(requirements)), requirements);
    }),
  );
});

test("matchesSelector() agrees with a plain reading of the operators", () => {
  fc.assert(
    fc.property(fc.array(requirement), fc.dictionary(word, word), (requirements, present) => {
      const map = new Map(Object.entries(present));
      const wanted = requirements.every(({ key, operator, values }) => {
        const isIn = map.has(key) && values.includes(map.get(key) ?? "");
        return { In: isIn, NotIn: !isIn, Exists: map.has(key), DoesNotExist: !map.has(key) }[operator];
      });
      assert.equal(matchesSelector({ matchExpressions: requirements }, present), wanted);
    }),
  );
});

test("parseQuantity() reads amounts and refuses the rest", () => {
  const amounts = {
    "100m": 0.1,
    "2": 2,
    "1.5Gi": 1.5 * 2 ** 30,
    "1e3": 1000,
    "1E3": 1000,
    "64Mi": 2 ** 26,
    "5k": 5000,
    "-1": -1,
    ".5": 0.5,
  };
  for (const [text, wanted] of Object.entries(amounts)) assert.equal(parseQuantity(text), wanted, text);
  for (const text of ["", "m", "1.2.3", "1 Gi", "1gi", "1e", "0x1", "Infinity"])
    assert.equal(parseQuantity(text), undefined, text);
  assert.deepEqual(["100m", "0.1", "1", "1u"].map(parseMilli), [100, 100, 1000, 1]);
});
