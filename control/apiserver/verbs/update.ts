/**
 * UPDATE: replaces an object, or one part of it, by what the client sent.
 *
 *   PUT x ─▶ all but the status        PUT x/status ─▶ the status alone
 *   PUT namespaces/x/finalize ─▶ spec.finalizers
 *
 * A resourceVersion in the object is a condition: 409 when it is not the newest. Without one the last writer wins.
 */
import type { KubeObject } from "#api/meta.ts";
import { invalidError } from "#api/schema/field-error.ts";
import type { Kind } from "#api/schema/kind.ts";
import { validateObject, validateUpdate } from "#api/schema/read.ts";
import { admit } from "../admission/chain.ts";
import { updatedMeta, withGeneration } from "../object-meta.ts";
import { readRequestObject } from "../read-body.ts";
import { conflict, modify, type ObjectRequest, type Part, type Registry, type User } from "../registry.ts";
import { checkPlace } from "./create.ts";

/** The parts of an object that are written apart. */
export type Parts = KubeObject & { readonly spec?: Readonly<Record<string, unknown>>; readonly status?: unknown };

export async function update(
  registry: Registry,
  request: ObjectRequest,
  body: unknown,
  part: Part,
): Promise<KubeObject> {
  const sent = readRequestObject(request, body);
  checkPlace(request, sent);
  return modify(registry, request, (current, settle) => {
    const { resourceVersion: version = "", uid = "" } = sent.metadata;
    if (version !== "" && version !== current.metadata.resourceVersion) throw conflict(request.kind, request.key.name);
    if (uid !== "" && uid !== current.metadata.uid)
      throw conflict(
        request.kind,
        request.key.name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`,
      );
    return replace({ registry, kind: request.kind, user: request.user, current, sent, part, settle });
  });
}

export interface Replacement {
  readonly registry: Registry;
  readonly kind: Kind;
  readonly user: User;
  readonly current: KubeObject;
  readonly sent: KubeObject;
  readonly part: Part;
  readonly settle: (action: () => void) => void;
}

/** The object after a part of it was replaced, admitted and valid. Throws Invalid. */
export function replace({ registry, kind, user, current, sent, part, settle }: Replacement): KubeObject {
  const merged = replacePart(current, sent, part);
  const admitted =
    part === "object" ? admit({ kind, object: merged, previous: current, user, registry, settle }) : merged;
  const errors = [...validateObject(kind, admitted)];
  if (errors.length === 0 && part === "object") errors.push(...validateUpdate(kind, admitted, current));
  if (errors.length > 0) throw invalidError(kind, current.metadata.name, errors);
  return withGeneration(kind, admitted, current);
}

/** `current` with one part taken from `sent`. Pure. */
export function replacePart(current: KubeObject, sent: KubeObject, part: Part): Parts {
  const [old, { status, ...next }] = [current as Parts, sent as Parts];
  switch (part) {
    case "status":
      return { ...old, ...(status === undefined ? {} : { status }) };
    case "finalize":
      return { ...old, spec: { ...old.spec, finalizers: next.spec?.["finalizers"] ?? [] } };
    case "object": {
      const replaced = { ...next, ...(old.status === undefined ? {} : { status: old.status }) };
      const metadata = updatedMeta(sent.metadata, current.metadata);
      // A Namespace's own finalizers only go through finalize.
      const isNamespace = current.kind === "Namespace" && current.apiVersion === "v1";
      return { ...replaced, ...(isNamespace ? { spec: old.spec } : {}), metadata };
    }
  }
}
