/** Pod statuses out of views. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, PodStatus } from "#api/core/pod.ts";
import { type ContainerState, type ContainerView, createdContainer } from "./container-state.ts";
import { type PodView, podStatus } from "./status.ts";

const startMs = Date.UTC(2026, 0, 1);
const running = { podUid: "u1", name: "web", attempt: 0, startedAtMs: startMs };
const up = (ready: boolean): ContainerState => ({ kind: "running", running, started: true, ready, stopping: false });
const ended = (exitCode: number): ContainerState => {
  return { kind: "exited", running, exit: { exitCode, finishedAtMs: startMs + 1000 }, learnedAtMs: 0 };
};
const waiting: ContainerState = createdContainer("web").state;

function podOf(restartPolicy: "Always" | "OnFailure" | "Never", status?: PodStatus): Pod {
  const metadata = { name: "web-1", namespace: "shop", uid: "u1", generation: 2 };
  const spec = { containers: [{ name: "web", image: "web:1" }], restartPolicy };
  return { apiVersion: "v1", kind: "Pod", metadata, spec, ...(status === undefined ? {} : { status }) };
}

function viewOf(states: readonly ContainerState[], more: Partial<PodView> = {}): PodView {
  const containers = states.map((state): ContainerView => ({ ...createdContainer("web"), state }));
  const facts = { podIP: "10.244.1.2", hostIP: "100.64.0.2", startedAtMs: startMs, sandboxReady: true };
  return { ...facts, terminating: false, hasEnded: false, failure: undefined, containers, ...more };
}

const condition = (status: PodStatus, type: string): string | undefined =>
  status.conditions?.find((candidate) => candidate.type === type)?.status;

describe("podStatus()", () => {
  const phases: readonly [
    policy: "Always" | "OnFailure" | "Never",
    states: readonly ContainerState[],
    phase: string,
  ][] = [
    ["Always", [waiting], "Pending"],
    ["Always", [{ kind: "starting" }], "Pending"],
    ["Always", [up(false)], "Running"],
    ["Always", [up(true), waiting], "Pending"],
    ["Always", [ended(1)], "Running"],
    ["OnFailure", [ended(1)], "Running"],
    ["OnFailure", [ended(0)], "Succeeded"],
    ["Never", [ended(0)], "Succeeded"],
    ["Never", [ended(1)], "Failed"],
    ["Never", [ended(0), ended(1)], "Failed"],
    ["Never", [ended(0), up(true)], "Running"],
  ];
  for (const [policy, states, phase] of phases) {
    it(`calls ${states.map(({ kind }) => kind).join(" and ")} under ${policy} ${phase}`, () => {
      assert.equal(podStatus(podOf(policy), viewOf(states), startMs).phase, phase);
    });
  }

  it("is ready when every container is", () => {
    const ready = podStatus(podOf("Always"), viewOf([up(true), up(true)]), startMs);
    assert.deepEqual([condition(ready, "Ready"), condition(ready, "ContainersReady")], ["True", "True"]);
    const not = podStatus(podOf("Always"), viewOf([up(true), up(false)]), startMs);
    assert.deepEqual(
      not.conditions?.find(({ type }) => type === "Ready"),
      {
        type: "Ready",
        status: "False",
        reason: "ContainersNotReady",
        message: "containers with unready status: [web]",
        lastTransitionTime: "2026-01-01T00:00:00Z",
      },
    );
  });

  it("is not ready once it was told to end", () => {
    const status = podStatus(podOf("Always"), viewOf([up(true)], { terminating: true }), startMs);
    assert.equal(condition(status, "Ready"), "False");
  });

  it("says that a pod which ended has completed", () => {
    const status = podStatus(podOf("Never"), viewOf([ended(0)]), startMs);
    assert.equal(status.conditions?.find(({ type }) => type === "Ready")?.reason, "PodCompleted");
  });

  it("keeps the transition time while a condition stays, and the start time", () => {
    const before = podStatus(podOf("Always"), viewOf([up(false)]), startMs);
    const same = podStatus(podOf("Always", before), viewOf([up(false)]), startMs + 60_000);
    assert.deepEqual(same, before);
    const ready = podStatus(podOf("Always", before), viewOf([up(true)]), startMs + 60_000);
    const times = Object.fromEntries(ready.conditions?.map((one) => [one.type, one.lastTransitionTime]) ?? []);
    assert.equal(times["Ready"], "2026-01-01T00:01:00Z");
    assert.equal(times["Initialized"], "2026-01-01T00:00:00Z");
    assert.equal(ready.startTime, "2026-01-01T00:00:00Z");
  });

  it("describes a container that ended", () => {
    const [status] = podStatus(podOf("Never"), viewOf([ended(3)]), startMs).containerStatuses ?? [];
    assert.deepEqual(status?.state.terminated, {
      exitCode: 3,
      reason: "Error",
      startedAt: "2026-01-01T00:00:00Z",
      finishedAt: "2026-01-01T00:00:01Z",
      containerID: "wherry://u1/web/0",
    });
    assert.deepEqual([status.image, status.ready, status.containerID], ["web:1", false, "wherry://u1/web/0"]);
  });
});
