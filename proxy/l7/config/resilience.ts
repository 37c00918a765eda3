/**
 * Circuit breakers, outlier detection and health checks of a Cluster → what resilience/ takes. Pure.
 *
 *   Reader of a Cluster ─▶ readThresholds(), readOutlier(), readHealthChecks() ─▶ cluster.ts
 *
 * Source: envoy.config.cluster.v3.{CircuitBreakers,OutlierDetection}, envoy.config.core.v3.HealthCheck.
 */
import { type AccrualSpec, accrualDefault } from "../resilience/accrual.ts";
import type { HealthCheckSpec } from "../resilience/health-check.ts";
import { type Thresholds, thresholdsDefault } from "../resilience/limits.ts";
import type { OutlierSpec } from "../resilience/outlier.ts";
import type { RoutingPriority } from "../route/types.ts";
import type { Reader } from "./reader.ts";

/** Thresholds with `track_remaining`: what is left of them is shown in the statistics. */
type TrackedThresholds = Thresholds & { readonly tracksRemaining: boolean };

export function tracksRemaining(thresholds: Thresholds | TrackedThresholds): boolean {
  return "tracksRemaining" in thresholds && thresholds.tracksRemaining;
}

export function readThresholds(cluster: Reader): Readonly<Record<RoutingPriority, Thresholds>> {
  const read: Record<RoutingPriority, Thresholds> = { default: thresholdsDefault, high: thresholdsDefault };
  const breakers = cluster.object("circuit_breakers");
  for (const entry of breakers?.list("thresholds") ?? []) {
    const priority = entry.oneOf("priority", ["DEFAULT", "HIGH"]) === "HIGH" ? "high" : "default";
    const budget = entry.object("retry_budget");
    const retryBudget =
      budget === undefined
        ? undefined
        : {
            percent: budget.object("budget_percent")?.number("value", 0) ?? 20,
            retriesMin: budget.integer("min_retry_concurrency", 0) ?? 3,
          };
    budget?.done();
    const tracked: TrackedThresholds = {
      connections: entry.integer("max_connections", 0) ?? thresholdsDefault.connections,
      pending: entry.integer("max_pending_requests", 0) ?? thresholdsDefault.pending,
      requests: entry.integer("max_requests", 0) ?? thresholdsDefault.requests,
      retries: entry.integer("max_retries", 0) ?? thresholdsDefault.retries,
      retryBudget,
      tracksRemaining: entry.flag("track_remaining") ?? false,
    };
    read[priority] = tracked;
    entry.done();
  }
  breakers?.done();
  return read;
}

export function readOutlier(cluster: Reader): OutlierSpec | undefined {
  const reader = cluster.object("outlier_detection");
  if (reader === undefined) return undefined;
  const splits = reader.flag("split_external_local_origin_errors") ?? false;
  const percent = (name: string, otherwise: number): number => reader.integer(name, 0) ?? otherwise;
  const baseEjectionMs = reader.durationMs("base_ejection_time") ?? 30_000;
  const spec: OutlierSpec = {
    consecutive5xx: reader.integer("consecutive_5xx", 0) ?? 5,
    consecutiveGateway: reader.integer("consecutive_gateway_failure", 0) ?? 5,
    consecutiveLocal: reader.integer("consecutive_local_origin_failure", 0) ?? 5,
    enforce: {
      "5xx": percent("enforcing_consecutive_5xx", 100),
      gateway: percent("enforcing_consecutive_gateway_failure", 0),
      local: percent("enforcing_consecutive_local_origin_failure", 100),
      successRate: percent("enforcing_success_rate", 100),
      failurePercentage: percent("enforcing_failure_percentage", 0),
    },
    intervalMs: reader.durationMs("interval") ?? 10_000,
    baseEjectionMs,
    ejectionMsMax: reader.durationMs("max_ejection_time") ?? Math.max(300_000, baseEjectionMs),
    jitterMsMax: reader.durationMs("max_ejection_time_jitter") ?? 0,
    ejectedPercentMax: percent("max_ejection_percent", 10),
    alwaysEjectsOne: reader.flag("always_eject_one_host") ?? false,
    splitsLocalErrors: splits,
    successRate: {
      hostsMin: percent("success_rate_minimum_hosts", 5),
      requestsMin: percent("success_rate_request_volume", 100),
      factor: percent("success_rate_stdev_factor", 1900),
    },
    failurePercentage: {
      hostsMin: percent("failure_percentage_minimum_hosts", 5),
      requestsMin: percent("failure_percentage_request_volume", 50),
      threshold: percent("failure_percentage_threshold", 85),
    },
  };
  // Local errors alone are judged by rows here, not by rates.
  reader
    .allow("enforcing_local_origin_success_rate", splits ? [0] : [0, 100], "wanted 0: local errors are judged in a row")
    .allow("successful_active_health_check_uneject_host", [false], "an ejection ends by its time alone")
    .done();
  if (spec.intervalMs === 0) throw reader.bad("interval", "it is zero, wanted more");
  return spec;
}

export function readHealthChecks(cluster: Reader, clusterName: string): readonly HealthCheckSpec[] {
  const checks = cluster.list("health_checks");
  if (checks.length > 1) throw cluster.unsupported("health_checks", "more than one of a cluster");
  return checks.map((reader) => readHealthCheck(reader, clusterName));
}

function readHealthCheck(reader: Reader, clusterName: string): HealthCheckSpec {
  const wantDuration = (name: string): number => {
    const ms = reader.durationMs(name);
    if (ms === undefined || ms === 0) throw reader.bad(name, "it is not there or zero, wanted a duration");
    return ms;
  };
  const wantCount = (name: string): number => {
    const count = reader.integer(name, 1);
    if (count === undefined) throw reader.bad(name, "it is not there, wanted a number");
    return count;
  };
  const intervalMs = wantDuration("interval");
  const unhealthyIntervalMs = reader.durationMs("unhealthy_interval") ?? intervalMs;
  const spec: HealthCheckSpec = {
    timeoutMs: wantDuration("timeout"),
    intervalMs,
    unhealthyIntervalMs,
    unhealthyEdgeIntervalMs: reader.durationMs("unhealthy_edge_interval") ?? unhealthyIntervalMs,
    healthyEdgeIntervalMs: reader.durationMs("healthy_edge_interval") ?? intervalMs,
    intervalJitterMs: reader.durationMs("interval_jitter") ?? 0,
    unhealthyThreshold: wantCount("unhealthy_threshold"),
    healthyThreshold: wantCount("healthy_threshold"),
    check: readCheck(reader, clusterName),
  };
  reader
    .allow("reuse_connection", [false], "each check has a connection of its own")
    .allow("always_log_health_check_failures", [false], "what changes is logged")
    .allow("always_log_health_check_success", [false], "what changes is logged")
    .done();
  return spec;
}

function readCheck(reader: Reader, clusterName: string): HealthCheckSpec["check"] {
  const tcp = reader.object("tcp_health_check");
  const http = reader.object("http_health_check");
  if ((tcp === undefined) === (http === undefined))
    throw reader.unsupported("http_health_check", "wanted exactly one of http_health_check and tcp_health_check");
  if (http === undefined) {
    // Sending and comparing payloads is not supported: connecting decides.
    tcp!.done();
    return { kind: "tcp" };
  }
  const headers = http.list("request_headers_to_add").map((option) => {
    const header = option.wantObject("header");
    const pair = [header.wantText("key"), header.text("value") ?? ""] as const;
    header.done();
    option
      .allow("append_action", ["APPEND_IF_EXISTS_OR_ADD"], "headers are added")
      .allow("append", [true], "wanted true");
    option.done();
    return pair;
  });
  const expected = http
    .list("expected_statuses")
    .map((range) => [range.integer("start", 100) ?? 0, range.integer("end", 100) ?? 0] as const);
  const check = {
    kind: "http",
    method: http.oneOf("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) ?? "GET",
    path: http.wantText("path"),
    host: http.text("host") || clusterName,
    headers,
    expected: expected.length === 0 ? ([[200, 201]] as const) : expected,
  } as const;
  http.oneOf("codec_client_type", ["HTTP1"]);
  http.done();
  return check;
}

/**
 * The breaker of consecutive failures: metadata `wherry.failure_accrual`, for which Envoy has no field. Names and
 * defaults are those of Linkerd's annotations.
 */
export function readAccrual(reader: Reader | undefined): AccrualSpec | undefined {
  if (reader === undefined) return undefined;
  const jitter = reader.number("jitter_ratio", 0) ?? accrualDefault.jitter;
  if (jitter > 1) throw reader.bad("jitter_ratio", "it is not between 0 and 1");
  const spec: AccrualSpec = {
    failuresMax: reader.integer("max_failures", 1) ?? accrualDefault.failuresMax,
    penaltyMinMs: reader.durationMs("min_penalty") ?? accrualDefault.penaltyMinMs,
    penaltyMaxMs: reader.durationMs("max_penalty") ?? accrualDefault.penaltyMaxMs,
    jitter,
  };
  reader.done();
  if (spec.penaltyMinMs === 0 || spec.penaltyMinMs > spec.penaltyMaxMs)
    throw reader.bad("min_penalty", "it is zero or above max_penalty");
  return spec;
}
