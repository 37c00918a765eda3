/**
 * A KubeClient in the process of the API server: the same verbs, no HTTP, no copies.
 *
 *   controllers, scheduler, snapshot ─▶ LocalClient ─▶ verbs ─▶ cache, store
 *
 * Objects handed out are the cache's own, frozen. Unknown fields are refused (fieldValidation Strict): here they are
 * bugs.
 */
import type { KubeClient, ListOptions, WatchEvent } from "#api/client/client.ts";
import { bindings } from "#api/core/binding.ts";
import { type Namespace, namespaces } from "#api/core/namespace.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import type { KindRef } from "#api/kind.ts";
import { type KubeList, type KubeObject, keyOf, type ObjectKey } from "#api/meta.ts";
import type { Kind } from "#api/schema/kind.ts";
import { kindOf } from "#api/scheme.ts";
import { StatusError } from "#api/status.ts";
import type { ObjectRequest, Registry, User } from "./registry.ts";
import { mergePatch } from "./patch/merge-patch.ts";
import type { Patch } from "./patch/patch.ts";
import { bind } from "./verbs/bind.ts";
import { create } from "./verbs/create.ts";
import { remove } from "./verbs/delete.ts";
import { get } from "./verbs/get.ts";
import { list } from "./verbs/list.ts";
import { patch } from "./verbs/patch.ts";
import { update } from "./verbs/update.ts";
import { watch } from "./verbs/watch.ts";

/** What the components inside the process may do beside a KubeClient's verbs. */
export interface LocalClient extends KubeClient {
  /** Puts a pod on a node. Conflict when it is on one. */
  bind(pod: ObjectKey, nodeName: string): Promise<Pod>;
  /** Replaces the finalizers of a Namespace's spec; one that terminates is gone with the last. */
  finalize(namespace: string, finalizers: readonly string[]): Promise<Namespace>;
}

const localUser: User = { name: "system:wherry", groups: ["system:masters"] };

export function createLocalClient(registry: Registry): LocalClient {
  const request = (ref: KindRef, key: ObjectKey): ObjectRequest => ({
    kind: describe(ref),
    key,
    user: localUser,
    isDryRun: false,
    fieldValidation: "Strict",
    // What is not honoured was said to the client that wrote it first.
    warn: () => undefined,
  });
  return {
    get: async <T extends KubeObject>(kind: KindRef<T>, key: ObjectKey) => get(registry, describe(kind), key) as T,
    list: async <T extends KubeObject>(kind: KindRef<T>, options: ListOptions = {}) =>
      (await list(registry, describe(kind), options)) as KubeList<T>,
    watch: <T extends KubeObject>(kind: KindRef<T>, options: ListOptions, signal: AbortSignal) =>
      watchLocally(registry, describe(kind), options, signal) as AsyncIterable<WatchEvent<T>>,
    create: async <T extends KubeObject>(kind: KindRef<T>, object: T) => {
      const key = keyOf(object);
      if (kind.plural === bindings.plural && kind.group === bindings.group) {
        await bind(registry, request(pods, key), object);
        return object;
      }
      const place = describe(kind).namespaced ? { namespace: key.namespace ?? "default", name: "" } : { name: "" };
      return (await create(registry, request(kind, place), object)) as T;
    },
    update: async <T extends KubeObject>(kind: KindRef<T>, object: T) =>
      (await update(registry, request(kind, keyOf(object)), object, "object")) as T,
    updateStatus: async <T extends KubeObject>(kind: KindRef<T>, object: T) =>
      (await update(registry, request(kind, keyOf(object)), object, "status")) as T,
    patch: async <T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, body: unknown) =>
      (await patch(registry, request(kind, key), merging(body), "object")) as T,
    patchStatus: async <T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, body: unknown) =>
      (await patch(registry, request(kind, key), merging(body), "status")) as T,
    delete: async <T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, options = {}) =>
      (await remove(registry, request(kind, key), options)) as T,
    bind: async (key, nodeName) => {
      const binding = { apiVersion: "v1", kind: "Binding", metadata: key, target: { kind: "Node", name: nodeName } };
      return (await bind(registry, request(pods, key), binding)) as Pod;
    },
    finalize: async (name, finalizers) => {
      const object = { apiVersion: "v1", kind: "Namespace", metadata: { name }, spec: { finalizers } };
      return update(registry, request(namespaces, { name }), object, "finalize");
    },
  };
}

function merging(body: unknown): Patch {
  return (current) => mergePatch(current, body);
}

function describe(ref: KindRef): Kind {
  const kind = kindOf(ref);
  if (kind === undefined)
    throw new StatusError(
      "NotFound",
      `the server could not find the requested resource: ${ref.plural} of ${ref.group}/${ref.version}`,
    );
  return kind;
}

async function* watchLocally(
  registry: Registry,
  kind: Kind,
  options: ListOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  if (signal.aborted) return;
  const watcher = watch(registry, kind, { ...options, allowWatchBookmarks: true });
  const stop = (): void => watcher.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for (let events = await watcher.next(); events !== undefined; events = await watcher.next()) yield* events;
  } finally {
    signal.removeEventListener("abort", stop);
    watcher.close();
  }
}
