/**
 * Namespaces that are being deleted: emptied, pods first, and then let go. What is still there is told in conditions.
 *
 *   Namespace with deletionTimestamp ─▶ delete pods ─▶ delete the rest ─▶ conditions ─▶ finalize
 *
 * Pods must be gone before anything that they may use (KEP-5080).
 * Follows: k8s.io/kubernetes pkg/controller/namespace/deletion (conditions, reasons and messages).
 */
import { namespaceFinalizer, type Namespace, namespaces } from "#api/core/namespace.ts";
import { events } from "#api/core/event.ts";
import { pods } from "#api/core/pod.ts";
import { type Condition, formatTime, type KubeObject, keyOf, parseKey } from "#api/meta.ts";
import { formatResource } from "#api/schema/field-error.ts";
import type { Kind } from "#api/schema/kind.ts";
import { kinds } from "#api/scheme.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

/** How long to wait before counting what is left again: doubles while nothing changes, in ms. */
const emptyMs = { least: 100, most: 5000 };

/** Deleted after the pods, in the scheme's order; events last, so that what happens meanwhile is still told. */
const rest: readonly Kind[] = [
  ...kinds.filter((kind) => kind.namespaced && kind.plural !== pods.plural && kind !== events),
  events,
];

export interface NamespaceOptions {
  /** Replaces `spec.finalizers` through the finalize subresource. */
  readonly finalize: (namespace: string, finalizers: readonly string[]) => Promise<unknown>;
}

/** What is left of a kind. */
export interface Remaining {
  readonly resource: string;
  readonly count: number;
  /** By finalizer, how many objects it holds. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export function createNamespaceController(context: Context, { finalize }: NamespaceOptions): Controller {
  const { client, clock, informers } = context;
  /** By namespace: the last wait, in ms. */
  const waits = new Map<string, number>();
  const queue = createQueue("namespace", context, async (key) => {
    const namespace = informers.namespaces.get(parseKey(key));
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    const finalizers = namespace.spec?.finalizers ?? [];
    // Its metadata's finalizers are others' to take away.
    if (!finalizers.includes(namespaceFinalizer)) return;
    const left = await empty(key);
    await tell(namespace, left);
    if (left.length > 0) {
      const waitMs = Math.min((waits.get(key) ?? emptyMs.least / 2) * 2, emptyMs.most);
      waits.set(key, waitMs);
      return queue.addAfter(key, waitMs);
    }
    waits.delete(key);
    const kept = finalizers.filter((finalizer) => finalizer !== namespaceFinalizer);
    await finalize(key, kept).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  });

  /** Deletes what is there. What is left. */
  async function empty(namespace: string): Promise<readonly Remaining[]> {
    const running = await emptyKind(pods, namespace);
    if (running !== undefined) return [running];
    const left: Remaining[] = [];
    for (const kind of rest) {
      const remaining = await emptyKind(kind, namespace);
      if (remaining !== undefined) left.push(remaining);
    }
    return left;
  }

  async function emptyKind(kind: Kind, namespace: string): Promise<Remaining | undefined> {
    for (const object of (await client.list(kind, { namespace })).items) {
      if (object.metadata.deletionTimestamp !== undefined) continue;
      await client.delete(kind, keyOf(object), { propagationPolicy: "Background" }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
    const { items } = await client.list(kind, { namespace });
    return items.length === 0 ? undefined : remainingOf(kind, items);
  }

  async function tell(namespace: Namespace, left: readonly Remaining[]): Promise<void> {
    const before = conditionsOf(namespace);
    const conditions = deletionConditions(before, left, formatTime(clock.nowMs()));
    if (conditions === before) return;
    await client.patchStatus(namespaces, keyOf(namespace), { status: { conditions } }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  const add = ({ metadata }: Namespace): void => queue.add(metadata.name);
  informers.namespaces.addHandler({ added: add, updated: add, deleted: ({ metadata }) => waits.delete(metadata.name) });
  // Most of the wait is for pods: the next step need not wait for the clock.
  informers.pods.addHandler({
    deleted: ({ metadata }) => {
      const { namespace = "" } = metadata;
      if (waits.delete(namespace)) queue.add(namespace);
    },
  });
  return { name: "namespace", start: (signal) => queue.start(signal) };
}

function conditionsOf(namespace: Namespace): readonly Condition[] {
  const { status } = namespace as KubeObject & { readonly status?: { readonly conditions?: readonly Condition[] } };
  return status?.conditions ?? [];
}

function remainingOf(kind: Kind, objects: readonly KubeObject[]): Remaining {
  const finalizers = new Map<string, number>();
  for (const { metadata } of objects)
    for (const finalizer of metadata.finalizers ?? []) finalizers.set(finalizer, (finalizers.get(finalizer) ?? 0) + 1);
  return { resource: `${formatResource(kind)}${kind.group === "" ? "." : ""}`, count: objects.length, finalizers };
}

/** The conditions that say what is left; `before` itself when they already do. Pure. */
export function deletionConditions(
  before: readonly Condition[],
  left: readonly Remaining[],
  now: string,
): readonly Condition[] {
  const contents = left.map(({ resource, count }) => `${resource} has ${count} resource instances`).sort();
  const holders = new Map<string, number>();
  for (const { finalizers } of left)
    for (const [name, count] of finalizers) holders.set(name, (holders.get(name) ?? 0) + count);
  const held = [...holders].map(([name, count]) => `${name} in ${count} resource instances`).sort();
  const wanted: readonly Condition[] = [
    ok("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ok(
      "NamespaceDeletionGroupVersionParsingFailure",
      "ParsedGroupVersions",
      "All legacy kube types successfully parsed",
    ),
    ok(
      "NamespaceDeletionContentFailure",
      "ContentDeleted",
      "All content successfully deleted, may be waiting on finalization",
    ),
    contents.length === 0
      ? ok("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
      : problem(
          "NamespaceContentRemaining",
          "SomeResourcesRemain",
          `Some resources are remaining: ${contents.join(", ")}`,
        ),
    held.length === 0
      ? ok("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished")
      : problem(
          "NamespaceFinalizersRemaining",
          "SomeFinalizersRemain",
          `Some content in the namespace has finalizers remaining: ${held.join(", ")}`,
        ),
  ];
  const next = wanted.map((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    if (old?.status !== condition.status) return { ...condition, lastTransitionTime: now };
    const isSame = old.reason === condition.reason && old.message === condition.message;
    return isSame ? old : { ...old, reason: condition.reason ?? "", message: condition.message ?? "" };
  });
  const others = before.filter(({ type }) => !wanted.some((condition) => condition.type === type));
  return next.every((condition) => before.includes(condition)) ? before : [...others, ...next];
}

function ok(type: string, reason: string, message: string): Condition {
  return { type, status: "False", reason, message };
}

function problem(type: string, reason: string, message: string): Condition {
  return { type, status: "True", reason, message };
}
