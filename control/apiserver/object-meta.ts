/**
 * The metadata that the server itself writes: uid, creationTimestamp, generation, names made from generateName.
 *
 *   verbs/create.ts ─▶ initialMeta()        verbs/update.ts ─▶ updatedMeta(), nextGeneration()
 *
 * Pure: time and chance are given.
 */
import { formatTime, type KubeObject, type ObjectMeta } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { isEqual } from "#api/schema/read.ts";
import type { Random } from "#lib/random.ts";

/** Letters of generated names: no vowels, so no words; nothing that looks alike. As k8s.io/apimachinery util/rand. */
const letters = "bcdfghjklmnpqrstvwxz2456789";
const generatedLength = 5;
const generatedMax = 63;

/** A name from `generateName`: at most 58 characters of it, then five by chance. */
export function generateName(base: string, random: Random): string {
  const suffix = Array.from(
    { length: generatedLength },
    () => letters[Math.floor(random.next() * letters.length)] ?? "x",
  ).join("");
  return `${base.slice(0, generatedMax - generatedLength)}${suffix}`;
}

/** The metadata of a new object: what the client may choose, and the server's own. */
export function initialMeta(
  sent: ObjectMeta,
  identity: { readonly name: string; readonly namespace: string | undefined },
  nowMs: number,
  random: Random,
): ObjectMeta {
  const { namespace: _namespace, uid: _uid, resourceVersion: _version, generation: _generation, ...chosen } = sent;
  const { deletionTimestamp: _deletion, deletionGracePeriodSeconds: _grace, ...rest } = chosen;
  return {
    ...rest,
    name: identity.name,
    ...(identity.namespace === undefined ? {} : { namespace: identity.namespace }),
    uid: formatUUID(random.bytes(16)),
    creationTimestamp: formatTime(nowMs),
  };
}

/** Metadata after an update: labels, annotations, owners and finalizers are the client's, the rest stays. */
export function updatedMeta(sent: ObjectMeta, current: ObjectMeta): ObjectMeta {
  const {
    labels: _labels,
    annotations: _annotations,
    ownerReferences: _owners,
    finalizers: _finalizers,
    ...fixed
  } = current;
  const { labels, annotations, ownerReferences, finalizers } = sent;
  return {
    ...fixed,
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(ownerReferences === undefined ? {} : { ownerReferences }),
    ...(finalizers === undefined ? {} : { finalizers }),
  };
}

/** The object with its generation: 1 when new, one more when the spec changed, none for kinds without a spec. */
export function withGeneration(kind: Kind, next: KubeObject, current: KubeObject | undefined): KubeObject {
  if (kind.schema.fields["spec"] === undefined) return next;
  const before = current?.metadata.generation ?? 0;
  const isChanged = current === undefined || !isEqual(specOf(next), specOf(current));
  return { ...next, metadata: { ...next.metadata, generation: isChanged ? before + 1 : before } };
}

function specOf(object: KubeObject): unknown {
  return (object as KubeObject & { readonly spec?: unknown }).spec;
}

/** A UUID of version 4 from 16 random bytes. RFC 9562 section 5.4. */
export function formatUUID(bytes: Uint8Array): string {
  const copy = Uint8Array.from(bytes);
  copy[6] = ((copy[6] ?? 0) & 0x0f) | 0x40;
  copy[8] = ((copy[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(copy).toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
