/**
 * Pods made from a template, and who owns them.
 *
 * Pure. Follows: GetPodFromTemplate in k8s.io/kubernetes pkg/controller/controller_utils.go.
 */
import type { Pod, PodTemplateSpec } from "#api/core/pod.ts";
import { type KindRef, apiVersionOf } from "#api/kind.ts";
import type { KubeObject, OwnerReference } from "#api/meta.ts";

/** The reference that makes `owner` the controller of an object. */
export function controllerReference(kind: KindRef, owner: KubeObject): OwnerReference {
  const { name, uid = "" } = owner.metadata;
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** A pod of `template`, controlled by `owner`. The API server completes the name. */
export function podFromTemplate(kind: KindRef, owner: KubeObject, template: PodTemplateSpec): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const { name, namespace = "default" } = owner.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "",
      generateName: `${name}-`,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
      ownerReferences: [controllerReference(kind, owner)],
    },
    spec: template.spec,
  };
}
