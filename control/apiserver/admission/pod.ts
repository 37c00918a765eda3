/**
 * Pods: a new one runs as the service account `default` unless it says otherwise, and is Pending.
 *
 * Follows: kube-apiserver's ServiceAccount plugin (less its token volume) and pod strategy.
 */
import { qosClassOf } from "#api/core/pod-rules.ts";
import type { Pod } from "#api/core/pod.ts";
import type { AdmissionPlugin } from "./admission.ts";

/** Fills in the service account and the first status. */
export const podDefaults: AdmissionPlugin = {
  name: "PodDefaults",
  resource: "core/pods",
  onUpdate: false,
  admit({ object }): Pod {
    const pod = object as Pod;
    // Validation, which comes later, complains about a spec that is missing.
    if (pod.spec?.containers === undefined) return pod;
    const serviceAccountName = pod.spec.serviceAccountName ?? "default";
    return {
      ...pod,
      spec: { ...pod.spec, serviceAccountName, serviceAccount: serviceAccountName },
      status: { phase: "Pending", qosClass: qosClassOf(pod.spec) },
    };
  },
};
