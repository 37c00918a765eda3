/**
 * Adoption and release: a workload controls exactly the objects that its selector selects.
 *
 *   owned, orphans ─▶ planClaim (pure) ─▶ { owned, adopt, release } ─▶ claim() writes ownerReferences
 *
 * Invariant: nothing is adopted by an owner that is gone, replaced or being deleted; the API server is asked at that
 * moment, as the caches may be behind and the garbage collector would delete what was adopted in error.
 * Follows: BaseControllerRefManager in k8s.io/kubernetes pkg/controller/controller_ref_manager.go.
 */
import type { KubeClient } from "#api/client/client.ts";
import type { KindRef } from "#api/kind.ts";
import { type KubeObject, type LabelSelector, keyOf } from "#api/meta.ts";
import { matchesLabels, toRequirements } from "#api/selector.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import type { OwnedIndex } from "../owned.ts";
import { controllerReference } from "./template.ts";

export interface ClaimPlan<T extends KubeObject> {
  readonly owned: readonly T[];
  readonly adopt: readonly T[];
  readonly release: readonly T[];
}

export interface Claimant<T extends KubeObject, O extends KubeObject> {
  readonly client: KubeClient;
  readonly index: OwnedIndex<T>;
  /** The kind of what is claimed. */
  readonly kind: KindRef<T>;
  readonly ownerKind: KindRef<O>;
  /** Set on what is adopted, taken from what is released. */
  readonly finalizer?: string;
}

export function planClaim<T extends KubeObject>(
  owner: KubeObject,
  selector: LabelSelector,
  { owned, orphans }: { readonly owned: readonly T[]; readonly orphans: readonly T[] },
): ClaimPlan<T> {
  // One that goes away keeps what it has, so that the garbage collector finds it.
  if (owner.metadata.deletionTimestamp !== undefined) return { owned, adopt: [], release: [] };
  const requirements = toRequirements(selector);
  const isOurs = ({ metadata }: T): boolean => matchesLabels(requirements, metadata.labels);
  const isStaying = ({ metadata }: T): boolean => metadata.deletionTimestamp === undefined;
  return {
    owned: owned.filter(isOurs),
    // An empty selector selects everything: nothing that was made for somebody else is taken by mistake.
    adopt: requirements.length === 0 ? [] : orphans.filter((object) => isStaying(object) && isOurs(object)),
    release: owned.filter((object) => isStaying(object) && !isOurs(object)),
  };
}

/** What `owner` controls; undefined when ownership was just written, and the cache has yet to show it. */
export async function claim<T extends KubeObject, O extends KubeObject>(
  claimant: Claimant<T, O>,
  owner: O,
  selector: LabelSelector,
): Promise<readonly T[] | undefined> {
  const { index } = claimant;
  const lists = { owned: index.of(owner), orphans: index.orphans(owner.metadata.namespace) };
  const plan = planClaim(owner, selector, lists);
  if (plan.adopt.length + plan.release.length === 0) return plan.owned;
  let isWritten = false;
  for (const object of plan.release) isWritten = (await release(claimant, owner, object)) || isWritten;
  if (plan.adopt.length > 0 && (await isThere(claimant, owner)))
    for (const object of plan.adopt) isWritten = (await adopt(claimant, owner, object)) || isWritten;
  return isWritten ? undefined : plan.owned;
}

async function isThere<T extends KubeObject, O extends KubeObject>(
  { client, ownerKind }: Claimant<T, O>,
  owner: O,
): Promise<boolean> {
  try {
    const { metadata } = await client.get(ownerKind, keyOf(owner));
    return metadata.uid === owner.metadata.uid && metadata.deletionTimestamp === undefined;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}

function adopt<T extends KubeObject, O extends KubeObject>(
  claimant: Claimant<T, O>,
  owner: O,
  object: T,
): Promise<boolean> {
  const references = [...(object.metadata.ownerReferences ?? []), controllerReference(claimant.ownerKind, owner)];
  return writeOwners(claimant, owner, object, references);
}

function release<T extends KubeObject, O extends KubeObject>(
  claimant: Claimant<T, O>,
  owner: O,
  object: T,
): Promise<boolean> {
  const references = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
  return writeOwners(claimant, owner, object, references);
}

/** False when the object is gone or was changed: its next event brings the owner here again. */
async function writeOwners<T extends KubeObject, O extends KubeObject>(
  { client, kind, index, finalizer }: Claimant<T, O>,
  owner: O,
  object: T,
  references: NonNullable<KubeObject["metadata"]["ownerReferences"]>,
): Promise<boolean> {
  const { uid, resourceVersion } = object.metadata;
  const ownerReferences = references.length === 0 ? null : references;
  const isAdopted = references.some((reference) => reference.uid === owner.metadata.uid);
  const others = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  const finalizers = finalizer === undefined ? {} : { finalizers: isAdopted ? [...others, finalizer] : others };
  const metadata = { uid, resourceVersion, ownerReferences, ...finalizers };
  try {
    index.wrote(owner, await client.patch(kind, keyOf(object), { metadata }));
    return true;
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return false;
    throw error;
  }
}
