/**
 * The finalizer of a Job's pods: taken off once a pod is counted, or when its Job is gone and nobody will count it.
 *
 *   controller.ts ─ untrack(pod) ─▶ API server        pods without Job ─▶ queue ─▶ asked at the API server ─▶ untrack
 */
import { jobs } from "#api/batch/job.ts";
import type { Workqueue } from "#api/client/workqueue.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { type KubeObject, controllerOf, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, createQueue } from "../context.ts";
import type { OwnedIndex } from "../owned.ts";
import { isTracked, trackingFinalizer } from "./job-pod.ts";

export class Tracking {
  readonly #context: Context;
  readonly #index: OwnedIndex<Pod>;
  readonly #queue: Workqueue;

  constructor(context: Context, index: OwnedIndex<Pod>) {
    this.#context = context;
    this.#index = index;
    this.#queue = createQueue("job-orphan", context, (key) => this.#release(key));
    // A pod may show up after its Job has gone.
    const check = (pod: Pod): void => this.#check(pod);
    context.informers.pods.addHandler({ added: check, updated: check });
  }

  start(signal: AbortSignal): void {
    this.#queue.start(signal);
  }

  /** The pod's Job is gone, or gave it up. */
  abandon(pod: Pod): void {
    if (isTracked(pod)) this.#queue.add(formatKey(keyOf(pod)));
  }

  /** Takes the finalizer off; the pod may be gone with it. */
  async untrack(pod: Pod, job: KubeObject | undefined): Promise<void> {
    const { client } = this.#context;
    if (!isTracked(pod)) return;
    const { uid, resourceVersion, finalizers = [] } = pod.metadata;
    const others = finalizers.filter((name) => name !== trackingFinalizer);
    const metadata = { uid, resourceVersion, finalizers: others.length === 0 ? null : others };
    try {
      const answer = await client.patch(pods, keyOf(pod), { metadata });
      if (job !== undefined) this.#index.wrote(job, answer);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
  }

  /** A pod whose Job is gone must not wait to be counted. */
  async #release(key: string): Promise<void> {
    const { client, informers } = this.#context;
    const pod = informers.pods.get(parseKey(key));
    if (pod === undefined || !isTracked(pod)) return;
    const owner = controllerOf(pod);
    if (owner?.kind === jobs.kind) {
      const job = await client.get(jobs, { ...keyOf(pod), name: owner.name }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
        return undefined;
      });
      if (job?.metadata.uid === owner.uid) return;
    } else if (owner !== undefined) return;
    await this.untrack(pod, undefined);
  }

  #check(pod: Pod): void {
    const owner = controllerOf(pod);
    if (owner?.kind !== jobs.kind || !isTracked(pod)) return;
    const job = this.#context.informers.jobs.get({ ...keyOf(pod), name: owner.name });
    if (job?.metadata.uid !== owner.uid) this.abandon(pod);
  }
}
