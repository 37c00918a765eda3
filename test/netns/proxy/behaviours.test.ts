/** kube-proxy's behaviours against the real kernel, in each family and protocol; all of them are shown. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { behaviourNumbers, showProgram, shownAlone } from "./inside.ts";

const shown = new Set<number>();
let isSkipped = false;

// They wait more than they work.
describe("node proxy", { concurrency: 4 }, () => {
  for (const run of ["IPv4 TCP", "IPv4 UDP", "IPv6 TCP", "IPv6 UDP"])
    test(`${run}: packets go where kube-proxy would send them`, async (t) => {
      const numbers = await showProgram(t, `behaviours.ts ${run}`);
      isSkipped ||= numbers === undefined;
      for (const number of numbers ?? []) shown.add(number);
    });
});

test("every behaviour of the table was shown", (t) => {
  if (isSkipped) return t.skip("SKIP none was");
  const missing = behaviourNumbers().filter((number) => !shown.has(number) && !shownAlone.has(number));
  assert.deepEqual(missing, []);
});
