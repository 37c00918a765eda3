/**
 * What is wrong with NetworkPolicies: pods that may ask no resolver. Pure.
 *
 *   ClusterObjects ─▶ findingsOfPolicies() ─▶ Finding[]
 */
import { isPodFinished } from "#api/core/pod.ts";
import { policiesAgainstDNS } from "./explain/policy.ts";
import { type Finding, count, find } from "./finding.ts";
import type { ClusterObjects } from "./observation.ts";

/** Pods that a finding names. */
const podsNamedMax = 3;

/** One for each set of policies that keeps pods from DNS. */
export function findingsOfPolicies(objects: ClusterObjects): Finding[] {
  const denied = objects.pods.flatMap((pod) => {
    const policies = isPodFinished(pod) ? [] : policiesAgainstDNS(pod, objects);
    return policies.length === 0 ? [] : [{ name: pod.metadata.name, policies }];
  });
  const keyOf = ({ policies }: (typeof denied)[number]): string =>
    policies.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(" or ");
  return [...Map.groupBy(denied, keyOf)].flatMap(([key, pods]) => {
    const { name = "", namespace = "" } = pods[0]?.policies[0]?.metadata ?? {};
    const named = pods.slice(0, podsNamedMax).map((pod) => pod.name);
    const more = pods.length > named.length ? ` and ${count(pods.length - named.length, "other")}` : "";
    const together = pods[0]?.policies.length === 1 ? "" : `, with ${key}`;
    const detail = `${count(pods.length, "pod")}, ${named.join(", ")}${more}${together}`;
    return [find("DNSDeniedByPolicy", { kind: "networkpolicy", name, namespace }, detail)];
  });
}
