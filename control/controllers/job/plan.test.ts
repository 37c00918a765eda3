/** How many pods a Job starts, what it counts, and how it ends. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Job } from "#api/batch/job.ts";
import type { Pod } from "#api/core/pod.ts";
import { isPodFinished } from "#api/core/pod.ts";
import { firstFree, formatIndexes, parseIndexes } from "./indexes.ts";
import { isTracked, jobPod, trackingFinalizer } from "./job-pod.ts";
import { expiresInMs, retryInMs } from "./outcome.ts";
import { type JobPlan, planJob } from "./plan.ts";

function jobOf(spec: Partial<Job["spec"]> = {}, status?: Job["status"]): Job {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "work", namespace: "shop", uid: "j1", resourceVersion: "1" },
    spec: {
      parallelism: 1,
      completions: 1,
      backoffLimit: 6,
      template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "c" }] } },
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  };
}

/** Pods by letters: a active, r ready, s succeeded, f failed, t terminating; capitals: without finalizer. */
function podsOf(letters: string, endedAt = "2026-01-01T00:00:00Z"): Pod[] {
  return letters.split("").map((letter, at): Pod => {
    const low = letter.toLowerCase();
    const phase = low === "s" ? "Succeeded" : low === "f" ? "Failed" : "Running";
    const ready = { type: "Ready", status: low === "r" ? "True" : "False", lastTransitionTime: endedAt } as const;
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: `${letter}${at}`,
        uid: `u${at}`,
        ...(letter === low ? { finalizers: [trackingFinalizer] } : {}),
        ...(low === "t" ? { deletionTimestamp: endedAt } : {}),
      },
      spec: { containers: [], nodeName: "n" },
      status: { phase, conditions: [ready] },
    };
  });
}

const nowMs = Date.UTC(2026, 0, 1, 1);
const plan = (job: Job, letters: string): JobPlan => planJob(job, podsOf(letters), nowMs);
const facts = ({ status }: JobPlan): string =>
  (status.conditions ?? []).map(({ type, status: value, reason }) => `${type}=${value} ${reason}`).join(", ");

describe("planJob()", () => {
  const rows: readonly [what: string, spec: Partial<Job["spec"]>, pods: string, create: number, remove: string][] = [
    ["starts one", {}, "", 1, ""],
    ["starts as many as may run", { parallelism: 3, completions: 5 }, "r", 2, ""],
    ["starts no more than are missing", { parallelism: 3, completions: 3 }, "sr", 1, ""],
    ["starts a new one for one that failed", {}, "f", 1, ""],
    ["removes what is too much", { parallelism: 1, completions: 5 }, "rra", 0, "a2 r1"],
    ["removes all when suspended", { suspend: true, parallelism: 2 }, "ra", 0, "r0 a1"],
    ["starts no more after the first success without completions", { parallelism: 3 }, "srr", 0, ""],
    ["runs all in parallel without completions", { parallelism: 3 }, "r", 2, ""],
  ];
  for (const [what, spec, pods, create, remove] of rows) {
    it(what, () => {
      const { completions: _completions, ...rest } = jobOf(spec).spec;
      const job = what.includes("without completions") ? { ...jobOf(), spec: rest } : jobOf(spec);
      const made = plan(job, pods);
      assert.equal(made.create.length, create);
      assert.equal(made.remove.map(({ metadata }) => metadata.name).join(" "), remove);
    });
  }

  it("waits longer after each failure in a row, and not after a success", () => {
    const ended = Date.UTC(2026, 0, 1);
    assert.equal(retryInMs(podsOf("f"), ended), 10_000);
    assert.equal(retryInMs(podsOf("fff"), ended), 40_000);
    assert.equal(retryInMs(podsOf("ffffffffff"), ended), 600_000);
    assert.equal(retryInMs(podsOf("fs"), ended), 0);
    assert.equal(planJob(jobOf(), podsOf("f"), ended + 4000).recheckInMs, 6000);
  });

  it("writes down what ended before its finalizer goes, and counts it after that, once", () => {
    const first = plan(jobOf({ completions: 3 }), "sf");
    assert.deepEqual(first.status.uncountedTerminatedPods, { succeeded: ["u0"], failed: ["u1"] });
    assert.deepEqual([first.status.succeeded, first.untrack.length], [undefined, 2]);
    const second = plan(jobOf({ completions: 3 }, first.status), "SF");
    assert.deepEqual([second.status.succeeded, second.status.failed], [1, 1]);
    assert.deepEqual([second.status.uncountedTerminatedPods, second.untrack], [{}, []]);
    const third = plan(jobOf({ completions: 3 }, second.status), "SF");
    assert.deepEqual([third.status.succeeded, third.status.failed], [1, 1]);
  });

  it("is complete once everything is counted", () => {
    const decided = plan(jobOf(), "s");
    assert.equal(facts(decided), "SuccessCriteriaMet=True CompletionsReached");
    const done = plan(jobOf({}, decided.status), "S");
    assert.equal(facts(done), "SuccessCriteriaMet=True CompletionsReached, Complete=True CompletionsReached");
    assert.deepEqual([done.status.succeeded, done.status.completionTime], [1, "2026-01-01T01:00:00Z"]);
    assert.deepEqual(done.events, [["Normal", "Completed", "Job completed"]]);
  });

  it("fails beyond its backoff limit, and ends what still runs", () => {
    const job = jobOf({ backoffLimit: 1, parallelism: 2, completions: 4 }, { failed: 1 });
    const decided = plan(job, "fr");
    assert.equal(facts(decided), "FailureTarget=True BackoffLimitExceeded");
    assert.deepEqual([decided.create.length, decided.remove.length, decided.isForgiven], [0, 1, false]);
    const ended = plan({ ...job, status: decided.status }, "Ft");
    assert.equal(facts(ended), "FailureTarget=True BackoffLimitExceeded");
    const done = plan({ ...job, status: ended.status }, "FF");
    assert.equal(done.status.failed, 3);
    assert.deepEqual(done.events, [["Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit"]]);
  });

  it("fails after its deadline", () => {
    const job = jobOf({ activeDeadlineSeconds: 60 }, { startTime: "2026-01-01T00:59:30Z" });
    assert.equal(plan(job, "r").recheckInMs, 30_000);
    assert.equal(facts(planJob(job, podsOf("r"), nowMs + 30_000)), "FailureTarget=True DeadlineExceeded");
  });

  it("goes some time after its end", () => {
    const conditions = [{ type: "Complete", status: "True", lastTransitionTime: "2026-01-01T01:00:00Z" }] as const;
    assert.equal(expiresInMs(jobOf({ ttlSecondsAfterFinished: 5 }, { conditions }), nowMs), 5000);
    assert.equal(expiresInMs(jobOf({ ttlSecondsAfterFinished: 5 }, { conditions }), nowMs + 9000), 0);
    assert.equal(expiresInMs(jobOf({}, { conditions }), nowMs), undefined);
    assert.equal(expiresInMs(jobOf({ ttlSecondsAfterFinished: 5 }), nowMs), undefined);
  });

  it("counts restarts in place against the limit", () => {
    const template = { spec: { restartPolicy: "OnFailure", containers: [{ name: "c" }] } } as const;
    const [pod] = podsOf("r");
    assert.ok(pod !== undefined);
    const container = { name: "c", state: {}, lastState: {}, ready: true, restartCount: 2, image: "", imageID: "" };
    for (const statuses of [{ containerStatuses: [container] }, { initContainerStatuses: [container] }]) {
      const restarted = { ...pod, status: { ...pod.status, ...statuses } };
      const made = planJob(jobOf({ template, backoffLimit: 2 }), [restarted], nowMs);
      assert.equal(facts(made), "FailureTarget=True BackoffLimitExceeded");
    }
  });

  it("says that it is suspended, and starts its clock anew when it goes on", () => {
    const held = plan(jobOf({ suspend: true }), "");
    assert.equal(facts(held), "Suspended=True JobSuspended");
    assert.deepEqual([held.status.startTime, held.events], [undefined, [["Normal", "Suspended", "Job suspended"]]]);
    const on = plan(jobOf({}, held.status), "");
    assert.equal(facts(on), "Suspended=False JobResumed");
    assert.deepEqual([on.status.startTime, on.create.length], ["2026-01-01T01:00:00Z", 1]);
  });
});

describe("planJob() of an Indexed Job", () => {
  const spec = { completionMode: "Indexed", parallelism: 2, completions: 3 } as const;
  const podOf = (index: number, letter: string): Pod => {
    const [pod] = podsOf(letter);
    assert.ok(pod !== undefined);
    const annotations = { "batch.kubernetes.io/job-completion-index": String(index) };
    return {
      ...pod,
      metadata: { ...pod.metadata, name: `work-${index}-${letter}`, uid: `${index}${letter}`, annotations },
    };
  };

  it("starts each index once, and again when it failed", () => {
    assert.deepEqual(planJob(jobOf(spec), [], nowMs).create, [0, 1]);
    assert.deepEqual(planJob(jobOf(spec), [podOf(0, "s"), podOf(1, "r")], nowMs).create, [2]);
    assert.deepEqual(planJob(jobOf(spec), [podOf(0, "f"), podOf(1, "r")], nowMs).create, [0]);
  });

  it("keeps the indexes that are done, and removes a second pod of one", () => {
    const made = planJob(jobOf(spec), [podOf(0, "s"), podOf(2, "s"), podOf(1, "r"), podOf(1, "a")], nowMs);
    assert.deepEqual([made.status.completedIndexes, made.status.succeeded], ["0,2", 2]);
    assert.deepEqual(
      made.remove.map(({ metadata }) => metadata.name),
      ["work-1-a"],
    );
  });

  it("makes pods that know their index", () => {
    const { metadata, spec: podSpec } = jobPod(jobOf(spec), 2);
    assert.equal(metadata.generateName, "work-2-");
    assert.equal(podSpec.hostname, "work-2");
    assert.equal(podSpec.containers[0]?.env?.[0]?.name, "JOB_COMPLETION_INDEX");
    assert.ok(isTracked(jobPod(jobOf(), undefined)));
  });
});

describe("formatIndexes()", () => {
  it("writes runs of three as a range, and parseIndexes() reads it back", () => {
    assert.equal(formatIndexes([7, 0, 1, 3, 4, 5]), "0,1,3-5,7");
    assert.deepEqual(firstFree(2, 5, new Set([0, 2])), [1, 3]);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(50)), (indexes) => {
        assert.deepEqual(parseIndexes(formatIndexes(indexes), 51), new Set([...indexes].sort((a, b) => a - b)));
      }),
    );
  });
});

describe("planJob() over time", () => {
  it("counts each pod once, whatever is lost between two writes", () => {
    const luck = fc.array(fc.constantFrom("succeed", "fail", "delete", "crash", "step"), { maxLength: 60 });
    fc.assert(
      fc.property(luck, fc.integer({ min: 1, max: 4 }), (events, parallelism) => {
        const completions = 5;
        let job = jobOf({ parallelism, completions, backoffLimit: 1000 });
        let pods: Pod[] = [];
        let [made, clock] = [0, nowMs];
        const ended = { succeeded: 0, failed: 0 };
        const step = (isCut: boolean): void => {
          clock += 3_600_000;
          const { status, untrack, create } = planJob(job, pods, clock);
          job = { ...job, status };
          // The controller dies after the status was written.
          if (isCut) return;
          pods = pods.map((pod) =>
            untrack.includes(pod) ? { ...pod, metadata: { ...pod.metadata, finalizers: [] } } : pod,
          );
          for (const index of create) {
            const pod = jobPod(job, index);
            made += 1;
            pods.push({
              ...pod,
              metadata: { ...pod.metadata, name: `p${made}`, uid: `p${made}` },
              status: { phase: "Running" },
            });
          }
          assert.ok(pods.filter((pod) => !isPodFinished(pod)).length <= parallelism);
        };
        const end = (phase: "Succeeded" | "Failed"): void => {
          const at = pods.findIndex((pod) => !isPodFinished(pod));
          const pod = pods[at];
          if (pod === undefined) return;
          pods[at] = { ...pod, status: { phase } };
          ended[phase === "Succeeded" ? "succeeded" : "failed"] += 1;
        };
        for (const event of events) {
          if (event === "succeed") end("Succeeded");
          if (event === "fail") end("Failed");
          // Somebody deletes what has been counted.
          if (event === "delete") pods = pods.filter((pod) => isTracked(pod) || !isPodFinished(pod));
          if (event === "crash") step(true);
          if (event === "step") step(false);
        }
        for (let round = 0; round < 30; round += 1) {
          step(false);
          end("Succeeded");
        }
        const { succeeded, failed, conditions } = job.status ?? {};
        assert.deepEqual([succeeded ?? 0, failed ?? 0], [ended.succeeded, ended.failed]);
        assert.ok(conditions?.some(({ type }) => type === "Complete"));
      }),
      { numRuns: 200 },
    );
  });
});
