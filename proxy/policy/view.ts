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

/**
 * What policies know the node's resolver as: the pods that the DNS of other clusters has, which is how people allow it.
 * It is on no node, so that no policy isolates it.
 */
export const resolverPod: PolicyPod = {
  namespace: "kube-system",
  labels: { "k8s-app": "kube-dns" },
  addresses: [],
  nodeName: "",
  ports: [
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "dns-tcp", protocol: "TCP", port: 53 },
  ],
};
