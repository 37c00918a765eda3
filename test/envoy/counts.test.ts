/** What Wherry counts of requests that end in many places, held to what Envoy counts of the same (counts.json). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { runCounts } from "./counts.ts";
import { findEnvoy, startEnvoy, startWherry } from "./proxies.ts";

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "counts.json"), "utf8")) as unknown;

it("Wherry counts requests where Envoy counts them", async () => {
  const counts = await runCounts((bootstrap) => startWherry(bootstrap));
  assert.deepEqual(Object.fromEntries(counts), recorded);
});

const envoy = findEnvoy();
const skip = envoy === undefined && "SKIP no Envoy (WHERRY_ENVOY, or envoy on the PATH)";
it("Envoy counts them as it was recorded", { skip }, async () => {
  const counts = await runCounts((bootstrap, dir) => startEnvoy(envoy!, bootstrap, dir));
  assert.deepEqual(Object.fromEntries(counts), recorded);
});
