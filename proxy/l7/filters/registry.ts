/**
 * From a chain's configured filters to what makes one for each request.
 *
 *   config/http-filters.ts (ConfiguredFilter) ─▶ filtersOf() ─▶ HttpFilterFactory[] ─▶ run.ts
 *
 * Filters that are steps of routing (CORS and the like) have no builder: route/plan.ts does them.
 */
import type { BufferConfig } from "../config/buffer.ts";
import type { CompressorConfig } from "../config/compressor.ts";
import type { FaultConfig, LocalRateLimitConfig } from "../config/fault.ts";
import type { HeaderMutationConfig } from "../config/header-mutation.ts";
import { type ConfiguredFilter, type HealthCheckConfig, filterTypes } from "../config/http-filters.ts";
import type { RateLimitFilterConfig, RedisRateLimitConfig } from "../config/rate-limit-filter.ts";
import type { SessionConfig } from "../config/stateful-session.ts";
import type { HttpFilterFactory } from "../filter.ts";
import type { EngineDeps } from "../types.ts";
import { bufferFilter, headerMutationFilter, healthCheckFilter } from "./envoy.ts";
import { type CompressorCounters, compressorFilter, createCompressorCounters } from "./compressor.ts";
import { faultFilter } from "./fault.ts";
import { localRateLimitFilter } from "./local-rate-limit.ts";
import { rateLimitFilter } from "./rate-limit.ts";
import { RedisLimits } from "./redis-limits.ts";
import { statefulSessionFilter } from "./session.ts";
import { RateLimitService } from "./rls.ts";
import { switched } from "./switched.ts";
import { type FilterModules, type ModuleConfig, moduleFilter, moduleType } from "./modules.ts";

/** What a builder may use. */
export interface FilterDeps {
  readonly deps: EngineDeps;
  /** Undefined: modules are not loaded here, and requests that want one are refused. */
  readonly modules: FilterModules | undefined;
  /** Of the chain's connection manager. */
  readonly statPrefix: string;
}

/** What a builder is given beside its own configuration. */
interface BuildInput extends FilterDeps {
  /** The chain's filters, in its order. */
  readonly chain: readonly ConfiguredFilter[];
}

/** Makes the factory of one configured filter; `config` is what its reader made. */
export type FilterBuilder = (name: string, config: unknown, with_: BuildInput) => HttpFilterFactory;

/** By type URL. */
export const filterBuilders: ReadonlyMap<string, FilterBuilder> = new Map<string, FilterBuilder>([
  [filterTypes.buffer, (name, config) => bufferFilter(name, config as BufferConfig)],
  [filterTypes.compressor, (name, config, input) => buildCompressor(name, config as CompressorConfig, input)],
  [filterTypes.headerMutation, (name, config) => headerMutationFilter(name, config as HeaderMutationConfig)],
  [filterTypes.healthCheck, (name, config) => healthCheckFilter(name, config as HealthCheckConfig)],
  [filterTypes.fault, (name, config, { deps }) => faultFilter(name, config as FaultConfig, deps)],
  [
    filterTypes.localRateLimit,
    (name, config, { deps }) => localRateLimitFilter(name, config as LocalRateLimitConfig, deps),
  ],
  [
    filterTypes.rateLimit,
    (name, config, { deps }) => {
      const { settings, ...options } = config as RateLimitFilterConfig;
      return rateLimitFilter(name, settings, { service: new RateLimitService(options), deps });
    },
  ],
  [
    filterTypes.redisRateLimit,
    (name, config, { deps }) => {
      const { settings, ...options } = config as RedisRateLimitConfig;
      return rateLimitFilter(name, settings, { service: new RedisLimits(options), deps });
    },
  ],
  [filterTypes.statefulSession, (name, config) => statefulSessionFilter(name, config as SessionConfig)],
  [moduleType, (name, config, { modules }) => moduleFilter(name, config as ModuleConfig, modules)],
]);

/** These ask the route themselves. */
const askingFilters: ReadonlySet<string> = new Set([
  filterTypes.buffer,
  filterTypes.compressor,
  filterTypes.fault,
  filterTypes.localRateLimit,
  filterTypes.rateLimit,
  filterTypes.redisRateLimit,
  filterTypes.statefulSession,
]);

export function filtersOf(configured: readonly ConfiguredFilter[], deps: FilterDeps): readonly HttpFilterFactory[] {
  return configured.flatMap(({ name, type, config, isDisabled }) => {
    const factory = filterBuilders.get(type)?.(name, config, { ...deps, chain: configured });
    if (factory === undefined) return [];
    return isDisabled || !askingFilters.has(type) ? switched(factory, isDisabled) : factory;
  });
}

function buildCompressor(name: string, config: CompressorConfig, input: BuildInput): HttpFilterFactory {
  const { library, namesDirection } = config;
  const direction = namesDirection ? "response." : "";
  const prefix = `http.${input.statPrefix}.compressor.${library.name}.${library.spec.library}.${direction}`;
  // A chain that is configured anew goes on counting.
  const counters = (input.deps.counters.filters.get(prefix) ?? createCompressorCounters()) as CompressorCounters;
  input.deps.counters.filters.set(prefix, counters);
  const chain = input.chain.flatMap((one) =>
    one.type === filterTypes.compressor ? [one.config as CompressorConfig] : [],
  );
  return compressorFilter(name, { config, chain, counters });
}
