/**
 * An API server in memory behind KubeClient, for tests of informers, controllers and the kubelet.
 *
 * Kept of the real one: one revision for all kinds, uid, generation, Conflict on a stale resourceVersion or uid, status
 * apart from the rest, watches in revision order from any revision, Expired after `compact`, graceful deletion of pods,
 * finalizers. Left out: validation, defaults, admission. Label and field selectors are those of api/selector.ts.
 */
import { type KindRef, apiVersionOf } from "../kind.ts";
import { type KubeList, type KubeObject, type ObjectKey, formatKey, formatTime, keyOf } from "../meta.ts";
import { matchesLabels, parseFieldSelector, parseLabelSelector } from "../selector.ts";
import { StatusError } from "../status.ts";
import type { DeleteOptions, KubeClient, ListOptions, MergePatch, WatchEvent } from "./client.ts";

interface Change {
  readonly revision: number;
  readonly plural: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
}

type Selects = (object: KubeObject) => boolean;

export class FakeKubeClient implements KubeClient {
  /** `create pods shop/web`, … in order: what was asked for. */
  readonly trace: string[] = [];
  readonly #nowMs: () => number;
  readonly #objects = new Map<string, KubeObject>();
  readonly #changes: Change[] = [];
  readonly #wake = new Set<() => void>();
  #revision = 0;
  #compacted = 0;
  #failures: Error[] = [];
  #cuts = 0;

  constructor(nowMs: () => number = () => 0) {
    this.#nowMs = nowMs;
  }

  /** The next requests fail with these. */
  failNext(...errors: readonly Error[]): void {
    this.#failures.push(...errors);
  }

  /** Forgets what changed so far: watches from before are Expired. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#changes.length = 0;
  }

  /** Ends every open watch cleanly, as a server does that is restarted. */
  endWatches(): void {
    this.#cuts += 1;
    for (const wake of this.#wake) wake();
  }

  async get<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey): Promise<T> {
    this.#begin("get", kind, key);
    return this.#find(kind, key);
  }

  async list<T extends KubeObject>(kind: KindRef<T>, options: ListOptions = {}): Promise<KubeList<T>> {
    this.#begin("list", kind, { name: "" });
    const selects = selector(options);
    const items = [...this.#objects].flatMap(([key, object]) =>
      key.startsWith(`${kind.plural} `) && selects(object) ? [object as T] : [],
    );
    const metadata = { resourceVersion: String(this.#revision) };
    return { apiVersion: apiVersionOf(kind), kind: `${kind.kind}List`, metadata, items };
  }

  async *watch<T extends KubeObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    this.#begin("watch", kind, { name: "" });
    let seen = Number(options.resourceVersion ?? this.#revision);
    const cuts = this.#cuts;
    const selects = selector(options);
    while (!signal.aborted && cuts === this.#cuts) {
      if (seen < this.#compacted) throw new StatusError("Expired", `too old resource version: ${seen}`);
      const next = this.#changes.find(({ revision }) => revision > seen);
      if (next === undefined) {
        await this.#changed(signal);
        continue;
      }
      seen = next.revision;
      if (next.plural === kind.plural && selects(next.object)) yield { type: next.type, object: next.object as T };
    }
  }

  async create<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    const { generateName, name } = object.metadata;
    const named = name === "" || name === undefined ? `${generateName ?? ""}${this.#revision + 1}` : name;
    const metadata = { ...object.metadata, name: named };
    this.#begin("create", kind, keyOf({ ...object, metadata }));
    if (this.#objects.has(entry(kind, keyOf({ ...object, metadata }))))
      throw new StatusError("AlreadyExists", `${kind.plural} "${named}" already exists`);
    const uid = `uid-${this.#revision + 1}`;
    const created = { ...metadata, uid, generation: 1, creationTimestamp: formatTime(this.#nowMs()) };
    return this.#put(kind, "ADDED", { ...object, metadata: created });
  }

  update<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    return this.#change("update", { kind, key: keyOf(object) }, (before) => {
      return { ...object, ...statusOf(before), metadata: object.metadata };
    });
  }

  updateStatus<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T> {
    return this.#change("updateStatus", { kind, key: keyOf(object) }, (before) => {
      const { resourceVersion, uid } = object.metadata;
      return { ...before, ...statusOf(object), metadata: { ...before.metadata, ...defined({ resourceVersion, uid }) } };
    });
  }

  patch<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T> {
    return this.#change("patch", { kind, key }, (before) => {
      return { ...(applyMergePatch(before, patch) as T), ...statusOf(before) };
    });
  }

  patchStatus<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T> {
    return this.#change("patchStatus", { kind, key }, (before) => {
      const merged = applyMergePatch(before, patch) as T;
      const { resourceVersion, uid } = merged.metadata;
      return { ...before, ...statusOf(merged), metadata: { ...before.metadata, ...defined({ resourceVersion, uid }) } };
    });
  }

  async delete<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, options: DeleteOptions = {}): Promise<T> {
    this.#begin("delete", kind, key);
    const before = this.#find(kind, key);
    const { preconditions = {} } = options;
    check(before, preconditions);
    const grace = options.gracePeriodSeconds ?? (kind.plural === "pods" ? 30 : 0);
    const held = (before.metadata.finalizers ?? []).length > 0;
    if (grace === 0 && !held) return this.#put(kind, "DELETED", before);
    const deletionTimestamp = before.metadata.deletionTimestamp ?? formatTime(this.#nowMs() + grace * 1000);
    const metadata = { ...before.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
    return this.#put(kind, "MODIFIED", { ...before, metadata });
  }

  #begin(verb: string, kind: KindRef, key: ObjectKey): void {
    this.trace.push(`${verb} ${kind.plural} ${formatKey(key)}`.trim());
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure;
  }

  #find<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey): T {
    const found = this.#objects.get(entry(kind, key));
    if (found === undefined) throw new StatusError("NotFound", `${kind.plural} "${key.name}" not found`);
    return found as T;
  }

  async #change<T extends KubeObject>(
    verb: string,
    { kind, key }: { kind: KindRef<T>; key: ObjectKey },
    next: (before: T) => T,
  ): Promise<T> {
    this.#begin(verb, kind, key);
    const before = this.#find(kind, key);
    const after = next(before);
    check(before, after.metadata);
    const specOf = (object: T): string => JSON.stringify((object as { readonly spec?: unknown }).spec ?? null);
    const { uid, generation = 1, creationTimestamp, deletionTimestamp } = before.metadata;
    const kept = defined({ uid, creationTimestamp, deletionTimestamp });
    const metadata = {
      ...after.metadata,
      ...kept,
      generation: specOf(before) === specOf(after) ? generation : generation + 1,
    };
    const isReleased = deletionTimestamp !== undefined && (after.metadata.finalizers ?? []).length === 0;
    const wasHeld = (before.metadata.finalizers ?? []).length > 0;
    return this.#put(kind, isReleased && wasHeld ? "DELETED" : "MODIFIED", { ...after, metadata });
  }

  #put<T extends KubeObject>(kind: KindRef<T>, type: Change["type"], object: T): T {
    this.#revision += 1;
    const revision = this.#revision;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } };
    if (type === "DELETED") this.#objects.delete(entry(kind, keyOf(stored)));
    else this.#objects.set(entry(kind, keyOf(stored)), stored);
    this.#changes.push({ revision, plural: kind.plural, type, object: stored });
    for (const wake of this.#wake) wake();
    return stored;
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wake.delete(wake);
        signal.removeEventListener("abort", wake);
        resolve();
      };
      this.#wake.add(wake);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

const entry = (kind: KindRef, key: ObjectKey): string => `${kind.plural} ${formatKey(key)}`;

function statusOf(object: KubeObject): { status?: unknown } {
  return "status" in object ? { status: object.status } : {};
}

function defined<T extends object>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}

function check(before: KubeObject, wanted: { readonly uid?: string; readonly resourceVersion?: string }): void {
  for (const field of ["uid", "resourceVersion"] as const) {
    if (wanted[field] === undefined || wanted[field] === before.metadata[field]) continue;
    throw new StatusError("Conflict", `${field} ${before.metadata[field]}, wanted ${wanted[field]}`);
  }
}

function selector({ namespace, labelSelector, fieldSelector }: ListOptions): Selects {
  const labels = parseLabelSelector(labelSelector ?? "");
  const fields = parseFieldSelector(fieldSelector ?? "");
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    matchesLabels(labels, object.metadata.labels) &&
    fields.every(({ field, equal, value }) => (fieldAt(object, field) === value) === equal);
}

function fieldAt(object: KubeObject, path: string): string {
  const value = path
    .split(".")
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], object);
  return typeof value === "string" ? value : "";
}

/** RFC 7386: null deletes a field, objects merge, everything else replaces. */
function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const merged = { ...(isRecord(target) ? target : {}) };
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete merged[field];
    else merged[field] = applyMergePatch(merged[field], value);
  }
  return merged;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
