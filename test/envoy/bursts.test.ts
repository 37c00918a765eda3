/**
 * Bursts through Wherry, held to what Envoy did with them (bursts.json): what is sent, what waits, what is refused, and
 * how it is counted. Where there is an Envoy (WHERRY_ENVOY, or `envoy` on the PATH) the recording itself is checked.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { burstCases } from "./burst-cases.ts";
import { type BurstOutcome, runBursts } from "./bursts.ts";
import { findEnvoy, startEnvoy, startWherry } from "./proxies.ts";

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "bursts.json"), "utf8")) as Readonly<
  Record<string, BurstOutcome>
>;

describe("Envoy and Wherry, many requests at once", () => {
  it("have a recording for each burst, and a burst for each recording", () => {
    assert.deepEqual(burstCases.map(({ name }) => name).sort(), Object.keys(recorded).sort());
  });

  it("do the same with them", async () => {
    const outcomes = await runBursts(burstCases, (bootstrap) => startWherry(bootstrap));
    for (const [name, outcome] of outcomes) assert.deepEqual(outcome, recorded[name], name);
    assert.equal(outcomes.size, burstCases.length);
  });

  const envoy = findEnvoy();
  const skip = envoy === undefined && "SKIP no Envoy (WHERRY_ENVOY, or envoy on the PATH)";
  it("Envoy does with them as it was recorded", { skip }, async () => {
    const outcomes = await runBursts(burstCases, (bootstrap, dir) => startEnvoy(envoy!, bootstrap, dir));
    for (const [name, outcome] of outcomes) assert.deepEqual(outcome, recorded[name], name);
  });
});
