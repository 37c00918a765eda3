/** The kinds of metrics.k8s.io: computed, never stored. */
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import type { KindRef } from "#api/kind.ts";

export const group = "metrics.k8s.io";
export const version = "v1beta1";
const own = { group, version, singular: "", shortNames: [] };

/** What a node uses. */
export const nodeMetrics: KindRef = { ...own, kind: "NodeMetrics", plural: nodes.plural, namespaced: false };
/** What a pod's containers use. */
export const podMetrics: KindRef = { ...own, kind: "PodMetrics", plural: pods.plural, namespaced: true };

/** What is served. */
export const metricsKinds: readonly KindRef[] = [nodeMetrics, podMetrics];
