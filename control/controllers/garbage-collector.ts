/**
 * Garbage collection in the background: what a controller made goes when its owner has gone.
 *
 * An owner counts as gone only when the API server says so at this moment: the caches may be behind, and a deletion
 * cannot be taken back. Foreground and orphan deletion come later.
 */
import type { Informer } from "#api/client/informer.ts";
import { type KubeObject, type OwnerReference, controllerOf, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { kindByName } from "#api/scheme.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { type Context, type Controller, type Informers, createQueue } from "./context.ts";

/** The kinds whose objects have owners here. */
const collected = ["pods", "replicaSets", "deployments", "services", "endpointSlices"] as const;
type Collected = (typeof collected)[number];

const informerOf = (informers: Informers, name: Collected): Informer<KubeObject> => informers[name];

export function createGarbageCollector(context: Context): Controller {
  const { client, informers } = context;
  /** Dependents by the uid of their owner, as `informer key`. */
  const dependents = new Map<string, Set<string>>();

  const queue = createQueue("garbage-collector", context, async (item) => {
    const blank = item.indexOf(" ");
    const informer = informerOf(informers, item.slice(0, blank) as Collected);
    const object = informer.get(parseKey(item.slice(blank + 1)));
    const owner = object === undefined ? undefined : controllerOf(object);
    if (object === undefined || owner === undefined || object.metadata.deletionTimestamp !== undefined) return;
    if (await exists(owner, object.metadata.namespace)) return;
    const preconditions = { uid: object.metadata.uid ?? "" };
    await client.delete(informer.kind, keyOf(object), { preconditions }).catch((error: unknown) => {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    });
  });

  async function exists(owner: OwnerReference, namespace: string | undefined): Promise<boolean> {
    const kind = kindByName(owner.apiVersion, owner.kind);
    // A kind that we do not serve may exist elsewhere: deleting by hearsay would be wrong.
    if (kind === undefined) return true;
    const scope = kind.namespaced && namespace !== undefined ? { namespace } : {};
    try {
      const found = await client.get(kind, { ...scope, name: owner.name });
      return found.metadata.uid === owner.uid;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  for (const name of collected) {
    const item = (object: KubeObject): string => `${name} ${formatKey(keyOf(object))}`;
    const put = (object: KubeObject): void => {
      const owner = controllerOf(object);
      if (owner === undefined) return;
      const set = dependents.get(owner.uid) ?? new Set();
      set.add(item(object));
      dependents.set(owner.uid, set);
    };
    informerOf(informers, name).addHandler({
      // Its owner may have gone while nobody watched.
      added: (object) => (put(object), controllerOf(object) === undefined ? undefined : queue.add(item(object))),
      updated: put,
      deleted: (object) => {
        const owner = controllerOf(object);
        dependents.get(owner?.uid ?? "")?.delete(item(object));
        if (dependents.get(owner?.uid ?? "")?.size === 0) dependents.delete(owner?.uid ?? "");
        for (const dependent of dependents.get(object.metadata.uid ?? "") ?? []) queue.add(dependent);
      },
    });
  }
  informers.gateways.addHandler({
    deleted: ({ metadata }) => {
      for (const dependent of dependents.get(metadata.uid ?? "") ?? []) queue.add(dependent);
    },
  });
  return { name: "garbage-collector", start: (signal) => queue.start(signal) };
}
