/**
 * request_mirror_policies of routes and virtual hosts → Mirror. Pure.
 *
 * Source: envoy.config.route.v3.RouteAction.RequestMirrorPolicy.
 */
import type { Mirror } from "../route/types.ts";
import { readFraction } from "./match.ts";
import type { Reader } from "./reader.ts";

/** request_mirror_policies of a route or a virtual host. */
export function readMirrors(reader: Reader): readonly Mirror[] {
  const mirrors = reader.list("request_mirror_policies").map((entry) => {
    const cluster = entry.text("cluster") || undefined;
    const clusterHeader = entry.text("cluster_header")?.toLowerCase() || undefined;
    if ((cluster === undefined) === (clusterHeader === undefined))
      throw entry.bad("cluster", "wanted exactly one of cluster and cluster_header");
    const mirror: Mirror = {
      cluster,
      clusterHeader,
      fraction: readFraction(entry, "runtime_fraction"),
      appendsShadow: !(entry.flag("disable_shadow_host_suffix_append") ?? false),
    };
    entry.allow("trace_sampled", [false], "copies have no spans").done();
    return mirror;
  });
  return mirrors;
}
