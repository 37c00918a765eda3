/**
 * The engine against what Envoy did with the same corpora (envoy-answers.json, written by record.ts): where Envoy
 * refuses what we forward, differences.ts has the reason, and llhttp takes it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { laxerThanEnvoy } from "./differences.ts";
import { readByLLHTTP } from "./parsers.ts";
import { requestCases } from "./request-cases.ts";
import { responseCases } from "./response-cases.ts";
import { readResponseByLLHTTP } from "./response-parsers.ts";

/** "origin: name" of what Envoy forwards. */
interface Answers {
  readonly requests: readonly string[];
  readonly responses: readonly string[];
}

const envoy = JSON.parse(readFileSync(join(import.meta.dirname, "envoy-answers.json"), "utf8")) as Answers;
const nameOf = ({ origin, name }: { origin: string; name: string }): string => `${origin}: ${name}`;

test("what we forward and Envoy refuses is in differences.ts, and llhttp takes it", async () => {
  const laxer: string[] = [];
  for (const one of requestCases) {
    if (one.outcome !== "forward" || envoy.requests.includes(nameOf(one))) continue;
    laxer.push(nameOf(one));
    const { requests, error } = await readByLLHTTP(one.bytes);
    assert.deepEqual([requests.length, error], [1, undefined], one.name);
  }
  for (const one of responseCases) {
    if (one.outcome !== "forward" || envoy.responses.includes(nameOf(one))) continue;
    laxer.push(nameOf(one));
    const { isWhole, error } = await readResponseByLLHTTP(one.bytes, one.method);
    assert.deepEqual([isWhole, error], [true, undefined], one.name);
  }
  assert.deepEqual(laxer.sort(), Object.keys(laxerThanEnvoy).sort());
});

test("the recording is of these corpora", () => {
  const unknown = (names: readonly string[], cases: readonly { origin: string; name: string }[]): readonly string[] => {
    const known = new Set(cases.map(nameOf));
    return names.filter((name) => !known.has(name));
  };
  assert.deepEqual(unknown(envoy.requests, requestCases), []);
  assert.deepEqual(unknown(envoy.responses, responseCases), []);
  assert.ok(envoy.requests.length > 100);
  assert.ok(envoy.responses.length > 50);
});
