/**
 * Sidecar injection: marks a new pod that gets a sidecar. The node's agent reads the mark; nothing is added to the
 * pod's containers.
 *
 * The pod's own word ("true" or "false") comes first, then the Namespace's label. Pods that serve a Gateway are
 * proxies themselves.
 * Follows: Istio's injection labels, of which the pod's label counts before its annotation.
 */
import { namespaces } from "#api/core/namespace.ts";
import { type Pod, sidecarInjected, sidecarInjectLabel, sidecarStatusAnnotation } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import type { AdmissionPlugin } from "./admission.ts";

/** The label of Namespaces whose pods get sidecars. */
const namespaceLabel = "istio-injection";

/** Whether a pod gets a sidecar, by its own labels and annotations and those of its Namespace. Pure. */
export function isInjected(pod: Pod, namespaceLabels: Readonly<Record<string, string>>): boolean {
  const { labels, annotations } = pod.metadata;
  if (labels?.[gatewayNameLabel] !== undefined) return false;
  const own = labels?.[sidecarInjectLabel] ?? annotations?.[sidecarInjectLabel];
  if (own === "false") return false;
  if (own === "true") return true;
  return namespaceLabels[namespaceLabel] === "enabled";
}

export const sidecarInjection: AdmissionPlugin = {
  name: "SidecarInjection",
  resource: "core/pods",
  onUpdate: false,
  admit({ object, registry }): Pod {
    const pod = object as Pod;
    const namespace = registry.cache.get(namespaces, { name: pod.metadata.namespace ?? "" });
    const { [sidecarStatusAnnotation]: sent, ...others } = pod.metadata.annotations ?? {};
    const isMarked = isInjected(pod, namespace?.metadata.labels ?? {});
    // The mark is ours to give: one that the client sent says nothing.
    if (!isMarked && sent === undefined) return pod;
    const annotations = isMarked ? { ...others, [sidecarStatusAnnotation]: sidecarInjected } : others;
    return { ...pod, metadata: { ...pod.metadata, annotations } };
  },
};
