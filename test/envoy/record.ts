/**
 * Writes what Envoy answers to every case into answers.json: WHERRY_ENVOY=…/envoy node test/envoy/record.ts && oxfmt test/envoy
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { allCases } from "./cases/all.ts";
import { findEnvoy, startEnvoy } from "./proxies.ts";
import { runCases } from "./run.ts";

const binary = findEnvoy();
if (binary === undefined) throw new Error("Cannot record: no Envoy, wanted WHERRY_ENVOY or envoy on the PATH");
const answers = await runCases(allCases, (bootstrap, dir) => startEnvoy(binary, bootstrap, dir));
const sorted = Object.fromEntries([...answers].sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(join(import.meta.dirname, "answers.json"), `${JSON.stringify(sorted, undefined, 1)}\n`);
process.stdout.write(`${answers.size} answers\n`);
