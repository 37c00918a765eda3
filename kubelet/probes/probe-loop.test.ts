/** When containers are probed. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "#api/core/pod.ts";
import { type Clock, ManualClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { ProbeLoop } from "./probe-loop.ts";

const container: Container = {
  name: "web",
  readinessProbe: { httpGet: { path: "/", port: 80 }, periodSeconds: 2 },
};

/** Times of probes, in ms from the start, of a container that is ready from `readyAtMs` on. */
async function probesUntil(untilMs: number, readyAtMs: number, clock: ManualClock, given: Clock): Promise<number[]> {
  const startMs = clock.monotonicMs();
  const times: number[] = [];
  const prober = (): Promise<{ ok: boolean; detail: string }> => {
    times.push(clock.monotonicMs() - startMs);
    return Promise.resolve({ ok: clock.monotonicMs() - startMs >= readyAtMs, detail: "" });
  };
  const loop = new ProbeLoop(
    { container, podIP: "10.244.1.2", netnsPath: "", pod: "", containerID: "" } as never,
    { prober, clock: given, log: createLogger("test") },
    { started: () => undefined, ready: () => undefined, dead: () => undefined, unhealthy: () => undefined },
  );
  loop.start({ isStarted: false, isReady: false });
  await clock.advance(untilMs);
  loop.stop();
  return times;
}

describe("ProbeLoop", () => {
  it("looks every 100 ms until the container is ready, then once a period", async () => {
    const clock = new ManualClock();
    const times = await probesUntil(7000, 300, clock, clock);
    assert.deepEqual(times, [0, 100, 200, 300, 2000, 4000, 6000]);
  });

  it("looks once a period also where timers run a moment early", async () => {
    const clock = new ManualClock();
    const early: Clock = {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs(),
      sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
      after: (delayMs, callback) => clock.after(Math.max(0, delayMs - 0.5), callback),
    };
    const times = await probesUntil(9000, 0, clock, early);
    assert.equal(times.length, 5, times.join(", "));
  });
});
