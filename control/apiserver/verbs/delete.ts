/**
 * DELETE: removes an object at once, or marks it so that finalizers, the kubelet or the namespace controller finish.
 *
 *   no finalizer, no grace ─▶ gone        finalizers ─▶ deletionTimestamp; gone with the last finalizer
 *   pod on a node ─▶ deletionTimestamp + grace; its kubelet deletes again with grace 0
 *   Namespace ─▶ Terminating; gone when its content is, through finalize
 *
 * Follows: k8s.io/apiserver registry/rest/delete.go and the pod and namespace strategies.
 */
import type { DeleteOptions } from "#api/client/client.ts";
import type { Namespace } from "#api/core/namespace.ts";
import { isPodFinished, type Pod } from "#api/core/pod.ts";
import { formatTime, type KubeObject } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import { conflict, forbidden, modify, type ObjectRequest, type Registry } from "../registry.ts";
import { list, type ListQuery } from "./list.ts";

/** Namespaces that the cluster cannot be without. */
const immortal: readonly string[] = ["default", "kube-system", "kube-public"];

/** Starts or completes the deletion. The object as it stands afterwards. */
export async function remove(registry: Registry, request: ObjectRequest, options: DeleteOptions): Promise<KubeObject> {
  const { kind, key } = request;
  if (options.propagationPolicy === "Orphan")
    throw new StatusError(
      "BadRequest",
      "Cannot delete with propagationPolicy Orphan: it is not supported (use Background)",
    );
  if (options.propagationPolicy === "Foreground")
    request.warn("propagationPolicy Foreground is treated as Background: dependents are deleted after their owner");
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
  const isCore = kind.group === "";
  if (isCore && kind.kind === "Namespace") return deletedNamespace(current, nowMs);
  const graceSeconds = isCore && kind.kind === "Pod" ? podGrace(current as Pod, options) : 0;
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = current.metadata;
  if (graceSeconds === 0 && (finalizers ?? []).length === 0) return "remove";
  // A second deletion can only shorten the grace.
  if (deletionTimestamp !== undefined && graceSeconds >= (deletionGracePeriodSeconds ?? 0)) return current;
  return {
    ...current,
    metadata: {
      ...current.metadata,
      deletionTimestamp: formatTime(nowMs + graceSeconds * 1000),
      deletionGracePeriodSeconds: graceSeconds,
    },
  };
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

function checkPreconditions(kind: Kind, { metadata }: KubeObject, { preconditions = {} }: DeleteOptions): void {
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
