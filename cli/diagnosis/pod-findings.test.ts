import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event } from "#api/core/event.ts";
import type { ContainerState, Pod, PodStatus } from "#api/core/pod.ts";
import type { ObjectMeta } from "#api/meta.ts";
import { findingsOfPod } from "./pod-findings.ts";

const nowMs = Date.parse("2026-01-01T00:10:00Z");

function pod(status: PodStatus, metadata: Partial<ObjectMeta> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "shop", uid: "u", ...metadata },
    spec: { containers: [{ name: "a" }] },
    status,
  };
}

function withContainer(state: ContainerState, lastState: ContainerState = {}): Pod {
  const status = { name: "a", state, lastState, ready: false, restartCount: 2, image: "", imageID: "" };
  return pod({ phase: "Running", startTime: "2026-01-01T00:09:59Z", containerStatuses: [status] });
}

const warning = (reason: string, message: string): Event => ({
  apiVersion: "v1",
  kind: "Event",
  metadata: { name: "e" },
  involvedObject: {},
  type: "Warning",
  reason,
  message,
});
const codes = (of: Pod, events: readonly Event[] = []): string[] =>
  findingsOfPod(of, events, nowMs).map(({ code }) => code);
const ended = (exitCode: number, reason = "Error"): ContainerState => ({ terminated: { exitCode, reason } });
const running: ContainerState = { running: { startedAt: "2026-01-01T00:09:59Z" } };
const waiting = (reason: string, message = ""): ContainerState => ({ waiting: { reason, message } });

test("findingsOfPod() has nothing to say of a pod that is ready, done or just starting", () => {
  assert.deepEqual(codes(pod({ phase: "Running", conditions: [{ type: "Ready", status: "True" }] as never })), []);
  assert.deepEqual(codes(pod({ phase: "Succeeded" })), []);
  assert.deepEqual(codes(withContainer(waiting("ContainerCreating"))), []);
  assert.deepEqual(codes(withContainer(running)), []);
});

for (const [state, last, code] of [
  [waiting("ErrImagePull"), {}, "ImageUnknown"],
  [waiting("ImagePullBackOff"), {}, "ImageUnknown"],
  [waiting("CreateContainerConfigError"), {}, "ReferenceMissing"],
  [waiting("CreateContainerError"), {}, "ContainerWaits"],
  [waiting("RunContainerError"), {}, "CommandBroken"],
  [waiting("CrashLoopBackOff"), ended(1), "CrashLoop"],
  [waiting("CrashLoopBackOff"), ended(127), "CommandBroken"],
  [waiting("CrashLoopBackOff"), ended(137, "OOMKilled"), "OutOfMemory"],
  [ended(137, "OOMKilled"), {}, "OutOfMemory"],
] as const) {
  test(`findingsOfPod() calls ${JSON.stringify(state)} after ${JSON.stringify(last)} ${code}`, () => {
    assert.deepEqual(codes(withContainer(state, last)), [code]);
  });
}

test("findingsOfPod() tells for ten minutes that a container ran out of memory", () => {
  const killed = (finishedAt: string): ContainerState => ({
    terminated: { exitCode: 137, reason: "OOMKilled", finishedAt },
  });
  assert.deepEqual(codes(withContainer(running, killed("2026-01-01T00:05:00Z"))), ["WasOutOfMemory"]);
  assert.deepEqual(codes(withContainer(running, killed("2025-12-31T23:59:00Z"))), []);
});

test("findingsOfPod() names the container whose log to read, and the image map that gives a command", () => {
  const hintOf = (of: Pod): string | undefined => findingsOfPod(of, [], nowMs)[0]?.hint;
  const one = withContainer(waiting("CrashLoopBackOff"), ended(1));
  assert.match(hintOf(one) ?? "", /wherry logs web -n shop$/);
  const two = { ...one, spec: { containers: [{ name: "a" }, { name: "b" }] } };
  assert.match(hintOf(two) ?? "", /wherry logs web -n shop -c a$/);
  const mapped = withContainer(waiting("CrashLoopBackOff"), ended(127));
  assert.match(hintOf(mapped) ?? "", /image map/);
  const own = { ...mapped, spec: { containers: [{ name: "a", command: ["x"] }] } };
  assert.match(hintOf(own) ?? "", /correct command and args/);
});

test("findingsOfPod() says what the kubelet says, or else what its code means", () => {
  const said = findingsOfPod(withContainer(waiting("ErrImagePull", "no entry for x")), [], nowMs)[0];
  assert.match(said?.sentence ?? "", /container a: no entry for x$/);
  const meant = findingsOfPod(withContainer(waiting("RunContainerError")), [], nowMs)[0];
  assert.match(meant?.sentence ?? "", /The container's command cannot be started$/);
});

test("findingsOfPod() takes the last event for what keeps a pod from being ready", () => {
  const probe = warning("Unhealthy", "Readiness probe failed: refused");
  assert.deepEqual(codes(withContainer(running), [probe]), ["NotReady"]);
  assert.deepEqual(codes(withContainer(waiting("ContainerCreating")), [probe]), []);
  const mount = warning("FailedMount", "configmap x not found");
  assert.deepEqual(codes(withContainer(waiting("ContainerCreating")), [mount]), ["ReferenceMissing"]);
  const sandbox = warning("FailedCreatePodSandBox", "no address is left");
  assert.deepEqual(codes(withContainer(waiting("ContainerCreating")), [sandbox]), ["ContainerWaits"]);
});

test("findingsOfPod() says that a pod is late after 30 s", () => {
  const late = (state: ContainerState): Pod => {
    const of = withContainer(state);
    return { ...of, status: { ...of.status, startTime: "2026-01-01T00:09:00Z" } };
  };
  assert.deepEqual(codes(late(waiting("ContainerCreating"))), ["PodPending"]);
  assert.deepEqual(codes(late(running)), ["NotReady"]);
});

test("findingsOfPod() tells a deletion that hangs from one under way", () => {
  const at = (deletionTimestamp: string): Pod => pod({ phase: "Running" }, { deletionTimestamp });
  assert.deepEqual(codes(at("2026-01-01T00:09:50Z")), []);
  assert.deepEqual(codes(at("2026-01-01T00:09:00Z")), ["DeletionHangs"]);
});

test("findingsOfPod() leaves the failed pods of a Job to the Job", () => {
  const failed = withContainer(ended(5));
  const of = (metadata: Partial<ObjectMeta>): Pod => ({
    ...failed,
    metadata: { ...failed.metadata, ...metadata },
    status: { ...failed.status, phase: "Failed" },
  });
  assert.deepEqual(codes(of({})), ["PodFailed"]);
  const owner = { apiVersion: "batch/v1", kind: "Job", name: "j", uid: "u", controller: true };
  assert.deepEqual(codes(of({ ownerReferences: [owner] })), []);
});
