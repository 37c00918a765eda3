/** Restarts of a container: when, and how often. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  type ContainerView,
  type RestartPolicy,
  backoffOf,
  createdContainer,
  isOver,
  nextAction,
  toExited,
  toFailedStart,
  toRunning,
  toStarting,
} from "./container-state.ts";

/** Runs the container once more for `runMs`; gives the view and the time of its end. */
function runOnce(view: ContainerView, startMs: number, runMs: number, exitCode = 1): [ContainerView, number] {
  const action = nextAction(view, "Always", startMs);
  assert.equal(action.kind, "start");
  const attempt = action.kind === "start" ? action.attempt : 0;
  const running = { podUid: "u", name: view.name, attempt, startedAtMs: startMs };
  const finishedAtMs = startMs + runMs;
  const up = toRunning(toStarting(view), running, { started: true, ready: true });
  return [toExited(up, { running, exit: { exitCode, finishedAtMs }, learnedAtMs: finishedAtMs }), finishedAtMs];
}

/** Delays before the restarts after runs of these lengths. */
function delays(runsMs: readonly number[]): number[] {
  let view = createdContainer("web");
  let nowMs = 0;
  return runsMs.map((runMs) => {
    [view, nowMs] = runOnce(view, nowMs, runMs);
    const action = nextAction(view, "Always", nowMs);
    const delayMs = action.kind === "wait" ? action.untilMs - nowMs : 0;
    nowMs += delayMs;
    return delayMs / 1000;
  });
}

describe("nextAction()", () => {
  it("starts a new container at once, as attempt 0", () => {
    assert.deepEqual(nextAction(createdContainer("web"), "Always", 0), { kind: "start", attempt: 0 });
  });

  it("restarts at once, then after 10 s doubling to 5 min", () => {
    const runs = Array.from({ length: 9 }, () => 100);
    assert.deepEqual(delays(runs), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
  });

  it("forgets the past after a run of 10 minutes: the next restart is at once", () => {
    assert.deepEqual(delays([100, 100, 100, 600_000, 100, 100]), [0, 10, 20, 0, 10, 20]);
    assert.deepEqual(delays([100, 100, 100, 599_999]), [0, 10, 20, 40]);
  });

  const policies: readonly [RestartPolicy, exitCode: number, again: boolean][] = [
    ["Always", 0, true],
    ["Always", 1, true],
    ["OnFailure", 0, false],
    ["OnFailure", 137, true],
    ["Never", 0, false],
    ["Never", 1, false],
  ];
  for (const [policy, exitCode, again] of policies) {
    it(`${policy} ${again ? "restarts" : "leaves"} a container that exited with ${exitCode}`, () => {
      const [view, nowMs] = runOnce(createdContainer("web"), 0, 100, exitCode);
      assert.equal(nextAction(view, policy, nowMs).kind, again ? "start" : "nothing");
      assert.equal(isOver(view, policy), !again);
    });
  }

  it("counts a start that failed for the back-off, not as a restart", () => {
    let view = toStarting(createdContainer("web"));
    view = toFailedStart(view, "ErrImagePull", "no image", 1000);
    assert.deepEqual(nextAction(view, "Always", 1000), { kind: "wait", untilMs: 11_000 });
    view = toFailedStart(toStarting(view), "ErrImagePull", "no image", 11_000);
    assert.deepEqual(nextAction(view, "Always", 11_000), { kind: "wait", untilMs: 31_000 });
    assert.deepEqual(nextAction(view, "Always", 31_000), { kind: "start", attempt: 0 });
    assert.equal(view.restarts, 0);
  });

  it("never waits longer than 5 min, and numbers attempts without a gap", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 700_000 }), { maxLength: 30 }), (runs) => {
        assert.ok(delays(runs).every((seconds) => seconds <= 300));
        let view = createdContainer("web");
        let nowMs = 0;
        for (const [at, runMs] of runs.entries()) {
          [view, nowMs] = runOnce(view, nowMs, runMs);
          assert.equal(view.restarts, at);
          nowMs += 300_000;
        }
      }),
      { numRuns: 50 },
    );
  });
});

describe("backoffOf()", () => {
  it("is the wait of a container that failed again, and nothing for its first restart or its last end", () => {
    const [once, onceMs] = runOnce(createdContainer("web"), 0, 100);
    const [twice] = runOnce(once, onceMs, 100);
    assert.deepEqual([backoffOf(once, "Always"), backoffOf(twice, "Always")], [undefined, 10_000]);
    assert.equal(backoffOf(twice, "Never"), undefined);
  });
});
