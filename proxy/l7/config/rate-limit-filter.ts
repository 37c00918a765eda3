/**
 * The two filters of global rate limits, as a chain configures them: Envoy's own, and one that counts in Redis. Pure.
 *
 *   http_filters ─▶ readRateLimitFilter(), readRedisRateLimit() ─▶ filters/{rate-limit,rls,redis-limits}.ts
 *
 * Source: envoy.extensions.filters.http.ratelimit.v3.RateLimit; wherry.v1.RedisRateLimit (api/xds/wherry.proto).
 */
import type { RateLimitSettings } from "../filters/rate-limit.ts";
import type { RedisLimit, RedisLimitsOptions } from "../filters/redis-limits.ts";
import type { RLSOptions } from "../filters/rls.ts";
import { readStatus } from "./fault.ts";
import { readHeaderAdds } from "./headers.ts";
import { readStage } from "./rate-limits.ts";
import type { Reader } from "./reader.ts";

export interface RateLimitFilterConfig extends RLSOptions {
  readonly settings: RateLimitSettings;
}

export interface RedisRateLimitConfig extends RedisLimitsOptions {
  readonly settings: RateLimitSettings;
}

/** Envoy's default. */
const timeoutMsDefault = 20;
/** A round trip to Redis within a cluster of machines, many times over. */
const redisTimeoutMsDefault = 100;

export function readRateLimitFilter(reader: Reader): RateLimitFilterConfig {
  const domain = reader.wantText("domain");
  const service = reader.wantObject("rate_limit_service");
  const grpc = service.wantObject("grpc_service");
  const envoyGRPC = grpc.object("envoy_grpc");
  if (envoyGRPC === undefined) throw grpc.unsupported("google_grpc", "wanted envoy_grpc with a cluster");
  const cluster = envoyGRPC.wantText("cluster_name");
  envoyGRPC.done();
  // The filter's own timeout is the one that counts, in Envoy too.
  grpc.ignore("timeout").done();
  service.allow("transport_api_version", ["V3"], "wanted V3").done();
  reader.allow("request_type", ["both"], "internal and external requests are not told apart");
  reader.allow("enable_x_ratelimit_headers", ["OFF"], "wanted OFF");
  const isTold = !(reader.flag("disable_x_envoy_ratelimited_header") ?? false);
  const headers = readHeaderAdds(reader, "response_headers_to_add").map(({ name, value }) => {
    if (value.constant === undefined) throw reader.unsupported("response_headers_to_add", "operators in a value");
    return [name, value.constant] as const;
  });
  const settings: RateLimitSettings = {
    stage: readStage(reader),
    timeoutMs: reader.durationMs("timeout") || timeoutMsDefault,
    deniesOnError: reader.flag("failure_mode_deny") ?? false,
    status: readStatus(reader, "rate_limited_status", 429),
    errorStatus: readStatus(reader, "status_on_error", 500),
    tellsExhausted: reader.flag("rate_limited_as_resource_exhausted") ?? false,
    headers: isTold ? [["x-envoy-ratelimited", "true"], ...headers] : headers,
  };
  // Names statistics.
  reader.ignore("stat_prefix").done();
  return { domain, cluster, settings };
}

export function readRedisRateLimit(reader: Reader): RedisRateLimitConfig {
  const url = reader.wantText("url");
  if (!/^(rediss?:\/\/|\/)/.test(url)) throw reader.bad("url", "wanted redis://, rediss:// or the path of a socket");
  const limits = reader.list("limits").map(readLimit);
  if (limits.length === 0) throw reader.bad("limits", "it is empty, wanted at least one");
  const timeoutMs = reader.durationMs("timeout") || redisTimeoutMsDefault;
  const settings: RateLimitSettings = {
    stage: readStage(reader),
    timeoutMs,
    deniesOnError: reader.flag("failure_mode_deny") ?? false,
    status: 429,
    errorStatus: 500,
    tellsExhausted: false,
    headers: [["x-envoy-ratelimited", "true"]],
  };
  const domain = reader.wantText("domain");
  reader.done();
  return { domain, url, limits, timeoutMs, settings };
}

const unitsMs: Readonly<Record<string, number>> = {
  SECOND: 1000,
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: 86_400_000,
};

function readLimit(reader: Reader): RedisLimit {
  const entries = reader.list("descriptors").map((entry) => {
    const read = { key: entry.wantText("key"), value: entry.text("value") || undefined };
    entry.done();
    return read;
  });
  if (entries.length === 0) throw reader.bad("descriptors", "it is empty, wanted at least one key");
  const unit = reader.oneOf("unit", Object.keys(unitsMs));
  if (unit === undefined) throw reader.bad("unit", `it is not there, wanted ${Object.keys(unitsMs).join(", ")}`);
  const requestsMax = reader.integer("requests_per_unit", 0) ?? 0;
  reader.done();
  return { entries, requestsMax, windowMs: unitsMs[unit]! };
}
