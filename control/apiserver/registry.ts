/**
 * What every verb works on: the cache to read from, the store to write to, and the one loop that changes an object.
 *
 *   verbs/*.ts ─▶ commit(), modify() ─▶ store (compare and swap) ─▶ cache ─▶ the object as it stands
 *
 * Invariant: a change is computed from the newest object and written only if that is still the newest, so none is lost.
 */
import type { KindRef } from "#api/kind.ts";
import { formatKey, type KubeObject, keyOf, type ObjectKey } from "#api/meta.ts";
import { formatResource } from "#api/schema/field-error.ts";
import type { Kind } from "#api/schema/kind.ts";
import { isEqual } from "#api/schema/read.ts";
import { StatusError } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import { type Store, StoreError } from "../store/store.ts";
import { storeKey } from "../watch/keys.ts";
import { decodeObject, encodeObject, type WatchCache } from "../watch/watch-cache.ts";
import type { AdmissionOptions } from "./admission/options.ts";
import type { ServiceAllocator } from "./admission/service-allocator.ts";

export interface Registry {
  readonly store: Store;
  readonly cache: WatchCache;
  readonly clock: Clock;
  readonly random: Random;
  readonly services: ServiceAllocator;
  readonly admission: AdmissionOptions;
}

export interface User {
  readonly name: string;
  readonly groups: readonly string[];
  /** Of a ServiceAccount: its uid. */
  readonly uid?: string;
  /** More that is known of the credentials: `authentication.kubernetes.io/pod-name`, … */
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Who asks for what, after the path and the query were read. */
export interface ObjectRequest {
  readonly kind: Kind;
  /** The name is empty for collections and creates. */
  readonly key: ObjectKey;
  readonly user: User;
  /** Do all but write. */
  readonly isDryRun: boolean;
  readonly fieldValidation: "Strict" | "Warn" | "Ignore";
  /** Takes a sentence for the client, sent as a Warning header. */
  readonly warn: (sentence: string) => void;
}

/** What part of an object a write may change. */
export type Part = "object" | "status" | "finalize";

/** Tries before a change that keeps meeting others' is refused. */
const triesMax = 50;

export function notFound(kind: KindRef, name: string): StatusError {
  return new StatusError("NotFound", `${formatResource(kind)} ${JSON.stringify(name)} not found`, details(kind, name));
}

export function alreadyExists(kind: KindRef, name: string): StatusError {
  const message = `${formatResource(kind)} ${JSON.stringify(name)} already exists`;
  return new StatusError("AlreadyExists", message, details(kind, name));
}

/** 409 with the reason after the usual words. */
export function conflict(kind: KindRef, name: string, why?: string): StatusError {
  const reason = why ?? "the object has been modified; please apply your changes to the latest version and try again";
  const message = `Operation cannot be fulfilled on ${formatResource(kind)} ${JSON.stringify(name)}: ${reason}`;
  return new StatusError("Conflict", message, details(kind, name));
}

export function forbidden(kind: KindRef, name: string, why: string): StatusError {
  const message = `${formatResource(kind)} ${JSON.stringify(name)} is forbidden: ${why}`;
  return new StatusError("Forbidden", message, details(kind, name));
}

/** The object now, or 404. */
export function mustGet(registry: Registry, kind: KindRef, key: ObjectKey): KubeObject {
  const object = registry.cache.get(kind, key);
  if (object === undefined) throw notFound(kind, key.name);
  return object;
}

/** Writes `next` over `current` (undefined: nothing there yet). Undefined when another write came between. */
export async function commit(
  registry: Registry,
  request: ObjectRequest,
  next: KubeObject,
  current: KubeObject | undefined,
): Promise<KubeObject | undefined> {
  if (request.isDryRun) return next;
  const { kind } = request;
  const key = storeKey(kind, keyOf(next));
  const value = encodeObject(next);
  const result = await translate(registry.store.put(key, value, revisionOf(current)));
  if (result.kind === "conflict") {
    await registry.cache.reached(result.current?.modRevision ?? 0);
    return undefined;
  }
  const { revision } = result;
  await registry.cache.reached(revision);
  const cached = registry.cache.get(kind, keyOf(next));
  if (cached?.metadata.resourceVersion === String(revision)) return cached;
  // Someone wrote again before this promise was continued: the answer is still what this write made.
  return decodeObject(kind, { key, value, createRevision: revision, modRevision: revision });
}

/** Removes `current`. The object as it was, at the revision of its removal; undefined when another write came between. */
export async function erase(
  registry: Registry,
  request: ObjectRequest,
  current: KubeObject,
): Promise<KubeObject | undefined> {
  if (request.isDryRun) return current;
  const result = await translate(registry.store.remove(storeKey(request.kind, keyOf(current)), revisionOf(current)));
  if (result.kind === "conflict") {
    await registry.cache.reached(result.current?.modRevision ?? 0);
    return undefined;
  }
  await registry.cache.reached(result.revision);
  return { ...current, metadata: { ...current.metadata, resourceVersion: String(result.revision) } };
}

/**
 * Changes an object by a function of its newest state, again when another write came between. What `change` gives is
 * written; "remove" removes; the object itself, or an equal one, writes nothing. The functions in `settle` run when
 * an attempt is over.
 */
export async function modify(
  registry: Registry,
  request: ObjectRequest,
  change: (current: KubeObject, settle: (action: () => void) => void) => KubeObject | "remove",
): Promise<KubeObject> {
  const { kind, key } = request;
  for (let attempt = 0; attempt < triesMax; attempt++) {
    const current = mustGet(registry, kind, key);
    const actions: (() => void)[] = [];
    try {
      const next = change(current, (action) => void actions.push(action));
      if (next !== "remove" && isEqual(next, current)) return current;
      const isOver = next === "remove" || isReleased(kind, next);
      const written = isOver ? await erase(registry, request, current) : await commit(registry, request, next, current);
      if (written !== undefined) return written;
    } finally {
      for (const action of actions) action();
    }
  }
  throw conflict(kind, key.name, `the object at ${formatKey(key)} kept changing during ${triesMax} attempts`);
}

/** Whether a deletion that was begun has nothing left to wait for: no finalizer, no grace, and for a Namespace no content. */
function isReleased(kind: Kind, object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
  if (deletionTimestamp === undefined || (finalizers ?? []).length > 0) return false;
  if (kind.plural === "namespaces" && kind.group === "") {
    const { spec } = object as KubeObject & { readonly spec?: { readonly finalizers?: readonly string[] } };
    return (spec?.finalizers ?? []).length === 0;
  }
  return (deletionGracePeriodSeconds ?? 0) === 0;
}

function revisionOf(object: KubeObject | undefined): number {
  return object === undefined ? 0 : Number(object.metadata.resourceVersion);
}

function details(kind: KindRef, name: string): { name: string; group: string; kind: string } {
  return { name, group: kind.group, kind: kind.plural };
}

/** A store's failure as the API says it. */
async function translate<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const reason = error.code === "Busy" ? "TooManyRequests" : "ServiceUnavailable";
    throw new StatusError(reason, error.message, { retryAfterSeconds: 1 });
  }
}
