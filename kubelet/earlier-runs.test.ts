/** Pods whose cluster was stopped and started again with its state kept: only their objects are left. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container, ContainerStatus, PodSpec } from "#api/core/pod.ts";
import { earlierRuns } from "./earlier-runs.ts";
import { Bench, podOf, running, web } from "./pod-worker-fixture.ts";

const init: Container = { name: "init", image: "web" };
const other: Container = { name: "other", image: "web" };

/** The pod on a machine that has nothing of it, with the status that it had. */
async function startedAnew(bench: Bench): Promise<Bench> {
  const next = new Bench({ ...bench.pod, status: bench.status });
  await next.clock.advance(60_000);
  next.worker.update(next.pod);
  await next.clock.advance(100);
  return next;
}

const starts = ({ trace }: Bench): string[] => trace.filter((line) => line.startsWith("start "));

const statusOf = (bench: Bench, name = "web"): ContainerStatus | undefined =>
  [...(bench.status.initContainerStatuses ?? []), ...(bench.status.containerStatuses ?? [])].find(
    (status) => status.name === name,
  );

describe("PodWorker of a pod that ran before the cluster was stopped", () => {
  it("fails one that is never to be restarted, and runs nothing", async () => {
    const bench = await startedAnew(await running({ restartPolicy: "Never" }));
    assert.deepEqual(bench.trace, []);
    assert.equal(bench.status.phase, "Failed");
    const { exitCode, reason, message } = statusOf(bench)?.state.terminated ?? {};
    const words = "The container could not be located when the pod was terminated";
    assert.deepEqual([exitCode, reason, message], [137, "ContainerStatusUnknown", words]);
  });

  it("restarts one at once and counts on, whatever its back-off was", async () => {
    const before = await running();
    for (let restarts = 0; restarts < 3; restarts += 1) {
      before.runtime.exit("u1", "web", 1);
      await before.clock.advance(60_000);
    }
    const bench = await startedAnew(before);
    assert.deepEqual(starts(bench), ["start web#4"]);
    const { restartCount, lastState } = statusOf(bench) ?? {};
    assert.deepEqual([restartCount, lastState?.terminated?.reason], [4, "ContainerStatusUnknown"]);
    assert.ok(bench.ready);
    before.runtime.exit("u1", "web", 1);
    await before.settle();
    assert.equal(statusOf(before)?.state.waiting?.reason, "CrashLoopBackOff");
    const late = await startedAnew(before);
    assert.deepEqual(starts(late), ["start web#4"]);
    assert.deepEqual(statusOf(late)?.lastState.terminated?.exitCode, 1);
  });

  const rows: readonly [what: string, spec: Partial<PodSpec>, exits: Record<string, number>, starts: string[]][] = [
    ["runs what failed, not what succeeded", { restartPolicy: "OnFailure" }, { web: 0 }, ["start other#1"]],
    ["runs both of a pod that is always restarted", {}, { web: 0 }, ["start web#2", "start other#1"]],
    ["runs nothing of a pod that is never restarted", { restartPolicy: "Never" }, { web: 0 }, []],
  ];
  for (const [what, spec, exits, wanted] of rows) {
    it(what, async () => {
      const before = await running({ containers: [web, other], ...spec });
      for (const [name, code] of Object.entries(exits)) before.runtime.exit("u1", name, code);
      await before.clock.advance(30_000);
      assert.deepEqual(starts(await startedAnew(before)), wanted);
    });
  }

  it("runs its init containers again: what they put into its volumes is gone", async () => {
    const before = await running({ initContainers: [init] });
    before.runtime.exit("u1", "init", 0);
    await before.settle();
    const bench = await startedAnew(before);
    assert.deepEqual(starts(bench), ["start init#1"]);
    assert.deepEqual(statusOf(bench)?.state, { waiting: { reason: "PodInitializing" } });
    bench.runtime.exit("u1", "init", 0);
    await bench.settle();
    assert.deepEqual(starts(bench), ["start init#1", "start web#1"]);
  });

  it("starts one that had not come up as if for the first time", async () => {
    const waiting = new Bench(podOf());
    assert.deepEqual(starts(await startedAnew(waiting)), ["start web#0"]);
  });
});

describe("PodWorker that adopts", () => {
  it("keeps how the run before ended", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 3);
    await bench.settle();
    bench.pod = { ...bench.pod, status: bench.status };
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.deepEqual(starts(bench), ["start web#0", "start web#1"]);
    const { restartCount, lastState } = statusOf(bench) ?? {};
    assert.deepEqual([restartCount, lastState?.terminated?.exitCode], [1, 3]);
  });
});

describe("earlierRuns()", () => {
  it("takes a status that makes no sense for what it can", () => {
    const status: ContainerStatus = {
      name: "web",
      state: { running: { startedAt: "yesterday" } },
      lastState: { terminated: { exitCode: 1, reason: "Error", containerID: "docker://none" } },
      ready: true,
      restartCount: 2,
      image: "",
      imageID: "",
    };
    const pod = { ...podOf(), status: { containerStatuses: [status] } };
    const [view] = earlierRuns(pod, { nowMs: 0, monotonicMs: 0 });
    assert.deepEqual([view?.state.kind, view?.restarts, view?.last?.exit.exitCode], ["waiting", 2, 137]);
  });
});
