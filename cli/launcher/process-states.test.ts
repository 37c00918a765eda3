import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type ProcessState, readProcessStates, writeProcessStates } from "./process-states.ts";

test("readProcessStates() reads what was written last, and nothing from a broken file", () => {
  const dir = mkdtempSync(join(tmpdir(), "wherry-states-"));
  try {
    assert.deepEqual(readProcessStates(dir), []);
    const states: readonly ProcessState[] = [
      { name: "control", state: "waiting", since: "2026-01-01T00:00:00.000Z", restarts: 2, lastEnd: "SIGKILL" },
    ];
    writeProcessStates(dir, []);
    writeProcessStates(dir, states);
    assert.deepEqual(readProcessStates(dir), states);
    writeFileSync(join(dir, "processes.json"), "[{");
    assert.deepEqual(readProcessStates(dir), []);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
