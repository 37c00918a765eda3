/**
 * The pages of a proxy that stands alone, as kube-proxy has them.
 *
 *   10256 /healthz   503 when changes wait for too long, or the node goes; /livez: whatever becomes of the node
 *   10249 /metrics, /proxyMode, /healthz
 *
 * Source: kubernetes pkg/proxy/healthcheck/proxy_health.go.
 */
import type { Answer, Page, Pages } from "#api/metrics/server.ts";
import { metricsPage } from "#api/metrics/server.ts";
import type { Clock } from "#lib/clock.ts";
import type { HealthMetrics } from "./health-metrics.ts";
import type { NodeProxy } from "./state.ts";

export interface ProxyPagesOptions {
  readonly clock: Clock;
  /** Undefined before it is known what to program. */
  readonly proxy: () => NodeProxy | undefined;
  readonly isEligible: () => boolean;
  /** `nftables` or `userspace`. */
  readonly mode: () => string;
  readonly health: HealthMetrics;
  /** Pages of metrics beside the proxy's own. */
  readonly collectMore: () => string;
}

/** The pages of the health port and those of the metrics port. */
export function createProxyPages(options: ProxyPagesOptions): { readonly health: Pages; readonly metrics: Pages } {
  const ok: Page = () => ({ status: 200, type: "text/plain", body: "ok" });
  return {
    health: {
      "/healthz": options.health.counted("healthz", () => answerHealth(options, true)),
      "/livez": options.health.counted("livez", () => answerHealth(options, false)),
    },
    metrics: {
      "/metrics": metricsPage(
        () => (options.proxy()?.metrics.collect() ?? "") + options.health.collect() + options.collectMore(),
      ),
      "/proxyMode": () => ({ status: 200, type: "text/plain", body: options.mode() }),
      "/healthz": ok,
    },
  };
}

function answerHealth({ clock, proxy, isEligible }: ProxyPagesOptions, asksForNode: boolean): Answer {
  const nowMs = clock.nowMs();
  const metrics = proxy()?.metrics;
  const updatedMs = metrics?.lastSyncedMs ?? 0;
  const isPending = (metrics?.lastQueuedMs ?? 0) > updatedMs;
  const isHealthy = proxy()?.healthy === true;
  const nodeEligible = isEligible();
  const time = (ms: number): string => new Date(ms).toISOString();
  const body = {
    lastUpdated: time(isPending || updatedMs === 0 ? updatedMs : nowMs),
    currentTime: time(nowMs),
    ...(asksForNode ? { nodeEligible } : {}),
    healthy: isHealthy,
  };
  const status = isHealthy && (nodeEligible || !asksForNode) ? 200 : 503;
  return { status, type: "application/json", body: JSON.stringify(body) };
}
