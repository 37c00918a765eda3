/** Durations of command lines. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDuration } from "./duration.ts";

test("parseDuration() adds up numbers with units", () => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ["0", 0],
    ["300ms", 300],
    ["2s", 2000],
    ["1.5h", 5_400_000],
    ["2m30s", 150_000],
    ["1h0m1s", 3_601_000],
    ["", undefined],
    ["5", undefined],
    ["-1s", undefined],
    ["1d", undefined],
    ["1 s", undefined],
    [`${"9".repeat(80)}s`, undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});
