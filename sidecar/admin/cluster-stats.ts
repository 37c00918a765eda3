/**
 * What is read off a live cluster when its statistics are asked for: nothing of it is counted apart. Pure.
 *
 *   Cluster (limits, outlier detection, connections) ─▶ clusterStats() ─▶ /stats
 *
 * Source: Envoy, "Statistics" of the cluster manager.
 */
import type { Cluster } from "#proxy/l7/cluster.ts";
import { tracksRemaining } from "#proxy/l7/config/resilience.ts";
import type { Limited } from "#proxy/l7/resilience/limits.ts";
import type { Stat } from "./stats.ts";

const breakers: Readonly<Record<Limited, string>> = {
  connections: "cx_open",
  pending: "rq_pending_open",
  requests: "rq_open",
  retries: "rq_retry_open",
};

/** With `track_remaining`. Of a retry budget it is what `max_retries` leaves. */
const remaining: Readonly<Record<Limited, string>> = {
  connections: "remaining_cx",
  pending: "remaining_pending",
  requests: "remaining_rq",
  retries: "remaining_retries",
};

export function clusterStats(cluster: Cluster): readonly Stat[] {
  const prefix = `cluster.${cluster.name}`;
  const stats: Stat[] = [];
  const gauge = (name: string, value: number): void =>
    void stats.push({ name: `${prefix}.${name}`, kind: "gauge", value });
  const counter = (name: string, value: number): void =>
    void stats.push({ name: `${prefix}.${name}`, kind: "counter", value });
  const { checks, limits, members, outliers, connectionCount, connectionTotal } = cluster;
  const sum = (what: "used" | "overflows", of: Limited): number => limits.default[what][of] + limits.high[what][of];
  gauge("membership_healthy", cluster.serving.length);
  gauge("membership_degraded", members.filter(({ isDegraded }) => isDegraded).length);
  gauge("membership_total", members.length);
  gauge("upstream_cx_active", connectionCount);
  counter("upstream_cx_total", connectionTotal);
  counter("upstream_cx_overflow", cluster.connectionOverflows);
  counter("upstream_cx_destroy", connectionTotal - connectionCount);
  const { default: one, high: other } = cluster.budgets;
  counter("upstream_cx_connect_fail", one.connectFailures + other.connectFailures);
  counter("upstream_cx_connect_timeout", one.connectTimeouts + other.connectTimeouts);
  counter("upstream_rq_pending_failure_eject", one.ejectedRequests + other.ejectedRequests);
  gauge(
    "upstream_rq_active",
    members.reduce((total, { activeRequests }) => total + activeRequests, 0),
  );
  gauge("upstream_rq_pending_active", sum("used", "pending"));
  counter("upstream_rq_total", limits.default.requestsTotal + limits.high.requestsTotal);
  counter("upstream_rq_active_overflow", sum("overflows", "requests"));
  counter("upstream_rq_pending_overflow", sum("overflows", "pending"));
  counter("upstream_rq_retry_overflow", sum("overflows", "retries"));
  counter("upstream_rq_retry_success", cluster.tryCounts.retrySuccesses);
  counter("upstream_rq_retry_limit_exceeded", cluster.tryCounts.retryLimitsExceeded);
  counter("upstream_rq_per_try_timeout", cluster.tryCounts.timeouts);
  for (const priority of ["default", "high"] as const)
    for (const [what, name] of Object.entries(breakers) as [Limited, string][]) {
      const { used, thresholds } = limits[priority];
      const inUse = what === "connections" ? cluster.budgets[priority].open : used[what];
      gauge(`circuit_breakers.${priority}.${name}`, inUse >= thresholds[what] ? 1 : 0);
      if (tracksRemaining(thresholds))
        gauge(`circuit_breakers.${priority}.${remaining[what]}`, Math.max(0, thresholds[what] - inUse));
    }
  if (checks !== undefined) {
    counter("health_check.attempt", checks.counts.attempts);
    counter("health_check.success", checks.counts.successes);
    counter("health_check.failure", checks.counts.failures);
  }
  if (outliers === undefined) return stats;
  gauge("outlier_detection.ejections_active", members.filter(({ outlier }) => outlier.isEjected).length);
  counter(
    "outlier_detection.ejections_enforced_total",
    Object.values(outliers.ejections).reduce((total, count) => total + count, 0),
  );
  return stats;
}
