/** Answers of health checks are counted by their status. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { HealthMetrics } from "./health-metrics.ts";
import { ProxyMetrics } from "./metrics.ts";
import { createProxyPages } from "./pages.ts";
import type { NodeProxy } from "./state.ts";

test("proxy_healthz_total and proxy_livez_total count the answers of each page by code", async () => {
  const [clock, health, metrics] = [new ManualClock(), new HealthMetrics(), new ProxyMetrics()];
  let isEligible = true;
  let healthy = false;
  const pages = createProxyPages({
    clock,
    proxy: () => ({ metrics, healthy }) as unknown as NodeProxy,
    isEligible: () => isEligible,
    mode: () => "nftables",
    health,
    collectMore: () => "more_total 1\n",
  });
  const count = async (): Promise<readonly string[]> => {
    const { body } = await pages.metrics["/metrics"]!();
    assert.match(body, /^more_total 1$/m);
    return [...body.matchAll(/^kubeproxy_proxy_(.+)$/gm)].map(([, line = ""]) => line);
  };
  assert.deepEqual(await count(), [
    'healthz_total{code="200"} 0',
    'healthz_total{code="503"} 0',
    'livez_total{code="200"} 0',
    'livez_total{code="503"} 0',
  ]);
  assert.equal((await pages.health["/healthz"]!()).status, 503, "nothing was programmed yet");
  healthy = true;
  assert.equal((await pages.health["/healthz"]!()).status, 200);
  isEligible = false;
  assert.equal((await pages.health["/healthz"]!()).status, 503, "the node goes");
  assert.equal((await pages.health["/livez"]!()).status, 200, "which is not the proxy's affair");
  assert.deepEqual(await count(), [
    'healthz_total{code="200"} 1',
    'healthz_total{code="503"} 2',
    'livez_total{code="200"} 1',
    'livez_total{code="503"} 0',
  ]);
});
