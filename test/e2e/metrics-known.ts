/** Every metric that a cluster exposes, by the components that render it: names, with those of histograms' parts. */
import { ClientMetrics } from "#api/client/metrics.ts";
import { renderPage } from "#api/metrics/exposition.ts";
import { createProcessMetrics } from "#api/metrics/process.ts";
import { WorkqueueMetrics } from "#api/metrics/workqueue.ts";
import { realClock } from "#lib/clock.ts";
import { createCounters } from "#proxy/l7/types.ts";
import { ApiMetrics } from "../../control/apiserver/metrics.ts";
import { PushMetrics } from "../../control/push/metrics.ts";
import { SchedulerMetrics } from "../../control/scheduler/metrics.ts";
import type { WatchCache } from "../../control/watch/watch-cache.ts";
import { HealthMetrics } from "../../proxy/health-metrics.ts";
import { ProxyMetrics } from "../../proxy/metrics.ts";
import { spec } from "../../sidecar/fixture.ts";
import { Metrics } from "../../sidecar/metrics.ts";

export function knownMetrics(): ReadonlySet<string> {
  const pages = [
    sidecarPage(),
    new ApiMetrics().collect(emptyCache),
    new PushMetrics().collect(),
    new ProxyMetrics().collect(),
    new HealthMetrics().collect(),
    new ClientMetrics().collect(),
    renderPage([new WorkqueueMetrics(realClock), new SchedulerMetrics()]),
    createProcessMetrics(realClock)(),
  ];
  const names = new Set<string>();
  for (const [, name = "", type] of pages.join("\n").matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    if (type !== "histogram") names.add(name);
    else for (const part of ["bucket", "sum", "count"]) names.add(`${name}_${part}`);
  }
  return names;
}

const emptyCache = {
  counts: { watchers: 0, slowTotal: 0, eventsTotal: 0, undecodableTotal: 0 },
  sizes: () => new Map<string, number>(),
} as unknown as WatchCache;

/** A sidecar's page after one request and one connection, for families without series are not written. */
function sidecarPage(): string {
  const metrics = new Metrics({
    spec,
    counters: createCounters(),
    spans: { exported: 0, dropped: 0, failed: 0 },
    workloadOf: () => undefined,
    nowMs: () => 0,
  });
  const connection = { direction: "outbound", remoteAddress: "", destination: undefined } as const;
  const seen = { connection, cluster: undefined, endpoint: undefined, flag: "-" } as const;
  metrics.onExchange({ ...seen, head: undefined, status: 200, requestBytes: 0, responseBytes: 0, durationMs: 1 });
  metrics.onTCPOpen({ ...seen, receivedBytes: 0, sentBytes: 0, startMs: 0, durationMs: 0 });
  return metrics.render();
}
