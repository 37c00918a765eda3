/**
 * Garbage collection: what has owners goes when the last of them has gone.
 *
 *   informers of all kinds ─▶ OwnerGraph, queue ─▶ reconcile(item): read the object and its owners ─▶ API server
 *
 * Background: dependents are deleted after their owner. Foreground: the owner waits, held by a finalizer, for the
 * dependents that block it. Orphan: the dependents forget the owner, then it goes.
 * Invariant: an owner counts as gone, and a dependent as seen to, only when the API server says so at this moment: the
 * caches may be behind, and a deletion cannot be taken back.
 * Follows: k8s.io/kubernetes pkg/controller/garbagecollector (attemptToDeleteItem, orphanDependents).
 */
import type { EventRecorder } from "#api/client/events.ts";
import { Informer } from "#api/client/informer.ts";
import { events } from "#api/core/event.ts";
import { foregroundFinalizer, orphanFinalizer, type KubeObject, type OwnerReference, keyOf } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { kindByName, kinds } from "#api/scheme.ts";
import { ignoreNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";
import { formatItem, isForeground, isOrphaning, OwnerGraph, ownerUids, parseItem } from "./garbage-collector-graph.ts";

/** Kinds whose objects may own or be owned. Events are about objects, and expire by themselves. */
const collected: ReadonlyMap<string, Kind> = new Map(
  kinds.filter((kind) => kind !== events).map((kind) => [`${kind.group}/${kind.plural}`, kind]),
);

interface Owners {
  /** They are there and stay. */
  readonly solid: readonly OwnerReference[];
  /** They are gone. */
  readonly dangling: readonly OwnerReference[];
  /** They go when their dependents have gone. */
  readonly waiting: readonly OwnerReference[];
}

export function createGarbageCollector(context: Context): Controller {
  const recorder = context.recorder("garbage-collector-controller");
  const graph = new OwnerGraph();
  const queue = createQueue("garbage-collector", context, (item) => collector.reconcile(item));
  const addAll = (items: Iterable<string>): void => {
    for (const item of items) queue.add(item);
  };
  const collector = new Collector(context, graph, recorder, addAll);

  const own: Informer<KubeObject>[] = [];
  const shared = Object.values(context.informers) as Informer<KubeObject>[];
  for (const kind of collected.values()) {
    let informer = shared.find((candidate) => candidate.kind === kind);
    if (informer === undefined) own.push((informer = new Informer<KubeObject>(kind, context)));
    watchKind(kind, informer, graph, addAll);
  }
  return {
    name: "garbage-collector",
    start: (signal) => {
      for (const informer of own) void informer.run(signal);
      queue.start(signal);
    },
  };
}

/** Keeps the graph current and asks for a look at whoever a change may concern. */
function watchKind(
  kind: Kind,
  informer: Informer<KubeObject>,
  graph: OwnerGraph,
  add: (items: Iterable<string>) => void,
): void {
  const ownersOf = (object: KubeObject): string[] => ownerUids(object).flatMap((uid) => graph.itemOf(uid) ?? []);
  const changed = (object: KubeObject, before?: KubeObject): void => {
    graph.put(kind, object, before);
    const item = formatItem(kind, keyOf(object));
    const begins = (is: (object: KubeObject) => boolean): boolean =>
      is(object) && (before === undefined || !is(before));
    if (begins(isForeground)) add([item, ...graph.dependentsOf(object.metadata.uid)]);
    else if (begins(isOrphaning)) add([item]);
    if (before === undefined ? ownerUids(object).length > 0 : hasOtherOwners(object, before)) add([item]);
    // An owner may be waiting for just this reference to go.
    if (before !== undefined && hasOtherOwners(object, before)) add(ownersOf(before));
  };
  informer.addHandler({
    added: changed,
    updated: changed,
    deleted: (object) => {
      graph.remove(kind, object);
      add(graph.dependentsOf(object.metadata.uid));
      add(ownersOf(object));
    },
  });
}

function hasOtherOwners(object: KubeObject, before: KubeObject): boolean {
  return JSON.stringify(object.metadata.ownerReferences) !== JSON.stringify(before.metadata.ownerReferences);
}

/** The decisions, from live reads. */
class Collector {
  readonly #client: Context["client"];
  readonly #graph: OwnerGraph;
  readonly #recorder: EventRecorder;
  readonly #add: (items: Iterable<string>) => void;

  constructor({ client }: Context, graph: OwnerGraph, recorder: EventRecorder, add: (items: Iterable<string>) => void) {
    this.#client = client;
    this.#graph = graph;
    this.#recorder = recorder;
    this.#add = add;
  }

  async reconcile(item: string): Promise<void> {
    const { resource, key } = parseItem(item);
    const kind = collected.get(resource);
    const object = kind === undefined ? undefined : await this.#get(kind, key);
    if (kind === undefined || object === undefined) return;
    if (object.metadata.deletionTimestamp !== undefined) {
      if (isOrphaning(object)) return this.#orphanDependents(kind, object);
      if (isForeground(object)) return this.#awaitDependents(kind, object);
      return;
    }
    if (ownerUids(object).length > 0) await this.#judge(kind, object);
  }

  async #judge(kind: Kind, object: KubeObject): Promise<void> {
    const { solid, dangling, waiting } = await this.#classify(kind, object);
    if (solid.length > 0) {
      const gone = [...dangling, ...waiting].map(({ uid }) => uid);
      return gone.length === 0 ? undefined : this.#disown(kind, object, gone);
    }
    const dependents = waiting.length === 0 ? [] : await this.#dependentsOf(object);
    // A dependent that itself waits for this object: neither may block the other.
    if (dependents.some(({ object: dependent }) => isForeground(dependent))) await this.#unblock(kind, object);
    const { finalizers = [] } = object.metadata;
    const propagationPolicy = finalizers.includes(orphanFinalizer)
      ? "Orphan"
      : dependents.length > 0 || finalizers.includes(foregroundFinalizer)
        ? "Foreground"
        : "Background";
    const { uid = "", resourceVersion = "" } = object.metadata;
    // It may get another owner in between: then this is a Conflict, and the item is looked at again.
    const preconditions = { uid, resourceVersion };
    await this.#client.delete(kind, keyOf(object), { propagationPolicy, preconditions }).catch(ignoreNotFound);
  }

  async #classify(kind: Kind, object: KubeObject): Promise<Owners> {
    const owners = { solid: [], dangling: [], waiting: [] } as Record<keyof Owners, OwnerReference[]>;
    for (const owner of object.metadata.ownerReferences ?? [])
      owners[await this.#stateOf(kind, object, owner)].push(owner);
    return owners;
  }

  async #stateOf(kind: Kind, object: KubeObject, owner: OwnerReference): Promise<keyof Owners> {
    const ownerKind = kindByName(owner.apiVersion, owner.kind);
    // A kind that is not served here may exist elsewhere: deleting by hearsay would be wrong.
    if (ownerKind === undefined) return "solid";
    if (ownerKind.namespaced && !kind.namespaced) return (this.#reportNamespace(object, owner), "solid");
    const { namespace } = object.metadata;
    const scope = ownerKind.namespaced && namespace !== undefined ? { namespace } : {};
    const found = await this.#get(ownerKind, { ...scope, name: owner.name });
    if (found?.metadata.uid === owner.uid) return isForeground(found) ? "waiting" : "solid";
    const elsewhere = this.#graph.itemOf(owner.uid);
    if (elsewhere !== undefined && parseItem(elsewhere).key.namespace !== scope.namespace)
      this.#reportNamespace(object, owner);
    return "dangling";
  }

  #reportNamespace(object: KubeObject, { apiVersion, kind, name, uid }: OwnerReference): void {
    const { namespace = "" } = object.metadata;
    const owner = `[${apiVersion}/${kind}, namespace: ${namespace}, name: ${name}, uid: ${uid}]`;
    const message = `ownerRef ${owner} does not exist in namespace ${JSON.stringify(namespace)}`;
    this.#recorder.record(object, "Warning", "OwnerRefInvalidNamespace", message);
  }

  /** Foreground: lets `owner` go when nothing blocks it any more, else sees to it that what blocks it goes. */
  async #awaitDependents(kind: Kind, owner: KubeObject): Promise<void> {
    const dependents = await this.#dependentsOf(owner);
    const blocking = dependents.filter(({ object: { metadata } }) =>
      metadata.ownerReferences?.some(({ uid, blockOwnerDeletion }) => uid === owner.metadata.uid && blockOwnerDeletion),
    );
    if (blocking.length === 0) return this.#release(kind, owner, foregroundFinalizer);
    this.#add(
      blocking.filter(({ object }) => !isForeground(object)).map(({ kind, object }) => formatItem(kind, keyOf(object))),
    );
  }

  async #orphanDependents(kind: Kind, owner: KubeObject): Promise<void> {
    for (const dependent of await this.#dependentsOf(owner))
      await this.#disown(dependent.kind, dependent.object, [owner.metadata.uid ?? ""]);
    await this.#release(kind, owner, orphanFinalizer);
  }

  /** All objects that name `owner` as theirs, read now. */
  async #dependentsOf(owner: KubeObject): Promise<{ readonly kind: Kind; readonly object: KubeObject }[]> {
    const { namespace, uid = "" } = owner.metadata;
    const found: { readonly kind: Kind; readonly object: KubeObject }[] = [];
    for (const kind of collected.values()) {
      if (namespace !== undefined && !kind.namespaced) continue;
      const { items } = await this.#client.list(kind, namespace === undefined ? {} : { namespace });
      for (const object of items) if (ownerUids(object).includes(uid)) found.push({ kind, object });
    }
    return found;
  }

  async #disown(kind: Kind, object: KubeObject, uids: readonly string[]): Promise<void> {
    const kept = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.includes(uid));
    await this.#patchMeta(kind, object, { ownerReferences: kept.length === 0 ? null : kept });
  }

  async #unblock(kind: Kind, object: KubeObject): Promise<void> {
    const owners = object.metadata.ownerReferences ?? [];
    if (!owners.some(({ blockOwnerDeletion }) => blockOwnerDeletion === true)) return;
    const ownerReferences = owners.map((owner) => ({ ...owner, blockOwnerDeletion: false }));
    await this.#patchMeta(kind, object, { ownerReferences });
  }

  async #release(kind: Kind, object: KubeObject, finalizer: string): Promise<void> {
    const kept = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
    await this.#patchMeta(kind, object, { finalizers: kept.length === 0 ? null : kept });
  }

  /** Lists are replaced whole, so only in the object that they were read from: another write in between is a Conflict. */
  async #patchMeta(kind: Kind, object: KubeObject, change: Readonly<Record<string, unknown>>): Promise<void> {
    const { uid, resourceVersion } = object.metadata;
    const metadata = { uid, resourceVersion, ...change };
    await this.#client.patch(kind, keyOf(object), { metadata }).catch(ignoreNotFound);
  }

  async #get(kind: Kind, key: { readonly namespace?: string; readonly name: string }): Promise<KubeObject | undefined> {
    return this.#client.get(kind, key).catch(ignoreNotFound);
  }
}
