/**
 * Creates and deletes the pods of a workload, and tells people so.
 *
 *   plan ─▶ create(owner, pods) in batches of 1, 2, 4, … ─▶ API server; events SuccessfulCreate, FailedCreate
 *
 * A template that is refused costs one request, not thousands: the batches grow only while they succeed.
 * Follows: RealPodControl and slowStartBatch in k8s.io/kubernetes pkg/controller.
 */
import type { EventRecorder } from "#api/client/events.ts";
import type { KubeClient } from "#api/client/client.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { type KubeObject, keyOf } from "#api/meta.ts";
import { StatusError, isConflict, isNotFound } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import type { OwnedIndex } from "../owned.ts";

/** Pods that one reconcile creates or deletes at most; the rest follows with the next. */
export const burstMax = 500;

export interface PodControlOptions {
  readonly client: KubeClient;
  readonly index: OwnedIndex<Pod>;
  readonly recorder: EventRecorder;
}

export class PodControl {
  readonly #options: PodControlOptions;

  constructor(options: PodControlOptions) {
    this.#options = options;
  }

  /** Creates `wanted`, at most `burstMax`. The first error, when there was one; what is left is not tried then. */
  async create(owner: KubeObject, wanted: readonly Pod[]): Promise<Error | undefined> {
    return slowStart(wanted.slice(0, burstMax), async (pod) => {
      const { client, index, recorder } = this.#options;
      try {
        const made = await client.create(pods, pod);
        index.wrote(owner, made);
        recorder.record(owner, "Normal", "SuccessfulCreate", `Created pod: ${made.metadata.name}`);
      } catch (error) {
        // The owner goes with its namespace in a moment: nothing to tell, nothing to try again.
        if (isNamespaceTerminating(error)) return;
        recorder.record(owner, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`);
        throw error;
      }
    });
  }

  /** Deletes `unwanted`, at most `burstMax`. The first error, when there was one. */
  async remove(owner: KubeObject, unwanted: readonly Pod[]): Promise<Error | undefined> {
    const { client, index, recorder } = this.#options;
    const results = await Promise.allSettled(
      unwanted.slice(0, burstMax).map(async (pod) => {
        try {
          const preconditions = { uid: pod.metadata.uid ?? "" };
          index.wrote(owner, await client.delete(pods, keyOf(pod), { preconditions }));
          recorder.record(owner, "Normal", "SuccessfulDelete", `Deleted pod: ${pod.metadata.name}`);
        } catch (error) {
          if (isNotFound(error) || isConflict(error)) return;
          recorder.record(owner, "Warning", "FailedDelete", `Error deleting: ${messageOf(error)}`);
          throw error;
        }
      }),
    );
    return firstError(results);
  }
}

/** Runs `act` on batches of 1, 2, 4, … items; stops after a batch with a failure, whose first error it gives. */
export async function slowStart<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<Error | undefined> {
  for (let [at, size] = [0, 1]; at < items.length; at += size / 2) {
    const error = firstError(await Promise.allSettled(items.slice(at, at + size).map(act)));
    if (error !== undefined) return error;
    size *= 2;
  }
  return undefined;
}

function firstError(results: readonly PromiseSettledResult<void>[]): Error | undefined {
  const failed = results.find((result) => result.status === "rejected");
  if (failed === undefined) return undefined;
  return failed.reason instanceof Error ? failed.reason : new Error(messageOf(failed.reason));
}

/** Whether a create was refused because the namespace is being deleted. */
export function isNamespaceTerminating(error: unknown): boolean {
  return error instanceof StatusError && error.code === "Forbidden" && error.message.includes("is being terminated");
}
