/**
 * The scale subresource: how many replicas, without the rest of the object. GET, PUT and PATCH of autoscaling/v1 Scale.
 *
 *   kubectl scale ─▶ PATCH deployments/<name>/scale ─▶ scaleOf() ─▶ patched Scale ─▶ spec.replicas
 *
 * Follows: k8s.io/kubernetes pkg/registry/apps/deployment/storage (ScaleREST).
 */
import type { KubeObject, LabelSelector } from "#api/meta.ts";
import { invalidError, invalidValue } from "#api/schema/field-error.ts";
import { StatusError } from "#api/status.ts";
import type { Patch } from "../patch/patch.ts";
import { formatSelector } from "../printers/printer.ts";
import { conflict, modify, mustGet, type ObjectRequest, type Registry } from "../registry.ts";
import { replace } from "./update.ts";

interface Scalable extends KubeObject {
  readonly spec: { readonly replicas?: number; readonly selector?: LabelSelector | Readonly<Record<string, string>> };
  readonly status?: { readonly replicas?: number };
}

/** Largest number of replicas: int32. */
const replicasMax = 2_147_483_647;

/** The Scale of an object. */
export function getScale(registry: Registry, { kind, key }: ObjectRequest): unknown {
  return scaleOf(mustGet(registry, kind, key));
}

/** Applies `change` to the Scale and writes its `spec.replicas`. The Scale afterwards. */
export async function changeScale(registry: Registry, request: ObjectRequest, change: Patch): Promise<unknown> {
  const { kind, key } = request;
  const written = await modify(registry, request, (current, settle) => {
    const { metadata, replicas } = readScale(request, change(scaleOf(current)));
    const { resourceVersion = "", uid = "" } = metadata;
    if (resourceVersion !== "" && resourceVersion !== current.metadata.resourceVersion) throw conflict(kind, key.name);
    if (uid !== "" && uid !== current.metadata.uid) throw conflict(kind, key.name, "the uid is another object's");
    const { spec } = current as Scalable;
    const sent = { ...current, spec: { ...spec, replicas } };
    return replace({ registry, kind, user: request.user, current, sent, part: "object", settle });
  });
  return scaleOf(written);
}

function scaleOf(object: KubeObject): unknown {
  const { metadata, spec, status } = object as Scalable;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec.replicas ?? 1 },
    status: { replicas: status?.replicas ?? 0, selector: selectorText(object) },
  };
}

/** A ReplicationController's selector is plain labels. */
function selectorText(object: KubeObject): string {
  const { selector = {} } = (object as Scalable).spec;
  const isPlain = object.kind === "ReplicationController";
  const text = formatSelector(isPlain ? { matchLabels: selector as Record<string, string> } : selector);
  return text === "<none>" ? "" : text;
}

function readScale(
  { kind, key }: ObjectRequest,
  sent: unknown,
): { readonly metadata: Partial<KubeObject["metadata"]>; readonly replicas: number } {
  const scale = sent as {
    kind?: unknown;
    apiVersion?: unknown;
    metadata?: unknown;
    spec?: { replicas?: unknown };
  } | null;
  if (typeof sent !== "object" || scale?.kind !== "Scale" || scale.apiVersion !== "autoscaling/v1")
    throw new StatusError("BadRequest", "Cannot read Scale: wanted apiVersion autoscaling/v1 and kind Scale");
  // Go leaves zero out: no number of replicas is zero replicas.
  const replicas = scale.spec?.replicas ?? 0;
  if (typeof replicas !== "number" || !Number.isInteger(replicas) || replicas < 0 || replicas > replicasMax)
    throw invalidError(kind, key.name, [
      invalidValue("spec.replicas", replicas, `must be between 0 and ${replicasMax}, inclusive`),
    ]);
  const metadata = typeof scale.metadata === "object" && scale.metadata !== null ? scale.metadata : {};
  return { metadata, replicas };
}
