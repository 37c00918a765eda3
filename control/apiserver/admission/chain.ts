/**
 * The admission plugins, in the order in which they run.
 *
 * The law: what refuses on grounds of place comes first, then defaults, then what allocates: nothing is reserved for
 * a request that an earlier plugin refuses. Validation follows the chain.
 */
import type { KubeObject } from "#api/meta.ts";
import { resourceOf } from "../../watch/keys.ts";
import type { AdmissionInput, AdmissionPlugin } from "./admission.ts";
import { jobDefaults } from "./job.ts";
import { namespaceDefaults, namespaceLifecycle } from "./namespace.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { podDefaults } from "./pod.ts";
import { serviceAccount } from "./service-account.ts";
import { serviceAllocation } from "./service.ts";
import { sidecarInjection } from "./sidecar.ts";
import { defaultTolerations } from "./tolerations.ts";

export const admissionChain: readonly AdmissionPlugin[] = [
  namespaceLifecycle,
  nodeRestriction,
  namespaceDefaults,
  podDefaults,
  serviceAccount,
  defaultTolerations,
  jobDefaults,
  sidecarInjection,
  serviceAllocation,
];

/** The object as it leaves the chain. */
export function admit(input: AdmissionInput): KubeObject {
  const resource = resourceOf(input.kind);
  return admissionChain
    .filter((plugin) => plugin.resource === undefined || plugin.resource === resource)
    .filter((plugin) => plugin.onUpdate || input.previous === undefined)
    .reduce((object, plugin) => plugin.admit({ ...input, object }), input.object);
}
