/**
 * CREATE: read → metadata → admission → validation → write if not there.
 *
 * A generated name that is taken is drawn again; a name that the client chose is answered with 409 AlreadyExists.
 */
import { type Pod, pods } from "#api/core/pod.ts";
import type { KubeObject } from "#api/meta.ts";
import { invalidError } from "#api/schema/field-error.ts";
import { validateObject } from "#api/schema/read.ts";
import { StatusError } from "#api/status.ts";
import { admit } from "../admission/chain.ts";
import { awaitServiceAccount } from "../admission/service-account.ts";
import { generateName, initialMeta, withGeneration } from "../object-meta.ts";
import { readRequestObject } from "../read-body.ts";
import { alreadyExists, commit, type ObjectRequest, type Registry } from "../registry.ts";

const nameTriesMax = 8;

export async function create(registry: Registry, request: ObjectRequest, body: unknown): Promise<KubeObject> {
  const { kind } = request;
  const sent = readRequestObject(request, withoutStatus(request, body), body);
  checkPlace(request, sent);
  if (kind === pods) await awaitServiceAccount(registry, request.key.namespace ?? "", (sent as Pod).spec);
  const { name, generateName: base = "" } = sent.metadata;
  const isGenerated = name === "" && base !== "";
  for (let attempt = 0; attempt < (isGenerated ? nameTriesMax : 1); attempt++) {
    const object = withName(registry, request, sent, isGenerated ? generateName(base, registry.random) : name);
    const written = await createOnce(registry, request, object);
    if (written !== undefined) return written;
  }
  if (isGenerated) throw alreadyExists(kind, `${base}…`);
  throw alreadyExists(kind, name);
}

async function createOnce(
  registry: Registry,
  request: ObjectRequest,
  object: KubeObject,
): Promise<KubeObject | undefined> {
  const { kind } = request;
  const settled: (() => void)[] = [];
  try {
    const settle = (action: () => void): void => void settled.push(action);
    const admitted = admit({ kind, object, previous: undefined, registry, settle, user: request.user });
    const errors = validateObject(kind, admitted);
    if (errors.length > 0) throw invalidError(kind, object.metadata.name, errors);
    if (registry.cache.get(kind, admitted.metadata) !== undefined) return undefined;
    return await commit(registry, request, withGeneration(kind, admitted, undefined), undefined);
  } finally {
    for (const action of settled) action();
  }
}

function withName(registry: Registry, request: ObjectRequest, sent: KubeObject, name: string): KubeObject {
  const { kind, key } = request;
  const namespace = kind.namespaced ? key.namespace : undefined;
  const metadata = initialMeta(sent.metadata, { name, namespace }, registry.clock.nowMs(), registry.random);
  return { ...sent, metadata };
}

/** The status is the server's and the controllers' to write. A kubelet registers its Node with one, as in Kubernetes. */
function withoutStatus({ kind }: ObjectRequest, body: unknown): unknown {
  if (kind.plural === "nodes" || typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const { status: _status, ...rest } = body as Record<string, unknown>;
  return rest;
}

/** The namespace in the object must be that of the path; a resourceVersion makes no sense yet. */
export function checkPlace({ kind, key }: ObjectRequest, { metadata }: KubeObject): void {
  const { namespace = "", name } = metadata;
  if (kind.namespaced && namespace !== "" && namespace !== key.namespace)
    throw new StatusError(
      "BadRequest",
      `the namespace of the provided object does not match the namespace sent on the request: got ${namespace}, wanted ${key.namespace ?? ""}`,
    );
  if (key.name !== "" && name !== key.name)
    throw new StatusError(
      "BadRequest",
      `the name of the object (${name}) does not match the name on the URL (${key.name})`,
    );
  if (key.name === "" && metadata.resourceVersion !== undefined && metadata.resourceVersion !== "")
    throw new StatusError("BadRequest", "resourceVersion should not be set on objects to be created");
}
