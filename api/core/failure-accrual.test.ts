import assert from "node:assert/strict";
import { test } from "node:test";
import { failureAccrualErrors, readFailureAccrual } from "./failure-accrual.ts";

const name = "balancer.linkerd.io/failure-accrual";
const on = (more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  [name]: "consecutive",
  ...Object.fromEntries(Object.entries(more).map(([key, value]) => [`${name}-consecutive-${key}`, value])),
});

test("no breaker is asked for without the mode", () => {
  assert.equal(readFailureAccrual(undefined), undefined);
  assert.equal(readFailureAccrual({ [`${name}-consecutive-max-failures`]: "3" }), undefined);
});

test("what is not said has Linkerd's defaults", () => {
  const usual = { maxFailures: 7, minPenaltyMs: 1000, maxPenaltyMs: 60_000, jitterRatio: 0.5 };
  assert.deepEqual(readFailureAccrual(on()), usual);
  const said = on({ "max-failures": "3", "min-penalty": "200ms", "max-penalty": "2m", "jitter-ratio": "0" });
  assert.deepEqual(readFailureAccrual(said), {
    maxFailures: 3,
    minPenaltyMs: 200,
    maxPenaltyMs: 120_000,
    jitterRatio: 0,
  });
});

test("what is wrong is said by its annotation", () => {
  const said = (annotations: Record<string, string>): string[] =>
    failureAccrualErrors(annotations).map(({ path }) => path);
  assert.deepEqual(said({ [name]: "unified" }), [`metadata.annotations[${name}]`]);
  for (const [key, value] of [
    ["max-failures", "0"],
    ["max-failures", "1.5"],
    ["min-penalty", "soon"],
    ["min-penalty", "0s"],
    ["max-penalty", "500ms"],
    ["jitter-ratio", "2"],
  ] as const) {
    const fields = said(on({ [key]: value }));
    assert.ok(
      fields.includes(`metadata.annotations[${name}-consecutive-${key}]`),
      `${key} ${value}: ${fields.join(", ")}`,
    );
    assert.equal(readFailureAccrual(on({ [key]: value })), undefined);
  }
});
