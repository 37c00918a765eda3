/**
 * The HTTP filters that a chain may name, and how each one's configuration is read. Pure.
 *
 *   http_filters ─▶ readHTTPFilters() ─▶ [{ name, type, config }] in order ─▶ filters/ (one factory a type), plan.ts
 *
 * Invariant: the router is the last one; a filter that is not known is refused, unless it says it is optional.
 */
import { typeUrls } from "#api/xds/envoy.ts";
import { moduleType, readModule } from "../filters/modules.ts";
import type { CorsPolicy } from "../route/types.ts";
import { readBuffer, readBufferPerRoute } from "./buffer.ts";
import { readCompressor, readCompressorPerRoute } from "./compressor.ts";
import { readCors } from "./cors.ts";
import { readFault, readLocalRateLimit } from "./fault.ts";
import { readHeaderMatcher } from "./match.ts";
import { readHeaderMutationFilter } from "./header-mutation.ts";
import { readRateLimitFilter, readRedisRateLimit } from "./rate-limit-filter.ts";
import { readStatefulSession, readStatefulSessionPerRoute } from "./stateful-session.ts";
import type { Reader } from "./reader.ts";

export interface ConfiguredFilter {
  readonly name: string;
  /** Its type URL. */
  readonly type: string;
  /** What its reader made of it. */
  readonly config: unknown;
  /** Unless the route names it. */
  readonly isDisabled: boolean;
}

const prefix = "type.googleapis.com/envoy.extensions.filters.http.";

export const filterTypes: Readonly<
  Record<
    | "router"
    | "buffer"
    | "compressor"
    | "cors"
    | "healthCheck"
    | "headerMutation"
    | "fault"
    | "localRateLimit"
    | "rateLimit"
    | "redisRateLimit"
    | "statefulSession",
    string
  >
> = {
  router: typeUrls.router,
  buffer: `${prefix}buffer.v3.Buffer`,
  compressor: `${prefix}compressor.v3.Compressor`,
  cors: `${prefix}cors.v3.Cors`,
  healthCheck: `${prefix}health_check.v3.HealthCheck`,
  headerMutation: `${prefix}header_mutation.v3.HeaderMutation`,
  fault: `${prefix}fault.v3.HTTPFault`,
  localRateLimit: `${prefix}local_ratelimit.v3.LocalRateLimit`,
  rateLimit: `${prefix}ratelimit.v3.RateLimit`,
  statefulSession: `${prefix}stateful_session.v3.StatefulSession`,
  redisRateLimit: "type.googleapis.com/wherry.v1.RedisRateLimit",
};

export interface RouterConfig {
  /** x-envoy-upstream-service-time is not written. */
  readonly suppressesEnvoyHeaders: boolean;
}

export interface HealthCheckConfig {
  /** All of them match a health check. */
  readonly headers: readonly ReturnType<typeof readHeaderMatcher>[];
}

const filterReaders: ReadonlyMap<string, (reader: Reader) => unknown> = new Map<string, (reader: Reader) => unknown>([
  [filterTypes.router, readRouter],
  [filterTypes.buffer, readBuffer],
  [filterTypes.compressor, readCompressor],
  [filterTypes.cors, (reader) => reader.done()],
  [filterTypes.healthCheck, readHealthCheck],
  [filterTypes.headerMutation, readHeaderMutationFilter],
  [filterTypes.fault, readFault],
  [filterTypes.localRateLimit, readLocalRateLimit],
  [filterTypes.rateLimit, readRateLimitFilter],
  [filterTypes.redisRateLimit, readRedisRateLimit],
  [filterTypes.statefulSession, readStatefulSession],
  [moduleType, readModule],
]);

/** `above`: what the level above says to the same filter. */
type PerFilterReader = (reader: Reader, above: unknown) => unknown;

/** By type URL, the readers of what a route may say to a filter. */
export const perFilterReaders: ReadonlyMap<string, PerFilterReader> = new Map<string, PerFilterReader>([
  [`${prefix}cors.v3.CorsPolicy`, (reader, above) => readCors(reader, above as CorsPolicy | undefined)],
  [`${prefix}buffer.v3.BufferPerRoute`, readBufferPerRoute],
  [`${prefix}compressor.v3.CompressorPerRoute`, readCompressorPerRoute],
  [filterTypes.fault, readFault],
  [filterTypes.localRateLimit, readLocalRateLimit],
  [`${prefix}stateful_session.v3.StatefulSessionPerRoute`, readStatefulSessionPerRoute],
]);

export function readHTTPFilters(reader: Reader): readonly ConfiguredFilter[] {
  const entries = reader.list("http_filters");
  const filters = entries.flatMap((entry) => readFilter(entry) ?? []);
  const last = filters.at(-1);
  if (last?.isDisabled === true)
    throw reader.bad("http_filters", "the last one is disabled, wanted a router that is on");
  // Envoy takes a list without any, and then answers nothing.
  if (last === undefined || filters.findIndex(isRouter) !== filters.length - 1)
    throw reader.bad(
      "http_filters",
      `the last one is ${last?.name ?? "none"}, wanted envoy.filters.http.router there alone`,
    );
  return filters;
}

function isRouter({ type }: ConfiguredFilter): boolean {
  return type === filterTypes.router;
}

function readFilter(entry: Reader): ConfiguredFilter | undefined {
  const name = entry.wantText("name");
  const isOptional = entry.flag("is_optional") ?? false;
  const isDisabled = entry.flag("disabled") ?? false;
  const config = entry.wantObject("typed_config");
  const type = config.wantText("@type");
  entry.done();
  const read = filterReaders.get(type);
  if (read !== undefined) return { name, type, config: read(config), isDisabled };
  if (isOptional) return undefined;
  throw config.unsupported("@type", `${JSON.stringify(type)}, wanted one of ${Object.keys(filterTypes).join(", ")}`);
}

function readRouter(reader: Reader): RouterConfig {
  const suppressesEnvoyHeaders = reader.flag("suppress_envoy_headers") ?? false;
  reader.allow("dynamic_stats", [true], "statistics of clusters are always kept");
  reader.allow("start_child_span", [false], "a request has one span").done();
  return { suppressesEnvoyHeaders };
}

function readHealthCheck(reader: Reader): HealthCheckConfig {
  if (!reader.isSet("pass_through_mode")) throw reader.bad("pass_through_mode", "it is not there, wanted false");
  if (reader.flag("pass_through_mode") ?? false)
    throw reader.unsupported("pass_through_mode", "health checks are answered here, wanted false");
  const headers = reader.list("headers").map(readHeaderMatcher);
  reader.done();
  return { headers };
}
