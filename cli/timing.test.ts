/** The flags of node failure: defaults, ranges, refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TimingOptions, parseTiming } from "./timing.ts";

const defaults: TimingOptions = {
  nodeMonitorGracePeriod: "50s",
  nodeLeaseDurationSeconds: "40",
  defaultNotReadyTolerationSeconds: "300",
  defaultUnreachableTolerationSeconds: "300",
};

test("parseTiming() reads durations and seconds", () => {
  assert.deepEqual(parseTiming({ ...defaults, nodeMonitorGracePeriod: "1m30s", nodeLeaseDurationSeconds: "4" }), {
    nodeMonitorGraceMs: 90_000,
    nodeLeaseDurationSeconds: 4,
    defaultNotReadyTolerationSeconds: 300,
    defaultUnreachableTolerationSeconds: 300,
  });
});

test("parseTiming() refuses what is out of range, naming the flag", () => {
  const cases: readonly (readonly [Partial<TimingOptions>, RegExp])[] = [
    [{ nodeMonitorGracePeriod: "50" }, /--node-monitor-grace-period 50: wanted a duration/],
    [{ nodeMonitorGracePeriod: "0s" }, /--node-monitor-grace-period 0s/],
    [{ nodeLeaseDurationSeconds: "0" }, /--node-lease-duration-seconds 0: wanted a whole number from 1/],
    [{ defaultNotReadyTolerationSeconds: "-1" }, /--default-not-ready-toleration-seconds -1/],
    [{ defaultUnreachableTolerationSeconds: "1e3" }, /--default-unreachable-toleration-seconds 1e3/],
  ];
  for (const [wrong, message] of cases) assert.throws(() => parseTiming({ ...defaults, ...wrong }), { message });
});
