/** Counters with a bound. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Limits, thresholdsDefault } from "./limits.ts";

describe("Limits", () => {
  it("refuses one beyond the threshold, counts it, and takes again after a release", () => {
    const limits = new Limits({ ...thresholdsDefault, requests: 2 });
    assert.deepEqual([limits.take("requests"), limits.take("requests"), limits.take("requests")], [true, true, false]);
    assert.equal(limits.overflows.requests, 1);
    limits.release("requests");
    assert.equal(limits.take("requests"), true);
  });

  it("lets retries be a part of the requests, and a few in any case", () => {
    const limits = new Limits({ ...thresholdsDefault, retryBudget: { percent: 20, retriesMin: 3 } });
    const retries = (): number => {
      let count = 0;
      while (limits.take("retries")) count++;
      for (let each = 0; each < count; each++) limits.release("retries");
      return count;
    };
    assert.equal(retries(), 3);
    for (let each = 0; each < 50; each++) limits.take("requests");
    assert.equal(retries(), 10);
  });
});
