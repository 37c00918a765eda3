import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { tokenBytes } from "./bytes.ts";
import { parseHeaders } from "./headers.ts";

const letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter(
  (letter) => tokenBytes[letter.charCodeAt(0)] === 1,
);

it("parseHeaders() gives each name as it came and in lower case, whatever names came before", () => {
  // Few first and last letters and lengths, so that names meet in their places.
  const some = fc.constantFrom("a", "B", "-", ...letters);
  const middle = fc.array(some, { minLength: 0, maxLength: 3 }).map((parts) => parts.join(""));
  const near = fc.tuple(fc.constantFrom("x", "X"), middle, fc.constantFrom("y", "Y")).map((parts) => parts.join(""));
  const long = fc.integer({ min: 60, max: 70 }).map((length) => "Ab".repeat(length / 2));
  fc.assert(
    fc.property(fc.array(fc.oneof(near, long, some), { maxLength: 100 }), (names) => {
      const text = `${names.map((name, at) => `${name}: ${at}\r\n`).join("")}\r\n`;
      const parsed = parseHeaders(text, 0);
      assert.deepEqual(parsed.names, names);
      assert.deepEqual(
        parsed.keys,
        names.map((name) => name.toLowerCase()),
      );
      assert.deepEqual(parsed.values, [...names.keys()].map(String));
    }),
    { seed: 1, numRuns: 500 },
  );
});

it("parseHeaders() checks a name that shares letters and length with one that it met", () => {
  parseHeaders("x-ab-y: 1\r\n\r\n", 0);
  for (const bad of ["x-a b-y", "x-a\tb-y", "x a-b-y", "", " x-ab-y"])
    assert.throws(() => parseHeaders(`${bad}: 1\r\n\r\n`, 0), /^HTTP1Error|Cannot parse headers/, JSON.stringify(bad));
});
