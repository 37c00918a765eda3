/**
 * Namespaces: each has a ServiceAccount `default`; one that is being deleted is emptied, pods first, and then let go.
 */
import { namespaceFinalizer, type Namespace, namespaces } from "#api/core/namespace.ts";
import { pods } from "#api/core/pod.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { keyOf, parseKey } from "#api/meta.ts";
import { kinds } from "#api/scheme.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

/** How long to wait before counting what is left again, in ms. */
const emptyMs = 100;

export interface NamespaceOptions {
  /** Replaces `spec.finalizers` through the finalize subresource. */
  readonly finalize: (namespace: string, finalizers: readonly string[]) => Promise<unknown>;
}

export function createNamespaceController(context: Context, { finalize }: NamespaceOptions): Controller {
  const { client, informers } = context;
  const queue = createQueue("namespace", context, async (key) => {
    const namespace = informers.namespaces.get(parseKey(key));
    if (namespace === undefined) return;
    if (namespace.metadata.deletionTimestamp === undefined) return ensureServiceAccount(key);
    if ((await empty(key)) > 0) return queue.addAfter(key, emptyMs);
    const rest = (namespace.spec?.finalizers ?? []).filter((finalizer) => finalizer !== namespaceFinalizer);
    await finalize(key, rest).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  });

  async function ensureServiceAccount(namespace: string): Promise<void> {
    if (informers.serviceAccounts.get({ namespace, name: "default" }) !== undefined) return;
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
    await client.create(serviceAccounts, account).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }

  /** Deletes what is left; pods must be gone before anything that they may use. How much was left. */
  async function empty(namespace: string): Promise<number> {
    const [left, ...more] = [pods, ...kinds.filter((kind) => kind.namespaced && kind.plural !== pods.plural)];
    for (const kind of [left, ...more]) {
      if (kind === undefined || kind === namespaces) continue;
      const { items } = await client.list(kind, { namespace });
      for (const object of items) {
        if (object.metadata.deletionTimestamp !== undefined) continue;
        await client.delete(kind, keyOf(object)).catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
      }
      if (items.length > 0) return items.length;
    }
    return 0;
  }

  const add = ({ metadata }: Namespace): void => queue.add(metadata.name);
  informers.namespaces.addHandler({ added: add, updated: add });
  informers.serviceAccounts.addHandler({ deleted: ({ metadata }) => queue.add(metadata.namespace ?? "") });
  return { name: "namespace", start: (signal) => queue.start(signal) };
}
