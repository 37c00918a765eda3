/**
 * The local rate limit: a token a request, out of a bucket of this proxy alone.
 *
 * Source: Envoy's local_ratelimit filter: off unless enabled, counting only unless enforced; 429 with flag RL.
 */
import type { LocalRateLimitConfig } from "../config/fault.ts";
import type { ConnectionInfo } from "../context.ts";
import type { HttpFilterFactory } from "../filter.ts";
import { TokenBucket } from "../resilience/token-bucket.ts";
import type { Fraction } from "../route/types.ts";
import type { EngineDeps } from "../types.ts";

export function localRateLimitFilter(
  name: string,
  config: LocalRateLimitConfig,
  { random, nowMs }: EngineDeps,
): HttpFilterFactory {
  const isHit = ({ numerator, denominator }: Fraction): boolean => random.next() * denominator < numerator;
  /** One a configuration: a route with its own has its own. */
  const shared = new WeakMap<LocalRateLimitConfig, TokenBucket>();
  const ofConnection = new WeakMap<ConnectionInfo, WeakMap<LocalRateLimitConfig, TokenBucket>>();

  const bucketOf = (limit: LocalRateLimitConfig, connection: ConnectionInfo): TokenBucket | undefined => {
    if (limit.bucket === undefined) return undefined;
    let buckets = shared;
    if (limit.perConnection) {
      buckets = ofConnection.get(connection) ?? new WeakMap();
      ofConnection.set(connection, buckets);
    }
    let bucket = buckets.get(limit);
    if (bucket === undefined) buckets.set(limit, (bucket = new TokenBucket(limit.bucket, nowMs())));
    return bucket;
  };

  return {
    name,
    create: () => ({
      onRequestHeaders(context) {
        const setting = context.routeConfigOf(name);
        if (setting === "disabled") return "continue";
        const limit = (setting as LocalRateLimitConfig | undefined) ?? config;
        if (!isHit(limit.enabled)) return "continue";
        const bucket = bucketOf(limit, context.connection);
        if (bucket === undefined || bucket.take(nowMs()) || !isHit(limit.enforced)) return "continue";
        const headers = limit.headers.map(({ name: header, value }) => [header, value.constant ?? ""] as const);
        context.reply({ status: limit.status, body: "local_rate_limited", flag: "RL", headers });
        return "stop";
      },
    }),
  };
}
