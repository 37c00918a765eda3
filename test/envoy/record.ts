/**
 * Writes what Envoy answers to every case into answers.json, to every burst into bursts.json, to every tunnel
 * into tunnels.json, and what it counts into counts.json: WHERRY_ENVOY=…/envoy node test/envoy/record.ts && oxfmt test/envoy
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { burstCases } from "./burst-cases.ts";
import { runBursts } from "./bursts.ts";
import { allCases } from "./cases/all.ts";
import { findEnvoy, startEnvoy } from "./proxies.ts";
import { type Start, runCases } from "./run.ts";
import { runCounts } from "./counts.ts";
import { tunnelCases } from "./tunnel-cases.ts";
import { runTunnels } from "./tunnels.ts";

const binary = findEnvoy();
if (binary === undefined) throw new Error("Cannot record: no Envoy, wanted WHERRY_ENVOY or envoy on the PATH");
const start: Start = (bootstrap, dir) => startEnvoy(binary, bootstrap, dir);
write("answers", await runCases(allCases, start));
write("bursts", await runBursts(burstCases, start));
write("tunnels", await runTunnels(tunnelCases, start));
write("counts", await runCounts(start));

function write(name: string, answers: ReadonlyMap<string, unknown>): void {
  const sorted = Object.fromEntries([...answers].sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(join(import.meta.dirname, `${name}.json`), `${JSON.stringify(sorted, undefined, 1)}\n`);
  process.stdout.write(`${answers.size} ${name}\n`);
}
