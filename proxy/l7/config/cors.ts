/**
 * Envoy's CorsPolicy → CorsPolicy. Pure.
 *
 * Source: envoy.config.route.v3.CorsPolicy and envoy.extensions.filters.http.cors.v3.CorsPolicy, which have the same
 * fields.
 */
import type { CorsPolicy } from "../route/types.ts";
import { readFraction, readText } from "./match.ts";
import type { Reader } from "./reader.ts";

/** `above`: the policy of the level above, which says what this one leaves out. */
export function readCors(reader: Reader, above?: CorsPolicy): CorsPolicy {
  if (reader.has("shadow_enabled")) throw reader.unsupported("shadow_enabled", "the field is not supported");
  const policy: CorsPolicy = {
    origins: reader.has("allow_origin_string_match")
      ? reader.list("allow_origin_string_match").map(readText)
      : (above?.origins ?? []),
    allowMethods: reader.text("allow_methods") || (above?.allowMethods ?? ""),
    allowHeaders: reader.text("allow_headers") || (above?.allowHeaders ?? ""),
    exposeHeaders: reader.text("expose_headers") || (above?.exposeHeaders ?? ""),
    maxAge: reader.text("max_age") || (above?.maxAge ?? ""),
    allowCredentials: reader.flag("allow_credentials") ?? above?.allowCredentials ?? false,
    allowPrivateNetwork: reader.flag("allow_private_network_access") ?? above?.allowPrivateNetwork ?? false,
    forwardsOthers: reader.flag("forward_not_matching_preflights") ?? above?.forwardsOthers ?? true,
    fraction: readFraction(reader, "filter_enabled") ?? above?.fraction,
  };
  reader.done();
  return policy;
}
