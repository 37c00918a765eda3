/** Statistics: what /proc says, and rates out of it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { realClock } from "#lib/clock.ts";
import { createdContainer } from "../container-state.ts";
import { busyOf } from "./machine-usage.ts";
import { cpuOf, memoryOf, readUsage } from "./processes.ts";
import { Stats } from "./stats.ts";

describe("/proc", () => {
  it("gives a process's CPU time with that of its ended children, whatever its name", () => {
    const stat = `7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 0 0 10 20 30 40 20 0 1 0 100`;
    assert.equal(cpuOf(stat), 1e9);
  });

  it("gives memory in shares", () => {
    assert.equal(memoryOf("Rss:  100 kB\nPss:                  12 kB\nPss_Anon: 4 kB\n"), 12 * 1024);
    assert.equal(memoryOf(""), 0);
  });

  it("gives the time that the cores were busy", () => {
    assert.equal(busyOf("cpu  1 2 3 1000 50 4 5 0 0 0\ncpu0 1 1 1 1"), 15 * 1e7);
  });

  it("sums over the processes of a pid namespace", () => {
    const usage = readUsage(new Map([["me", process.pid]])).get("me");
    assert.ok(usage !== undefined && usage.memory > 1e6 && usage.cpuNs > 0);
  });
});

describe("Stats", () => {
  it("measures a container that runs, and answers at once when asked again", async () => {
    const running = { podUid: "u1", name: "web", attempt: 0, startedAtMs: 0 };
    const state = { kind: "running", running, started: true, ready: true, stopping: false } as const;
    const containers = [{ ...createdContainer("web"), state }, createdContainer("late")];
    const view = { podIP: "", hostIP: "", startedAtMs: 0, sandboxReady: true, terminating: false };
    const pod = {
      key: { namespace: "shop", name: "web-1" },
      uid: "u1",
      view: { ...view, hasEnded: false, failure: undefined, containers },
    };
    const stats = new Stats({
      clock: realClock,
      cgroups: { groupOf: () => undefined },
      runtime: { init: () => process.pid },
      nodeName: "node1",
    });
    const [one, two] = await Promise.all([stats.summary([pod]), stats.summary([pod])]);
    assert.equal(one, two);
    assert.deepEqual(one.pods[0]?.podRef, { name: "web-1", namespace: "shop", uid: "u1" });
    assert.deepEqual(
      one.pods[0].containers.map(({ name }) => name),
      ["web"],
    );
    assert.ok((one.pods[0].containers[0]?.memory.workingSetBytes ?? 0) > 1e6);
    assert.ok(one.node.memory.workingSetBytes > 0);
  });
});
