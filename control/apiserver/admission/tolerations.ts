/**
 * Default tolerations: a new pod stays for a while on a node that is not ready or unreachable, unless it says itself
 * how long.
 *
 * Follows: k8s.io/kubernetes plugin/pkg/admission/defaulttolerationseconds.
 */
import type { Pod, PodSpec } from "#api/core/pod.ts";
import type { AdmissionPlugin } from "./admission.ts";

const secondsDefault = 300;
type Toleration = NonNullable<PodSpec["tolerations"]>[number];

export const defaultTolerations: AdmissionPlugin = {
  name: "DefaultTolerationSeconds",
  resource: "core/pods",
  onUpdate: false,
  admit({ object, registry }): Pod {
    const pod = object as Pod;
    if (pod.spec?.containers === undefined) return pod;
    const { admission } = registry;
    const { tolerations = [] } = pod.spec;
    const added = [
      toleration("node.kubernetes.io/not-ready", admission.defaultNotReadyTolerationSeconds),
      toleration("node.kubernetes.io/unreachable", admission.defaultUnreachableTolerationSeconds),
    ].filter(({ key }) => !tolerations.some((own) => isAbout(own, key)));
    return added.length === 0 ? pod : { ...pod, spec: { ...pod.spec, tolerations: [...tolerations, ...added] } };
  },
};

function toleration(key: string, tolerationSeconds = secondsDefault): Toleration & { readonly key: string } {
  return { key, operator: "Exists", effect: "NoExecute", tolerationSeconds };
}

/** Whether a pod's own toleration already decides about this taint. */
function isAbout({ key = "", effect = "" }: Toleration, taintKey: string): boolean {
  return (key === "" || key === taintKey) && (effect === "" || effect === "NoExecute");
}
