/** What NetworkPolicy is decided by: a slim view of the cluster's objects. Values only. */
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { WorkloadPort } from "#api/wire/workload.ts";

export interface PolicyPod {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Normalized; one a family. */
  readonly addresses: readonly string[];
  readonly nodeName: string;
  /** Those of its containers' ports that have a name. */
  readonly ports: readonly WorkloadPort[];
}

export interface PolicyView {
  readonly policies: readonly NetworkPolicy[];
  /** Pods with a network of their own that have not ended. */
  readonly pods: readonly PolicyPod[];
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
}
