import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import { formatAge, formatTable, rowOf } from "./columns.ts";

const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default" },
  spec: { containers: [{ name: "a" }, { name: "b" }], nodeName: "node1" },
  status: {
    phase: "Running",
    podIP: "10.244.1.2",
    containerStatuses: [
      { name: "a", ready: true, restartCount: 2, image: "", imageID: "", state: {}, lastState: {} },
      {
        name: "b",
        ready: false,
        restartCount: 1,
        image: "",
        imageID: "",
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: {},
      },
    ],
  },
};

test("rowOf() shows a pod as kubectl does", () => {
  assert.deepEqual(rowOf(pod, 65_000, { wide: true, namespaced: true }), {
    NAMESPACE: "default",
    NAME: "web",
    READY: "1/2",
    STATUS: "CrashLoopBackOff",
    RESTARTS: "3",
    AGE: "65s",
    IP: "10.244.1.2",
    NODE: "node1",
  });
});

test("rowOf() shows a pod that is being deleted as Terminating", () => {
  const deleted = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  assert.equal(rowOf(deleted, undefined, { wide: false, namespaced: false })["STATUS"], "Terminating");
});

test("formatAge() has two units where the first is small", () => {
  const cases = [
    [0, "0s"],
    [119, "119s"],
    [120, "2m"],
    [150, "2m30s"],
    [900, "15m"],
    [10_800, "3h"],
    [12_060, "3h21m"],
    [36_000, "10h"],
    [200_000, "2d"],
  ] as const;
  for (const [seconds, text] of cases) assert.equal(formatAge(seconds * 1000), text);
});

test("formatTable() lines columns up and leaves no blanks at the end", () => {
  assert.equal(
    formatTable([
      { NAME: "a", AGE: "1s" },
      { NAME: "longer", AGE: "10m" },
    ]),
    "NAME     AGE\na        1s\nlonger   10m\n",
  );
  assert.equal(formatTable([]), "");
});
