/**
 * typed_per_filter_config, and the CORS policy from before it → PerFilter. Pure.
 *
 * The most specific level wins, as a whole; CORS policies field by field.
 * Source: envoy.config.route.v3, envoy.extensions.filters.http.cors.v3.
 */
import { corsFilterName } from "../route/plan.ts";
import type { CorsPolicy, PerFilter } from "../route/types.ts";
import { perFilterReaders } from "./http-filters.ts";
import { disabledFilter } from "./disabled.ts";
import { readCors } from "./cors.ts";
import type { Reader } from "./reader.ts";

const filterConfig = "type.googleapis.com/envoy.config.route.v3.FilterConfig";

/** The settings of this level over those of the level above. */
export function readPerFilter(reader: Reader, above: PerFilter): PerFilter {
  const entries = reader.entries("typed_per_filter_config");
  if (entries.length === 0) return above;
  const settings = new Map(above);
  for (const [name, config] of entries) settings.set(name, readSetting(config, above.get(name)));
  return settings;
}

function readSetting(config: Reader, above: unknown): unknown {
  const type = config.wantText("@type");
  if (type === filterConfig) {
    const isDisabled = config.flag("disabled") ?? false;
    const inner = config.object("config");
    // A filter that is optional may be unknown.
    config.ignore("is_optional").done();
    if (isDisabled) return disabledFilter;
    return inner?.has("@type") === true ? readSetting(inner, above) : undefined;
  }
  const read = perFilterReaders.get(type);
  if (read === undefined)
    throw config.unsupported("@type", `${JSON.stringify(type)}, wanted ${[...perFilterReaders.keys()].join(" or ")}`);
  return read(config, above);
}

/** The `cors` field of a virtual host or a route action. */
export function readCorsPolicy(reader: Reader, above: PerFilter): { filter: string; policy: CorsPolicy } | undefined {
  const cors = reader.object("cors");
  return (
    cors && { filter: corsFilterName, policy: readCors(cors, above.get(corsFilterName) as CorsPolicy | undefined) }
  );
}
