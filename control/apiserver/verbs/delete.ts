/**
 * DELETE: removes an object at once, or marks it so that finalizers, the kubelet or the namespace controller finish.
 *
 *   no finalizer, no grace ─▶ gone        finalizers ─▶ deletionTimestamp; gone with the last finalizer
 *   pod on a node ─▶ deletionTimestamp + grace; its kubelet deletes again with grace 0
 *   Foreground, Orphan ─▶ a finalizer of the garbage collector, which sees to the dependents first
 *   Namespace ─▶ Terminating; gone when its content is, through finalize
 *
 * Follows: k8s.io/apiserver registry/rest/delete.go and the pod and namespace strategies.
 */
import type { DeleteOptions } from "#api/client/client.ts";
import type { Namespace } from "#api/core/namespace.ts";
import { isPodFinished, type Pod } from "#api/core/pod.ts";
import { foregroundFinalizer, formatTime, type KubeObject, orphanFinalizer } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { isEqual } from "#api/schema/read.ts";
import { StatusError } from "#api/status.ts";
import { conflict, forbidden, modify, type ObjectRequest, type Registry } from "../registry.ts";
import { list, type ListQuery } from "./list.ts";

/** Namespaces that the cluster cannot be without. */
const immortal: readonly string[] = ["default", "kube-system", "kube-public"];

/** Starts or completes the deletion. The object as it stands afterwards. */
export async function remove(registry: Registry, request: ObjectRequest, options: DeleteOptions): Promise<KubeObject> {
  const { kind, key } = request;
  if (kind.kind === "Namespace" && immortal.includes(key.name))
    throw forbidden(kind, key.name, "this namespace may not be deleted");
  return modify(registry, request, (current) => {
    checkPreconditions(kind, current, options);
    return deletedForm(kind, current, options, registry.clock.nowMs());
  });
}

/** Deletes everything that a list of the same query gives. What it gave. */
export async function removeCollection(
  registry: Registry,
  request: ObjectRequest,
  query: ListQuery,
  options: DeleteOptions,
): ReturnType<typeof list> {
  const found = await list(registry, request.kind, query);
  for (const { metadata } of found.items) {
    const key =
      metadata.namespace === undefined
        ? { name: metadata.name }
        : { namespace: metadata.namespace, name: metadata.name };
    try {
      await remove(registry, { ...request, key }, options);
    } catch (error) {
      // Gone in the meantime is what was asked for.
      if (!(error instanceof StatusError && error.code === "NotFound")) throw error;
    }
  }
  return found;
}

/** What becomes of `current`: "remove", itself when the deletion already goes on, or a marked form. Pure. */
export function deletedForm(
  kind: Kind,
  current: KubeObject,
  options: DeleteOptions,
  nowMs: number,
): KubeObject | "remove" {
  const held = withFinalizers(current, deletionFinalizers(current, options));
  const isCore = kind.group === "";
  if (isCore && kind.kind === "Namespace") return deletedNamespace(held, nowMs);
  const graceSeconds = isCore && kind.kind === "Pod" ? podGrace(current as Pod, options) : 0;
  const { deletionTimestamp, deletionGracePeriodSeconds: graceBefore = 0, generation } = current.metadata;
  if (graceSeconds === 0 && (held.metadata.finalizers ?? []).length === 0) return "remove";
  // A second deletion can only shorten the grace, which counts from the first.
  if (deletionTimestamp !== undefined && graceSeconds >= graceBefore) return held;
  const startMs = deletionTimestamp === undefined ? nowMs : Date.parse(deletionTimestamp) - graceBefore * 1000;
  return {
    ...held,
    metadata: {
      ...held.metadata,
      ...(generation === undefined ? {} : { generation: generation + 1 }),
      deletionTimestamp: formatTime(startMs + graceSeconds * 1000),
      deletionGracePeriodSeconds: graceSeconds,
    },
  };
}

/** The finalizers under which the garbage collector sees to the dependents first. Without a policy they stay as they are. */
function deletionFinalizers({ metadata }: KubeObject, { propagationPolicy }: DeleteOptions): readonly string[] {
  const { finalizers = [] } = metadata;
  if (propagationPolicy === undefined) return finalizers;
  const others = finalizers.filter((name) => name !== orphanFinalizer && name !== foregroundFinalizer);
  if (propagationPolicy === "Background") return others;
  return [...others, propagationPolicy === "Orphan" ? orphanFinalizer : foregroundFinalizer];
}

function withFinalizers(object: KubeObject, finalizers: readonly string[]): KubeObject {
  if (isEqual(object.metadata.finalizers ?? [], finalizers)) return object;
  const { finalizers: _old, ...metadata } = object.metadata;
  return { ...object, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
}

function podGrace(pod: Pod, options: DeleteOptions): number {
  // Nothing runs: there is no one to be graceful to, and no kubelet to complete the deletion.
  if (pod.spec.nodeName === undefined || pod.spec.nodeName === "" || isPodFinished(pod)) return 0;
  return Math.max(0, options.gracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30);
}

function deletedNamespace(namespace: Namespace, nowMs: number): Namespace | "remove" {
  const { metadata, spec } = namespace;
  if ((spec?.finalizers ?? []).length === 0 && (metadata.finalizers ?? []).length === 0) return "remove";
  if (metadata.deletionTimestamp !== undefined) return namespace;
  return {
    ...namespace,
    metadata: { ...metadata, deletionTimestamp: formatTime(nowMs) },
    status: { ...namespace.status, phase: "Terminating" },
  };
}

/** Refuses when the object is another one than the client means. Throws Conflict. */
export function checkPreconditions(kind: Kind, { metadata }: KubeObject, { preconditions = {} }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions;
  const fail = (what: string, wanted: string, got: string | undefined): never => {
    throw conflict(
      kind,
      metadata.name,
      `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${got}`,
    );
  };
  if (uid !== undefined && uid !== metadata.uid) fail("UID", uid, metadata.uid);
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    fail("ResourceVersion", resourceVersion, metadata.resourceVersion);
}
