/** `wherry down`: stops a cluster. Idempotent: one that does not run is well. */
import { rmSync } from "node:fs";
import { realClock } from "#lib/clock.ts";
import { signalProcess, startTicksOf } from "#lib/process.ts";
import { findClusterGroups, removeGroups } from "../kubelet/cgroups.ts";
import { CliError } from "./errors.ts";
import { checkClusterName, readRecord, removeRecord, stateDirOf } from "./launcher/state-dir.ts";

/** Time for the launcher to end by itself, in ms; then it is killed, which ends the cluster all the same. */
const patienceMs = 900;

export interface DownOptions {
  readonly name: string;
  readonly purge?: boolean;
  readonly output: "text" | "json" | "quiet";
}

export async function down({ name, purge, output }: DownOptions): Promise<void> {
  const dir = stateDirOf(process.env, checkClusterName(name));
  const record = readRecord(dir);
  // Found while the launcher can still say in which group it runs.
  const groups = findClusterGroups(name, record === undefined ? ["self"] : [record.pid, "self"]);
  if (record !== undefined) {
    const runs = (): boolean => startTicksOf(record.pid) === record.startTicks;
    signalProcess(record.pid, "SIGTERM");
    for (let waitedMs = 0; runs() && waitedMs < patienceMs; waitedMs += 10) await realClock.sleep(10);
    if (runs()) signalProcess(record.pid, "SIGKILL");
    for (let waitedMs = 0; runs() && waitedMs < patienceMs; waitedMs += 10) await realClock.sleep(10);
    if (runs()) throw new CliError("Failed", `Cannot stop cluster ${name}: launcher ${record.pid} does not end`);
    removeRecord(dir);
  }
  // The last processes of a killed namespace leave their groups a moment later. What is left goes with the next start.
  for (let waitedMs = 0; !removeGroups(groups) && waitedMs < patienceMs; waitedMs += 10) await realClock.sleep(10);
  if (purge === true) rmSync(dir, { recursive: true, force: true });
  const wasRunning = record !== undefined;
  if (output === "json") process.stdout.write(`${JSON.stringify({ name, wasRunning, purged: purge === true })}\n`);
  if (output === "text")
    process.stdout.write(wasRunning ? `Cluster ${name} is down\n` : `Cluster ${name} is not running\n`);
}
