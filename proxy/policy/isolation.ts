/**
 * Which pods policies isolate, whatever the policies allow. Pure.
 *
 *   PolicyView ─▶ isolationOf ─▶ l4/family-proxy.ts: these are not balanced per request
 *
 * A policy judges a connection by who calls and who is called. The node's HTTP engine would stand for both.
 */
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import { matchesLabels, toRequirements } from "#api/selector.ts";
import type { PolicyView } from "./view.ts";

export interface Isolation {
  /** Addresses of pods, wherever they are, whose callers are judged. */
  readonly ingress: ReadonlySet<string>;
  /** Addresses of pods of this node whose own calls are judged. */
  readonly egress: ReadonlySet<string>;
}

/** Directions that a policy isolates its pods in. Source: k8s.io/api networking/v1, NetworkPolicySpec. */
export function typesOf({ spec }: NetworkPolicy): readonly string[] {
  if ((spec?.policyTypes ?? []).length > 0) return spec?.policyTypes ?? [];
  return (spec?.egress ?? []).length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

export function isolationOf({ policies, pods }: PolicyView, nodeName: string): Isolation {
  const [ingress, egress] = [new Set<string>(), new Set<string>()];
  for (const policy of policies) {
    const types = typesOf(policy);
    const requirements = toRequirements(policy.spec?.podSelector ?? {});
    for (const pod of pods) {
      if (pod.namespace !== policy.metadata.namespace || !matchesLabels(requirements, pod.labels)) continue;
      for (const address of pod.addresses) {
        if (types.includes("Ingress")) ingress.add(address);
        if (types.includes("Egress") && pod.nodeName === nodeName) egress.add(address);
      }
    }
  }
  return { ingress, egress };
}
