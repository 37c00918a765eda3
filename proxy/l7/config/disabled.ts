/**
 * What a route or a virtual host has for a filter that it turns off.
 *
 *   config/per-filter.ts, the filters' own readers ─▶ PerFilter ─▶ filters/context.ts
 */

/** Instead of a configuration. */
export const disabledFilter: unique symbol = Symbol("disabled");
