/**
 * Namespaces: nothing is created in one that is not there or goes away; a new one gets its finalizer, label and phase.
 *
 * Follows: kube-apiserver's NamespaceLifecycle plugin and namespace strategy.
 */
import { type Namespace, namespaceFinalizer, namespaces } from "#api/core/namespace.ts";
import { forbidden, notFound } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";

/** Refuses creates in a Namespace that is missing (404) or terminates (403). */
export const namespaceLifecycle: AdmissionPlugin = {
  name: "NamespaceLifecycle",
  resource: undefined,
  onUpdate: false,
  admit({ kind, object, registry }) {
    const { namespace } = object.metadata;
    if (!kind.namespaced || namespace === undefined) return object;
    const found = registry.cache.get(namespaces, { name: namespace });
    if (found === undefined) throw notFound(namespaces, namespace);
    if (found.metadata.deletionTimestamp !== undefined)
      throw forbidden(
        kind,
        object.metadata.name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
    return object;
  },
};

/** Gives a new Namespace what its deletion and its selectors need. */
export const namespaceDefaults: AdmissionPlugin = {
  name: "NamespaceDefaults",
  resource: "core/namespaces",
  onUpdate: true,
  admit({ object, previous }): Namespace {
    const namespace = object as Namespace;
    const { metadata, spec } = namespace;
    const labels = { ...metadata.labels, "kubernetes.io/metadata.name": metadata.name };
    if (previous !== undefined) return { ...namespace, metadata: { ...metadata, labels } };
    const finalizers = [...new Set([...(spec?.finalizers ?? []), namespaceFinalizer])];
    return { ...namespace, metadata: { ...metadata, labels }, spec: { finalizers }, status: { phase: "Active" } };
  },
};
