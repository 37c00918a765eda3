/**
 * From a chain's configured filters to what makes one for each request.
 *
 *   config/http-filters.ts (ConfiguredFilter) ─▶ filtersOf() ─▶ HttpFilterFactory[] ─▶ run.ts
 *
 * Filters that are steps of routing (CORS and the like) have no builder: route/plan.ts does them.
 */
import type { BufferConfig } from "../config/buffer.ts";
import type { FaultConfig, LocalRateLimitConfig } from "../config/fault.ts";
import type { HeaderMutationConfig } from "../config/header-mutation.ts";
import { type ConfiguredFilter, type HealthCheckConfig, filterTypes } from "../config/http-filters.ts";
import type { RateLimitFilterConfig, RedisRateLimitConfig } from "../config/rate-limit-filter.ts";
import type { SessionConfig } from "../config/stateful-session.ts";
import type { HttpFilterFactory } from "../filter.ts";
import type { EngineDeps } from "../types.ts";
import { bufferFilter, headerMutationFilter, healthCheckFilter } from "./envoy.ts";
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
}

/** Makes the factory of one configured filter; `config` is what its reader made. */
export type FilterBuilder = (name: string, config: unknown, with_: FilterDeps) => HttpFilterFactory;

/** By type URL. */
export const filterBuilders: ReadonlyMap<string, FilterBuilder> = new Map<string, FilterBuilder>([
  [filterTypes.buffer, (name, config) => bufferFilter(name, config as BufferConfig)],
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
  filterTypes.fault,
  filterTypes.localRateLimit,
  filterTypes.rateLimit,
  filterTypes.redisRateLimit,
  filterTypes.statefulSession,
]);

export function filtersOf(configured: readonly ConfiguredFilter[], deps: FilterDeps): readonly HttpFilterFactory[] {
  return configured.flatMap(({ name, type, config, isDisabled }) => {
    const factory = filterBuilders.get(type)?.(name, config, deps);
    if (factory === undefined) return [];
    return isDisabled || !askingFilters.has(type) ? switched(factory, isDisabled) : factory;
  });
}
