/**
 * What is accepted of a Service and does less than it says. Pure.
 *
 *   service.ts ─▶ serviceWarnings() ─▶ control/apiserver/read-body.ts (Warning headers)
 */
import { l7Annotation } from "../wire/service.ts";
import type { Service } from "./service.ts";

/** One sentence each, by the field. The object may not be valid yet. */
export function serviceWarnings({ metadata, spec }: Partial<Service>): readonly string[] {
  const warnings: string[] = [];
  const l7 = metadata?.annotations?.[l7Annotation];
  if (l7 !== undefined && l7 !== "true" && l7 !== "false")
    warnings.push(
      `metadata.annotations[${l7Annotation}]: ${JSON.stringify(l7)} has no effect, wanted "true" or "false"`,
    );
  // Who calls the host's own port is 127.0.0.1, whatever the ranges are.
  if (spec?.type === "LoadBalancer" && (spec.loadBalancerSourceRanges ?? []).length > 0)
    warnings.push(
      "spec.loadBalancerSourceRanges: not honoured at the ports that are published on 127.0.0.1 of the host, only at addresses that nodes answer",
    );
  return warnings;
}
