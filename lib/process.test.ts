/** Telling processes apart. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { parentOf, signalProcess, startTicksOf } from "./process.ts";

describe("startTicksOf()", () => {
  it("is the same each time for one process, and undefined once it has ended", async () => {
    assert.match(startTicksOf(process.pid) ?? "", /^\d+$/);
    assert.equal(startTicksOf(process.pid), startTicksOf(process.pid));
    const child = spawn("sleep", ["60"]);
    const pid = child.pid ?? 0;
    assert.notEqual(startTicksOf(pid), undefined);
    signalProcess(pid, "SIGKILL");
    await once(child, "exit");
    assert.equal(startTicksOf(pid), undefined);
    // Gone already: well.
    signalProcess(pid, "SIGKILL");
  });
});

describe("parentOf()", () => {
  it("is the process that started one, and undefined for no process", async () => {
    const child = spawn("sleep", ["60"]);
    const pid = child.pid ?? 0;
    assert.equal(parentOf(pid), process.pid);
    signalProcess(pid, "SIGKILL");
    await once(child, "exit");
    assert.equal(parentOf(pid), undefined);
  });
});
