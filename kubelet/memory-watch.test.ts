/** Memory limits without control groups: what counts, and that somebody is told. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { isAbove, residentOf, shareOf, watchMemory } from "./memory-watch.ts";

const MiB = 1024 * 1024;

describe("memory of a container", () => {
  it("is what is anonymous and shared, without mapped files", () => {
    assert.equal(residentOf("VmRSS:\t  99 kB\nRssAnon:\t  10 kB\nRssFile:\t  80 kB\nRssShmem:\t   9 kB\n"), 19 * 1024);
    assert.equal(shareOf("Pss: 50 kB\nPss_Anon:   7 kB\nPss_File: 40 kB\nPss_Shmem:   3 kB\n"), 10 * 1024);
    assert.equal(residentOf(""), 0);
  });

  it("is that of its descendants, too, and nothing once it has ended", async () => {
    const hold =
      "const held = Buffer.alloc(96 * 1024 * 1024, 1); process.stdout.write('up'); setInterval(() => held, 1e6)";
    const child = spawn("dash", ["-c", '"$0" -e "$1" & wait', process.execPath, hold], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { pid } = child;
    assert.ok(pid !== undefined);
    try {
      await once(child.stdout, "data");
      assert.ok(isAbove(pid, 90 * MiB));
      assert.ok(!isAbove(pid, 600 * MiB));
    } finally {
      spawn("pkill", ["-KILL", "-P", String(pid)]);
      await once(child, "exit");
    }
    assert.ok(!isAbove(pid, 0));
  });
});

describe("watchMemory()", () => {
  it("looks four times a second while there is a process, and tells once", async () => {
    const clock = new ManualClock();
    let told = 0;
    let pid: number | undefined;
    const stop = watchMemory(clock, { init: () => pid, memory: 1024, onExceeded: () => (told += 1) });
    await clock.advance(1000);
    assert.equal(told, 0);
    pid = process.pid;
    await clock.advance(250);
    assert.equal(told, 1);
    await clock.advance(1000);
    assert.equal(told, 1);
    stop();
  });

  it("tells nobody once it was stopped", async () => {
    const clock = new ManualClock();
    let told = 0;
    watchMemory(clock, { init: () => process.pid, memory: 1024, onExceeded: () => (told += 1) })();
    await clock.advance(1000);
    assert.equal(told, 0);
  });
});
