/** What a row of probe results means. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterResult, initialProbeState, probeTimes } from "./thresholds.ts";

describe("probeTimes()", () => {
  it("has Kubernetes' defaults", () => {
    assert.deepEqual(probeTimes({}), {
      initialDelayMs: 0,
      periodMs: 10_000,
      timeoutMs: 1000,
      successesMin: 1,
      failuresMin: 3,
    });
  });

  it("takes seconds, and nothing below one where zero makes no sense", () => {
    const times = probeTimes({ initialDelaySeconds: 5, periodSeconds: 0, timeoutSeconds: 2, failureThreshold: 0 });
    assert.deepEqual(times, {
      initialDelayMs: 5000,
      periodMs: 1000,
      timeoutMs: 2000,
      successesMin: 1,
      failuresMin: 1,
    });
  });
});

describe("afterResult()", () => {
  const rows: readonly [successes: number, failures: number, results: string, verdicts: string][] = [
    [1, 3, "+", "P"],
    [1, 3, "---", "??F"],
    [1, 3, "+--+---", "PPPPPPF"],
    [2, 1, "++-++", "?PFFP"],
    [2, 2, "+-+-", "????"],
    [1, 1, "-+-", "FPF"],
    [3, 1, "+++", "??P"],
  ];
  for (const [successThreshold, failureThreshold, results, verdicts] of rows) {
    it(`reads ${results} with thresholds ${successThreshold}/${failureThreshold} as ${verdicts}`, () => {
      const times = probeTimes({ successThreshold, failureThreshold });
      let state = initialProbeState;
      const seen = results.split("").map((result) => {
        state = afterResult(state, result === "+", times);
        return { unknown: "?", passing: "P", failing: "F" }[state.verdict];
      });
      assert.equal(seen.join(""), verdicts);
    });
  }
});
