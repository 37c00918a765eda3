/**
 * `wherry apply`: creates objects or brings them to the state of a file.
 *
 * As kubectl: what the file said last time is kept in an annotation, so that a field that has gone from the file
 * goes from the object, and what others set stays.
 */
import type { HttpKubeClient } from "#api/client/http.ts";
import { objectPath } from "#api/client/http.ts";
import { type KindRef, collectionPath } from "#api/kind.ts";
import { type KubeObject, keyOf } from "#api/meta.ts";
import { metaSchema } from "#api/schema/kind.ts";
import { type Schema, object } from "#api/schema/schema.ts";
import { kindOf } from "#api/scheme.ts";
import { isNotFound } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import { planPatch } from "./apply-patch.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { type Manifest, readManifests } from "./manifests.ts";
import { displayName } from "./resources.ts";

/** kubectl's own, so that both can be used in turn. */
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

export interface ApplyOptions {
  readonly name: string;
  readonly namespace: string;
  readonly filename: readonly string[];
  readonly output: "text" | "json";
}

export async function apply({ name, namespace, filename, output }: ApplyOptions): Promise<void> {
  if (filename.length === 0) throw new CliError("Usage", "Cannot apply: wanted -f FILE");
  const manifests = readManifests(filename);
  if (manifests.length === 0) throw new CliError("Failed", `Cannot apply ${filename.join(", ")}: no objects in it`);
  const client = connect(name);
  try {
    const done = await applyManifests(client, manifests, namespace, (line) => {
      if (output === "text") process.stdout.write(`${line}\n`);
    });
    if (output === "json") process.stdout.write(`${JSON.stringify(done)}\n`);
  } finally {
    await client.close();
  }
}

/** Applies in order; stops at the first that is refused, naming its place. */
export async function applyManifests(
  client: HttpKubeClient,
  manifests: readonly Manifest[],
  namespace: string,
  say: (line: string) => void,
): Promise<KubeObject[]> {
  const done: KubeObject[] = [];
  for (const manifest of manifests) {
    try {
      const wanted = withNamespace(manifest, namespace);
      const { object, what, warnings } = await applyOne(client, manifest.kind, wanted);
      for (const warning of warnings) process.stderr.write(`Warning: ${warning}\n`);
      say(`${displayName(manifest.kind, object.metadata.name)} ${what}`);
      done.push(object);
    } catch (error) {
      throw new CliError("Failed", `Cannot apply ${manifest.where}: ${messageOf(error)}`, { cause: error });
    }
  }
  return done;
}

function withNamespace({ kind, object }: Manifest, namespace: string): KubeObject {
  if (!kind.namespaced || object.metadata.namespace !== undefined) return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

interface Applied {
  readonly object: KubeObject;
  readonly what: "created" | "configured" | "unchanged";
  readonly warnings: readonly string[];
}

const strict = { fieldValidation: "Strict", fieldManager: "wherry-apply" };

async function applyOne(client: HttpKubeClient, kind: KindRef, wanted: KubeObject): Promise<Applied> {
  const marked = withLastApplied(wanted);
  const key = keyOf(wanted);
  const found = wanted.metadata.name === undefined ? undefined : await readOptional(client, kind, wanted);
  if (found === undefined) {
    const created = await client.write("POST", collectionPath(kind, key.namespace), strict, marked);
    return { ...created, what: "created" };
  }
  const before = JSON.parse(found.metadata.annotations?.[lastApplied] ?? "{}") as Record<string, unknown>;
  const patch = planPatch(schemaOf(kind), before, marked as unknown as Record<string, unknown>);
  const patched = await client.write("PATCH", objectPath(kind, key), strict, patch);
  const same = patched.object.metadata.resourceVersion === found.metadata.resourceVersion;
  return { ...patched, what: same ? "unchanged" : "configured" };
}

/** Of the whole object, with its metadata. */
function schemaOf(ref: KindRef): Schema | undefined {
  const schema = kindOf(ref)?.schema;
  return schema?.type === "object" ? object({ ...schema.fields, metadata: metaSchema }) : schema;
}

async function readOptional(
  client: HttpKubeClient,
  kind: KindRef,
  wanted: KubeObject,
): Promise<KubeObject | undefined> {
  try {
    return await client.get(kind, keyOf(wanted));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function withLastApplied(wanted: KubeObject): KubeObject {
  const { [lastApplied]: _former, ...annotations } = wanted.metadata.annotations ?? {};
  const text = JSON.stringify({ ...wanted, metadata: { ...wanted.metadata, annotations } });
  return { ...wanted, metadata: { ...wanted.metadata, annotations: { ...annotations, [lastApplied]: text } } };
}
