/**
 * The writes of the DaemonSet controller beside its pods: history, status, and what it tells of pods that ended.
 *
 *   controller.ts ─▶ writeHistory(), writeStatus(), reportEnded() ─▶ API server, events
 */
import { type ControllerRevision, controllerRevisions } from "#api/apps/controller-revision.ts";
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import type { KubeClient } from "#api/client/client.ts";
import type { EventRecorder } from "#api/client/events.ts";
import type { Pod } from "#api/core/pod.ts";
import { controllerOf, formatKey, keyOf } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists, ignoreNotFound } from "#api/status.ts";
import type { OwnedIndex } from "../owned.ts";
import { statusPatch } from "../workload/condition.ts";
import { isNamespaceTerminating } from "../workload/pod-control.ts";
import type { FailureBackoff } from "./failure-backoff.ts";
import type { HistoryPlan } from "./history.ts";

export interface DaemonSetWriterOptions {
  readonly client: KubeClient;
  readonly history: OwnedIndex<ControllerRevision>;
  readonly recorder: EventRecorder;
  readonly failures: FailureBackoff;
  /** Reconciles the DaemonSet once more in a moment. */
  readonly again: (daemonSet: DaemonSet) => void;
}

export class DaemonSetWriter {
  readonly #options: DaemonSetWriterOptions;

  constructor(options: DaemonSetWriterOptions) {
    this.#options = options;
  }

  async writeStatus(daemonSet: DaemonSet, status: object): Promise<void> {
    const patch = statusPatch(daemonSet, status);
    if (patch === undefined) return;
    await this.#options.client.patchStatus(daemonSets, keyOf(daemonSet), patch).catch(ignoreNotFound);
  }

  /** Tells of a pod that ended and is about to be replaced. */
  reportEnded(daemonSet: DaemonSet, { metadata, spec, status }: Pod): void {
    const { namespace = "default", name } = metadata;
    const place = `daemon pod ${namespace}/${name} on node ${spec.nodeName ?? ""}`;
    if (status?.phase === "Failed") {
      this.#options.failures.failed(`${formatKey(keyOf(daemonSet))} ${spec.nodeName ?? ""}`);
      this.#options.recorder.record(
        daemonSet,
        "Warning",
        "FailedDaemonPod",
        `Found failed ${place}, will try to kill it`,
      );
    } else
      this.#options.recorder.record(
        daemonSet,
        "Normal",
        "SucceededDaemonPod",
        `Found succeeded ${place}, will try to delete it`,
      );
  }

  /** Whether the history is as it should be, so that pods may carry its hash. */
  async writeHistory(daemonSet: DaemonSet, { create, renumber, remove }: HistoryPlan): Promise<boolean> {
    try {
      if (create !== undefined)
        this.#options.history.wrote(daemonSet, await this.#options.client.create(controllerRevisions, create));
    } catch (error) {
      if (isNamespaceTerminating(error)) return false;
      if (!isAlreadyExists(error) || create === undefined) throw error;
      await this.#resolveClash(daemonSet, create);
      return false;
    }
    if (renumber !== undefined) {
      const patch = { revision: renumber.revision };
      this.#options.history.wrote(
        daemonSet,
        await this.#options.client.patch(controllerRevisions, keyOf(renumber), patch),
      );
    }
    for (const revision of remove)
      this.#options.history.wrote(daemonSet, await this.#options.client.delete(controllerRevisions, keyOf(revision)));
    return true;
  }

  /** The name is taken: by our own revision, which the cache lacks, or by another, so that the next hash must differ. */
  async #resolveClash(daemonSet: DaemonSet, wanted: ControllerRevision): Promise<void> {
    const { client, history, again } = this.#options;
    const found = await client.get(controllerRevisions, keyOf(wanted)).catch(ignoreNotFound);
    if (found !== undefined && isSame(found, wanted)) history.wrote(daemonSet, found);
    else if (found !== undefined) {
      const collisionCount = (daemonSet.status?.collisionCount ?? 0) + 1;
      await client.patchStatus(daemonSets, keyOf(daemonSet), { status: { collisionCount } }).catch(ignoreNotFound);
    }
    again(daemonSet);
  }
}

/** Whether `found` is the revision that we were about to write: an earlier write was done, and its answer lost. */
function isSame(found: ControllerRevision, wanted: ControllerRevision): boolean {
  return controllerOf(found)?.uid === controllerOf(wanted)?.uid && isEqual(found.data, wanted.data);
}
