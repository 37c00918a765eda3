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
import { formatKey, keyOf } from "#api/meta.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import type { OwnedIndex } from "../owned.ts";
import { statusPatch } from "../workload/condition.ts";
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
    await this.#options.client.patchStatus(daemonSets, keyOf(daemonSet), patch).catch(unlessGone);
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
      if (!isAlreadyExists(error)) throw error;
      // Somebody else's revision has the name: the next hash differs.
      const collisionCount = (daemonSet.status?.collisionCount ?? 0) + 1;
      await this.#options.client
        .patchStatus(daemonSets, keyOf(daemonSet), { status: { collisionCount } })
        .catch(unlessGone);
      this.#options.again(daemonSet);
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
}

/** A DaemonSet that went in the meantime needs no status. */
function unlessGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
