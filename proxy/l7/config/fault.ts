/**
 * Fault injection and local rate limits, as a chain or a route configures them. Pure.
 *
 *   http_filters, typed_per_filter_config ─▶ readFault(), readLocalRateLimit() ─▶ filters/
 *
 * Source: envoy.extensions.filters.http.{fault,local_ratelimit}.v3, envoy.extensions.filters.common.fault.v3.
 */
import type { Fraction, HeaderAdd } from "../route/types.ts";
import { readHeaderAdds } from "./headers.ts";
import { readFraction, readHeaderMatcher, readPercent } from "./match.ts";
import type { Reader } from "./reader.ts";

export interface FaultConfig {
  /** `headerControlled`: the request's own x-envoy-fault-… headers say how much. */
  readonly delay: { readonly ms: number | "headerControlled"; readonly fraction: Fraction } | undefined;
  readonly abort:
    | {
        readonly status: number | "headerControlled";
        readonly grpcStatus: number | undefined;
        readonly fraction: Fraction;
      }
    | undefined;
  /** Requests that match all of them. */
  readonly headers: readonly ReturnType<typeof readHeaderMatcher>[];
  /** Only to this cluster; undefined: to any. */
  readonly cluster: string | undefined;
  /** Requests that are delayed at a time. */
  readonly activeMax: number;
}

export function readFault(reader: Reader): FaultConfig {
  const delay = reader.object("delay");
  const abort = reader.object("abort");
  const cluster = reader.text("upstream_cluster") || undefined;
  const config: FaultConfig = {
    delay: delay === undefined ? undefined : readDelay(delay),
    abort: abort === undefined ? undefined : readAbort(abort),
    headers: reader.list("headers").map(readHeaderMatcher),
    cluster,
    activeMax: reader.integer("max_active_faults", 0) ?? Infinity,
  };
  if (cluster !== undefined) throw reader.unsupported("upstream_cluster", "wanted the fault in that cluster's route");
  reader.ignore("disable_downstream_cluster_stats").done();
  return config;
}

function readDelay(reader: Reader): NonNullable<FaultConfig["delay"]> {
  const isControlled = reader.object("header_delay") !== undefined;
  const fixedMs = reader.durationMs("fixed_delay");
  if (isControlled === (fixedMs !== undefined))
    throw reader.bad("fixed_delay", "wanted exactly one of fixed_delay and header_delay");
  const percentage = reader.object("percentage");
  reader.done();
  return { ms: fixedMs ?? "headerControlled", fraction: percentage === undefined ? none : readPercent(percentage) };
}

function readAbort(reader: Reader): NonNullable<FaultConfig["abort"]> {
  const isControlled = reader.object("header_abort") !== undefined;
  const status = reader.integer("http_status", 200);
  const grpcStatus = reader.integer("grpc_status", 0);
  const chosen = [isControlled, status !== undefined, grpcStatus !== undefined].filter(Boolean).length;
  if (chosen !== 1 || (status !== undefined && status > 599))
    throw reader.bad("http_status", "wanted exactly one of http_status (200 to 599), grpc_status and header_abort");
  const percentage = reader.object("percentage");
  reader.done();
  const fraction = percentage === undefined ? none : readPercent(percentage);
  return { status: isControlled ? "headerControlled" : (status ?? 200), grpcStatus, fraction };
}

const none: Fraction = { numerator: 0, denominator: 100 };

export interface LocalRateLimitConfig {
  readonly status: number;
  readonly bucket: { readonly tokensMax: number; readonly perFill: number; readonly fillMs: number } | undefined;
  /** Requests that are counted, and of these, those that are refused. */
  readonly enabled: Fraction;
  readonly enforced: Fraction;
  readonly headers: readonly HeaderAdd[];
  readonly perConnection: boolean;
}

export function readLocalRateLimit(reader: Reader): LocalRateLimitConfig {
  reader.wantText("stat_prefix");
  const bucket = reader.object("token_bucket");
  const config: LocalRateLimitConfig = {
    status: readStatus(reader, "status", 429),
    bucket: bucket === undefined ? undefined : readBucket(bucket),
    enabled: readFraction(reader, "filter_enabled") ?? none,
    enforced: readFraction(reader, "filter_enforced") ?? none,
    headers: readHeaderAdds(reader, "response_headers_to_add"),
    perConnection: reader.flag("local_rate_limit_per_downstream_connection") ?? false,
  };
  reader.done();
  return config;
}

/** envoy.type.v3.StatusCode, those that a limit may answer with. */
const statusCodes: Readonly<Record<string, number>> = {
  TooManyRequests: 429,
  ServiceUnavailable: 503,
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  InternalServerError: 500,
  BadGateway: 502,
  GatewayTimeout: 504,
};

/** An HttpStatus of a limit's answer. */
export function readStatus(reader: Reader, name: string, otherwise: number): number {
  const status = reader.object(name);
  const code = status?.oneOf("code", Object.keys(statusCodes));
  status?.done();
  return code === undefined ? otherwise : statusCodes[code]!;
}

function readBucket(reader: Reader): NonNullable<LocalRateLimitConfig["bucket"]> {
  const tokensMax = reader.integer("max_tokens", 1);
  const fillMs = reader.durationMs("fill_interval");
  const perFill = reader.integer("tokens_per_fill", 1) ?? 1;
  if (tokensMax === undefined) throw reader.bad("max_tokens", "it is not there, wanted a number");
  if (fillMs === undefined || fillMs < 50) throw reader.bad("fill_interval", "wanted at least 0.05s");
  reader.done();
  return { tokensMax, perFill, fillMs };
}
