/**
 * What a kubelet measures of its node and pods: the kubelet's Summary API (k8s.io/kubelet stats/v1alpha1), as far as
 * `kubectl top` needs it.
 *
 *   kubelet ─ GET /stats/summary ─▶ API server (metrics.k8s.io) ─▶ kubectl top
 */

export interface CPUStats {
  /** RFC 3339. */
  readonly time: string;
  /** CPU over the sample's window, in billionths of a core. */
  readonly usageNanoCores: number;
  /** CPU since the container started, in ns of core time. */
  readonly usageCoreNanoSeconds: number;
}

export interface MemoryStats {
  /** RFC 3339. */
  readonly time: string;
  /** Memory that cannot be reclaimed at once, in bytes. */
  readonly workingSetBytes: number;
}

export interface ContainerStats {
  readonly name: string;
  readonly cpu: CPUStats;
  readonly memory: MemoryStats;
}

export interface PodStats {
  readonly podRef: { readonly name: string; readonly namespace: string; readonly uid: string };
  /** Containers that run and were sampled at least twice. */
  readonly containers: readonly ContainerStats[];
}

export interface StatsSummary {
  readonly node: { readonly nodeName: string; readonly cpu: CPUStats; readonly memory: MemoryStats };
  readonly pods: readonly PodStats[];
}
