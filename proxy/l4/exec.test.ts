/** Programs for real: what they say, and nothing of ours between. */
import assert from "node:assert/strict";
import test from "node:test";
import { realClock } from "#lib/clock.ts";
import { systemExec } from "./exec.ts";

test("systemExec() tells what a program says that does not read its input, and no more", async () => {
  const exec = systemExec(realClock);
  const text = "x".repeat(1_000_000);
  const done = await exec(["sh", "-c", "exec 0<&-; sleep 0.1; echo why >&2; exit 3"], text);
  assert.deepEqual(done, { exitCode: 3, stdout: "", stderr: "why\n" });
});
