/**
 * PATCH by JSON patch, merge patch or strategic merge patch.
 *
 * The patch is applied to the newest object, again when another write came between. A resourceVersion in the patch
 * is a condition.
 */
import type { KubeObject } from "#api/meta.ts";
import type { Patch } from "../patch/patch.ts";
import { readRequestObject } from "../read-body.ts";
import { conflict, modify, type ObjectRequest, type Part, type Registry } from "../registry.ts";
import { checkPlace } from "./create.ts";
import { replace } from "./update.ts";

export async function patch(registry: Registry, request: ObjectRequest, apply: Patch, part: Part): Promise<KubeObject> {
  return modify(registry, request, (current, settle) => {
    const sent = readRequestObject(request, apply(current));
    checkPlace(request, sent);
    const { resourceVersion, uid } = sent.metadata;
    // The patch overlays the object's own values: only what it says itself can differ from them.
    if (resourceVersion !== current.metadata.resourceVersion && resourceVersion !== undefined)
      throw conflict(request.kind, request.key.name);
    if (uid !== current.metadata.uid && uid !== undefined)
      throw conflict(
        request.kind,
        request.key.name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`,
      );
    return replace({ registry, kind: request.kind, user: request.user, current, sent, part, settle });
  });
}
