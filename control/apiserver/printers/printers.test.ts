import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { KubeObject } from "#api/meta.ts";
import { kinds } from "#api/scheme.ts";
import { podReason } from "./pods.ts";
import { formatDuration, formatSelector } from "./printer.ts";
import { printerOf } from "./printers.ts";

const nowMs = Date.parse("2026-01-01T01:00:00Z");

function cells(resource: string, object: object): readonly unknown[] {
  const kind = kinds.find(({ group, plural }) => `${group}/${plural}` === resource);
  assert.ok(kind !== undefined, resource);
  const metadata = { name: "x", creationTimestamp: "2026-01-01T00:00:00Z" };
  const whole = { apiVersion: "v1", kind: kind.kind, metadata, ...object } as KubeObject;
  const printer = printerOf(kind);
  const found = printer.cells(whole, nowMs);
  assert.equal(found.length, printer.columns.length, resource);
  return found;
}

test("formatDuration() shows two units while they say something", () => {
  const hour = 3_600_000;
  const rows: readonly (readonly [number, string])[] = [
    [-5000, "<invalid>"],
    [-500, "0s"],
    [119_000, "119s"],
    [120_000, "2m"],
    [150_000, "2m30s"],
    [10 * 60_000, "10m"],
    [179 * 60_000, "179m"],
    [3 * hour, "3h"],
    [3.5 * hour, "3h30m"],
    [47 * hour, "47h"],
    [49 * hour, "2d1h"],
    [10 * 24 * hour, "10d"],
    [800 * 24 * hour, "2y70d"],
    [4000 * 24 * hour, "10y"],
  ];
  for (const [ms, text] of rows) assert.equal(formatDuration(ms), text);
});

test("formatSelector() says labels and expressions in order of key", () => {
  assert.equal(formatSelector(undefined), "<none>");
  const matchExpressions = [
    { key: "b", operator: "In", values: ["y", "x"] },
    { key: "c", operator: "DoesNotExist" },
  ] as const;
  assert.equal(formatSelector({ matchLabels: { d: "1", a: "2" }, matchExpressions }), "a=2,b in (x,y),!c,d=1");
});

test("podReason() says how a pod is, in one word", () => {
  const base = { name: "a", ready: false, restartCount: 0, image: "", imageID: "", lastState: {} };
  const pod = (status: object, metadata: object = {}): Pod =>
    ({ metadata: { name: "p", ...metadata }, spec: { containers: [{ name: "a" }] }, status }) as unknown as Pod;
  const withState = (state: object, phase = "Running"): Pod => pod({ phase, containerStatuses: [{ ...base, state }] });
  assert.equal(podReason(pod({ phase: "Pending" })), "Pending");
  assert.equal(podReason(withState({ running: {} })), "Running");
  assert.equal(podReason(withState({ waiting: { reason: "CrashLoopBackOff" } })), "CrashLoopBackOff");
  assert.equal(podReason(withState({ terminated: { reason: "Completed", exitCode: 0 } }, "Succeeded")), "Completed");
  assert.equal(podReason(withState({ terminated: { exitCode: 3 } })), "ExitCode:3");
  assert.equal(podReason(withState({ terminated: { exitCode: 137, signal: 9 } })), "Signal:9");
  assert.equal(podReason(pod({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" })), "Terminating");
  assert.equal(podReason(pod({ phase: "Failed", reason: "Evicted" })), "Evicted");
  const initContainerStatuses = [{ ...base, state: { terminated: { exitCode: 1, reason: "Error" } } }];
  assert.equal(podReason(pod({ phase: "Pending", initContainerStatuses })), "Init:Error");
});

test("a pod shows ready containers, restarts and when the last was", () => {
  const lastState = { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:58:00Z", reason: "Error" } };
  const status = { name: "a", ready: true, restartCount: 2, image: "", imageID: "", lastState, state: { running: {} } };
  const pod = {
    spec: { containers: [{ name: "a" }, { name: "b" }], nodeName: "node1" },
    status: { phase: "Running", podIP: "10.244.0.2", containerStatuses: [status] },
  };
  assert.deepEqual(cells("/pods", pod).slice(1, 7), ["1/2", "Running", "2 (2m ago)", "60m", "10.244.0.2", "node1"]);
});

test("the cells of each kind are as kubectl users know them", () => {
  const ports = [
    { port: 80, protocol: "TCP" },
    { port: 443, nodePort: 30_443, protocol: "TCP" },
  ];
  const service = { spec: { type: "LoadBalancer", clusterIP: "10.96.0.9", ports, selector: { app: "x" } } };
  assert.deepEqual(cells("/services", service).slice(1, 5), [
    "LoadBalancer",
    "10.96.0.9",
    "<pending>",
    "80/TCP,443:30443/TCP",
  ]);
  const conditions = [{ type: "Ready", status: "True" }];
  const node = { spec: { unschedulable: true }, status: { conditions, nodeInfo: { kubeletVersion: "v1" } } };
  assert.deepEqual(cells("/nodes", node).slice(1, 5), ["Ready,SchedulingDisabled", "<none>", "60m", "v1"]);
  const endpoints = Array.from({ length: 5 }, (_, index) => ({ addresses: [`10.0.0.${index}`] }));
  const slice = { addressType: "IPv4", ports: [{ port: 80 }], endpoints };
  assert.deepEqual(cells("discovery.k8s.io/endpointslices", slice).slice(1, 4), [
    "IPv4",
    "80",
    "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...",
  ]);
  const template = { spec: { containers: [{ name: "c", image: "i" }] } };
  const job = {
    spec: { parallelism: 1, completions: 1, template },
    status: { succeeded: 1, conditions: [{ type: "Complete", status: "True" }] },
  };
  assert.deepEqual(cells("batch/jobs", job).slice(1, 4), ["Complete", "1/1", ""]);
  const event = { type: "Warning", reason: "Failed", message: "no\n", involvedObject: { kind: "Pod", name: "p" } };
  assert.deepEqual(cells("/events", event).slice(0, 4), ["60m", "Warning", "Failed", "pod/p"]);
  assert.deepEqual(cells("policy/poddisruptionbudgets", { spec: { minAvailable: 1 } }).slice(1, 4), ["1", "N/A", 0]);
  assert.deepEqual(cells("/secrets", { type: "Opaque", data: { a: "" } }).slice(1, 3), ["Opaque", 1]);
});
