/**
 * The Kubernetes API as its clients see it, over any transport.
 *
 *   kubelet, cli ─▶ client/http.ts ─▶ API server        controllers, scheduler, snapshot ─▶ control/apiserver (in process)
 *
 * Invariant: every failure that the API server answered is a StatusError; anything else is a transport error and may
 * be retried.
 */
import type { KindRef } from "../kind.ts";
import type { KubeList, KubeObject, ObjectKey } from "../meta.ts";
import type { Status } from "../status.ts";

export interface ListOptions {
  readonly namespace?: string;
  /** `app=reviews,version!=v1`, as in the labelSelector query parameter. */
  readonly labelSelector?: string;
  /** `spec.nodeName=node1`, as in the fieldSelector query parameter. */
  readonly fieldSelector?: string;
  /** "0": any state; N: at least that new. Default: the newest state. */
  readonly resourceVersion?: string;
}

export type WatchEvent<T extends KubeObject = KubeObject> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  /** Nothing changed up to this revision; only metadata.resourceVersion is set. */
  | { readonly type: "BOOKMARK"; readonly object: KubeObject }
  | { readonly type: "ERROR"; readonly object: Status };

export interface DeleteOptions {
  /** Default: the kind's own (30 for pods, 0 for the rest). */
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}

/** RFC 7386 merge patch: null deletes a field. */
export type MergePatch = Readonly<Record<string, unknown>>;

export interface KubeClient {
  get<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey): Promise<T>;
  list<T extends KubeObject>(kind: KindRef<T>, options?: ListOptions): Promise<KubeList<T>>;
  /**
   * Changes after `options.resourceVersion`, in revision order. Ends when the server ends it or `signal` aborts;
   * throws StatusError Expired when that revision was compacted away.
   */
  watch<T extends KubeObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T>;
  /** Replaces all but the status. Conflict when `metadata.resourceVersion` is set and stale. */
  update<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T>;
  /** Replaces the status alone. */
  updateStatus<T extends KubeObject>(kind: KindRef<T>, object: T): Promise<T>;
  patch<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T>;
  patchStatus<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, patch: MergePatch): Promise<T>;
  /** Starts or completes a deletion. The object as it stands afterwards. */
  delete<T extends KubeObject>(kind: KindRef<T>, key: ObjectKey, options?: DeleteOptions): Promise<T>;
}
