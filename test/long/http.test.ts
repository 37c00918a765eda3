/** A minute of the HTTP engine with everything around it moving: no request is lost, and nothing is kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runRestless } from "./restless.ts";

/** Of the run; shorter where another run of it is as long as it should be (.ci/run). */
const seconds = Number(process.env["WHERRY_LONG_SECONDS"] ?? 60);

test("a minute under changes loses no request, and keeps no memory and no connections", async () => {
  const { seen, samples } = await runRestless(seconds);
  assert.equal(seen.failed, 0);
  assert.ok(seen.answered > 1000 && seen.aborted > 100, `${seen.answered} answered, ${seen.aborted} given up`);
  // The first sixth warms up: code is compiled, pools fill.
  const [, warm, ...later] = samples;
  const last = later.at(-1);
  assert.ok(warm !== undefined && last !== undefined);
  const heaps = samples.map(({ heapMB }) => heapMB.toFixed(1)).join(", ");
  assert.ok(last.heapMB < warm.heapMB + 10, `heap grows: ${heaps} MB`);
  const handles = samples.map((one) => one.handles).join(", ");
  assert.ok(last.handles < 2 * warm.handles, `handles grow: ${handles}`);
});
