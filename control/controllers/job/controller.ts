/**
 * The Job controller: claim pods, plan, count, perform, and remove Jobs that have been finished for long enough.
 *
 *   Jobs, pods ─▶ queue ─▶ claim ─▶ planJob (pure) ─▶ status ─▶ finalizers off ─▶ create, delete
 *
 * Order matters: the status that holds a pod's uid is written before its finalizer goes. The status is written against
 * the revision that it was computed from, so that nothing is counted twice.
 */
import { type Job, jobs } from "#api/batch/job.ts";
import type { KubeClient } from "#api/client/client.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { formatKey, keyOf, parseKey } from "#api/meta.ts";
import { matchesSelector } from "#api/selector.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { OwnedIndex, WriteFence, lagMs } from "../owned.ts";
import { claim } from "../workload/claim.ts";
import { statusPatch } from "../workload/condition.ts";
import { PodControl, burstMax } from "../workload/pod-control.ts";
import { jobPod, trackingFinalizer } from "./job-pod.ts";
import { expiresInMs, isFinished } from "./outcome.ts";
import { type JobPlan, planJob } from "./plan.ts";
import { Tracking } from "./tracking.ts";

export function createJobController(context: Context): Controller {
  const { client, informers, clock } = context;
  const recorder = context.recorder("job-controller");
  const queue = createQueue("job", context, reconcile);
  const fence = new WriteFence(informers.jobs);
  const add = (job: Job): void => queue.add(formatKey(keyOf(job)));
  const index = new OwnedIndex<Pod>({
    informer: informers.pods,
    ownerKind: jobs.kind,
    changed: (key) => queue.add(key),
    orphaned: (pod) => {
      const adopters = informers.jobs.list().filter((job) => selects(job, pod));
      for (const job of adopters) add(job);
      if (adopters.length === 0) tracking.abandon(pod);
    },
  });
  const control = new PodControl({ client, index, recorder });
  const tracking = new Tracking(context, index);

  async function reconcile(key: string): Promise<void> {
    const job = informers.jobs.get(parseKey(key));
    if (job === undefined) return;
    if (!index.isCurrent(job) || !fence.isCurrent(job)) return queue.addAfter(key, lagMs);
    if (isFinished(job)) {
      const expiryMs = expiresInMs(job, clock.nowMs());
      if (expiryMs === 0) return remove(client, job);
      return expiryMs === undefined ? undefined : queue.addAfter(key, expiryMs);
    }
    const claimant = { client, index, kind: pods, ownerKind: jobs, finalizer: trackingFinalizer };
    const owned = await claim(claimant, job, job.spec.selector ?? {});
    if (owned === undefined) return queue.addAfter(key, lagMs);
    const plan = planJob(job, owned, clock.nowMs());
    if (plan.recheckInMs !== undefined) queue.addAfter(key, plan.recheckInMs);
    await perform(job, plan);
  }

  async function perform(job: Job, plan: JobPlan): Promise<void> {
    const patch = statusPatch(job, plan.status);
    if (patch !== undefined) {
      const { uid, resourceVersion } = job.metadata;
      fence.wrote(job, await client.patchStatus(jobs, keyOf(job), { ...patch, metadata: { uid, resourceVersion } }));
      for (const [type, reason, message] of plan.events) recorder.record(job, type, reason, message);
    }
    const forgiven = plan.isForgiven ? plan.remove : [];
    for (const pod of [...plan.untrack, ...forgiven]) await tracking.untrack(pod, job);
    const made = plan.create.slice(0, burstMax).map((at) => jobPod(job, at));
    const error = (await control.remove(job, plan.remove)) ?? (await control.create(job, made));
    // The queue's back-off decides when the next try is due.
    if (error !== undefined) throw error;
    if (plan.create.length > burstMax || plan.remove.length > burstMax) add(job);
  }

  informers.jobs.addHandler({
    added: add,
    updated: add,
    deleted: (job) => {
      for (const pod of index.of(job)) tracking.abandon(pod);
    },
  });
  return {
    name: "job",
    start: (signal) => {
      queue.start(signal);
      tracking.start(signal);
    },
  };
}

function selects({ metadata, spec }: Job, pod: Pod): boolean {
  const { selector } = spec;
  if (selector === undefined || metadata.namespace !== pod.metadata.namespace) return false;
  return matchesSelector(selector, pod.metadata.labels);
}

/** Deletes a finished Job, and its pods with it. */
async function remove(client: KubeClient, job: Job): Promise<void> {
  const { uid = "", resourceVersion = "" } = job.metadata;
  const options = { propagationPolicy: "Background", preconditions: { uid, resourceVersion } } as const;
  await client.delete(jobs, keyOf(job), options).catch((error: unknown) => {
    if (!isNotFound(error) && !isConflict(error)) throw error;
  });
}
