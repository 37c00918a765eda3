import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import { type Observation, noObjects } from "./diagnosis/observation.ts";
import { toStatus } from "./status.ts";

const nowMs = Date.parse("2026-01-01T00:00:00Z");

function pod(name: string, ready: boolean, extra: object = {}): Pod {
  const conditions = [{ type: "Ready", status: ready ? "True" : "False" }];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", uid: name, ...extra },
    spec: { containers: [] },
    status: { phase: "Running", startTime: "2025-12-31T23:59:59Z", conditions: conditions as never },
  };
}

const seen: Observation = {
  cluster: "two",
  nowMs,
  clockShiftMs: 0,
  record: {
    pid: 1,
    startTicks: "1",
    initPid: 2,
    nodes: 1,
    apiAddress: "127.0.0.1:1",
    published: [],
    egress: { outbound: "allow-any", hostPorts: [] },
    flags: {},
    bootMs: 0,
  },
  processes: [],
  api: { kind: "ready" },
  writeProblem: undefined,
  sync: undefined,
  certificates: [],
  objects: {
    ...noObjects,
    pods: [pod("a", true), pod("b", false), pod("c", false, { deletionTimestamp: "2026-01-01T00:00:00Z" })],
  },
  nodes: [],
  sidecars: [],
};

test("toStatus() counts pods that live, and says why one is not ready", () => {
  assert.deepEqual(toStatus(seen).pods, {
    ready: 1,
    total: 2,
    notReady: ["shop/b"],
    reasons: { "shop/b": "it is being started" },
  });
});

test("toStatus() says so when the API does not answer", () => {
  const status = toStatus({ ...seen, api: { kind: "unreachable", message: "ECONNREFUSED" }, objects: noObjects });
  assert.equal(status.running, true);
  assert.equal(status.apiProblem, "ECONNREFUSED");
});
