/**
 * The node proxy against the real kernel: what is its own, beside kube-proxy's behaviours (behaviours-*.test.ts) and
 * the model (model.test.ts).
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { showProgram, shownAlone } from "./inside.ts";

describe("node proxy", { concurrency: 4 }, () => {
  for (const [name, program] of [
    ["packets go where the Services say", "packets.ts"],
    ["SCTP packets go where kube-proxy would send them", "sctp.ts"],
    ["what fails costs nothing that was there", "failures.ts"],
    ["requests of one connection go to all endpoints", "requests.ts"],
    ["policies let through what they allow, and nothing else", "policies.ts"],
  ] as const)
    test(name, (t) => showProgram(t, program).then(() => undefined));

  test("the API may go, and others may touch the tables", async (t) => {
    const shown = await showProgram(t, "standalone.ts");
    if (shown !== undefined) assert.deepEqual(shown.intersection(shownAlone), shownAlone);
  });
});
