/** Series: bounds and idle ones. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ExchangeRecord } from "#proxy/l7/context.ts";
import { createCounters } from "#proxy/l7/types.ts";
import { spec } from "./fixture.ts";
import { Metrics, seriesIdleMs } from "./metrics.ts";

test("Metrics drops idle series at the bound only, and counts what has no place", () => {
  let nowMs = 0;
  const metrics = new Metrics({
    spec,
    counters: createCounters(),
    spans: { exported: 0, dropped: 0, failed: 0 },
    workloadOf: () => undefined,
    nowMs: () => nowMs,
    seriesMax: 2,
  });
  const connection = { direction: "outbound", remoteAddress: "", destination: undefined } as const;
  const record = (status: number): ExchangeRecord => ({
    connection,
    head: undefined,
    cluster: undefined,
    endpoint: undefined,
    status,
    flag: "-",
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 3,
  });
  for (const status of [200, 404, 500]) metrics.onExchange(record(status));
  const count = (): string[] =>
    [...metrics.render().matchAll(/istio_requests_total.*response_code="(\d+)"/g)].map((m) => m[1]!);
  assert.deepEqual(count(), ["200", "404"]);
  assert.match(metrics.render(), /wherry_metrics_dropped_total 1\n/);
  nowMs = seriesIdleMs;
  metrics.onExchange(record(200));
  metrics.onExchange(record(500));
  assert.deepEqual(count(), ["200", "500"]);
  assert.match(metrics.render(), /istio_requests_total\{.*response_code="200".*\} 2\n/);
});
