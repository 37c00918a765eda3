/**
 * The same configuration and the same requests through Envoy and through Wherry: status, headers, body, upstream and
 * flags are compared.
 *
 * What Envoy answered is recorded in answers.json, so that this proves something where there is no Envoy; where there
 * is one (WHERRY_ENVOY, or `envoy` on the PATH) the recording itself is checked.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { allCases } from "./cases/all.ts";
import { differences } from "./differences.ts";
import { findEnvoy, startEnvoy, startWherry } from "./proxies.ts";
import { runCases } from "./run.ts";
import type { Answer } from "./types.ts";

const recorded = JSON.parse(readFileSync(join(import.meta.dirname, "answers.json"), "utf8")) as Readonly<
  Record<string, Answer>
>;
const keys = allCases.flatMap(({ name, requests }) => requests.map((request) => `${name}/${request.name}`));

/** As it comes out of a file: without fields that are undefined. */
const plain = (answer: Answer | undefined): unknown => JSON.parse(JSON.stringify(answer ?? null));

describe("Envoy and Wherry", () => {
  it("have a recorded answer for each case, and a case for each answer", () => {
    assert.ok(keys.length >= 150);
    assert.deepEqual([...keys].sort(), Object.keys(recorded).sort());
    assert.deepEqual(
      Object.keys(differences).filter((key) => !keys.includes(key)),
      [],
    );
  });

  it("answer alike, but for the differences that are listed with their reasons", async () => {
    const answers = await runCases(allCases, (bootstrap) => startWherry(bootstrap));
    const wrong = keys.filter((key) => {
      const isEqual = JSON.stringify(plain(answers.get(key))) === JSON.stringify(recorded[key]);
      return isEqual === Object.hasOwn(differences, key);
    });
    const [first] = wrong;
    if (first !== undefined) assert.deepEqual(plain(answers.get(first)), recorded[first], `${wrong.join(", ")}: first`);
    assert.deepEqual(wrong, []);
  });

  const envoy = findEnvoy();
  const skip = envoy === undefined && "SKIP no Envoy (WHERRY_ENVOY, or envoy on the PATH)";
  it("Envoy answers as it was recorded", { skip }, async () => {
    const answers = await runCases(allCases, (bootstrap, dir) => startEnvoy(envoy!, bootstrap, dir));
    for (const key of keys) assert.deepEqual(plain(answers.get(key)), recorded[key], key);
  });
});
