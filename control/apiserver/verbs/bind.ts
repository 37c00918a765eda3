/**
 * Binding: puts a pod on a node, once. POST pods/<name>/binding, or a create of `bindings`.
 *
 * Follows: kube-apiserver pkg/registry/core/pod/storage (BindingREST), which also sets the condition PodScheduled.
 */
import type { Binding } from "#api/core/binding.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { formatTime, type KubeObject } from "#api/meta.ts";
import { invalidError, notSupported, requiredError } from "#api/schema/field-error.ts";
import { StatusError } from "#api/status.ts";
import { conflict, modify, type ObjectRequest, type Registry } from "../registry.ts";

/** Binds the pod of `request`. The bound pod. */
export async function bind(registry: Registry, request: ObjectRequest, body: unknown): Promise<KubeObject> {
  const { name } = request.key;
  const binding = readBinding(body, name);
  const { uid } = binding.metadata;
  return modify(registry, { ...request, kind: pods }, (current) => {
    const pod = current as Pod;
    if (uid !== undefined && uid !== "" && uid !== pod.metadata.uid)
      throw conflict(
        pods,
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${pod.metadata.uid}`,
      );
    if (pod.metadata.deletionTimestamp !== undefined)
      throw conflict(pods, name, `pod ${name} is being deleted, cannot be assigned to a host`);
    if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== "")
      throw conflict(pods, name, `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
    return bound(pod, binding.target.name, formatTime(registry.clock.nowMs()));
  });
}

function bound(pod: Pod, nodeName: string, now: string): Pod {
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== "PodScheduled");
  const scheduled = { type: "PodScheduled", status: "True", lastTransitionTime: now } as const;
  return {
    ...pod,
    spec: { ...pod.spec, nodeName },
    status: { ...pod.status, conditions: [...others, scheduled] },
  };
}

function readBinding(body: unknown, name: string): Binding {
  const binding = body as Partial<Binding> | null;
  if (typeof body !== "object" || binding?.kind !== "Binding" || binding.apiVersion !== "v1")
    throw new StatusError("BadRequest", "Cannot read Binding: wanted apiVersion v1 and kind Binding");
  const named = binding.metadata?.name ?? name;
  if (named !== name)
    throw new StatusError(
      "BadRequest",
      `the name of the object (${named}) does not match the name on the URL (${name})`,
    );
  const { target, metadata = { name } } = binding;
  const kind = target?.kind ?? "Node";
  if (kind !== "Node" && kind !== "")
    throw invalidError(pods, name, [notSupported("target.kind", kind, ["Node", "<empty>"])]);
  if (typeof target?.name !== "string" || target.name === "")
    throw invalidError(pods, name, [requiredError("target.name")]);
  return { apiVersion: "v1", kind: "Binding", metadata, target };
}
