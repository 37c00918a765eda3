/** What is kept of processes that ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Histogram } from "../histogram.ts";
import { EndedStats } from "./ended-stats.ts";
import { type AllStats, noHostCounts } from "./stats-page.ts";

function told(requests: number): AllStats {
  const histogram = new Histogram();
  histogram.observe(requests);
  return {
    hosts: { "c::10.0.0.1:80": { ...noHostCounts, cx_active: 1 } },
    stats: [
      { name: "requests", kind: "counter", value: requests },
      { name: "connections", kind: "gauge", value: 7 },
    ],
    histograms: [{ name: "time", histogram }],
  };
}

test("EndedStats adds up counters and histograms, without gauges and hosts, until they are reset", () => {
  const ended = new EndedStats();
  for (const one of [told(3), undefined, told(4)]) ended.add(one);
  const { hosts, stats, histograms } = ended.stats;
  assert.deepEqual([hosts, stats], [{}, [{ name: "requests", kind: "counter", value: 7 }]]);
  assert.deepEqual(
    histograms.map(({ name, histogram: { sum } }) => [name, sum]),
    [["time", 7]],
  );
  ended.forget();
  assert.deepEqual(ended.stats, { stats: [], histograms: [] });
});
