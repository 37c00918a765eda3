/**
 * Where a cluster keeps what outlives it: `${XDG_STATE_HOME:-~/.local/state}/wherry/<cluster>/`.
 *
 *   wherry.db      the store            pki/           certificates and keys (0600)
 *   kubeconfig     for kubectl (0600)   logs/          one file a process
 *   launcher.json  who runs it now and what it published; absent while it is down; launcher.lock from the first moment
 */
import { linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, uptime } from "node:os";
import { join } from "node:path";
import { errnoOf } from "#lib/errors.ts";
import { startTicksOf } from "#lib/process.ts";
import { CliError } from "../errors.ts";
import type { PublishedPort } from "../ipc.ts";
import type { EgressPolicy } from "./egress-policy.ts";

/** What launcher.json says of a running cluster. */
export interface LauncherRecord {
  readonly pid: number;
  /** Start time of that pid in clock ticks since boot: tells it from a later process of the same number. */
  readonly startTicks: string;
  readonly initPid: number;
  readonly nodes: number;
  readonly apiAddress: string;
  readonly published: readonly PublishedPort[];
  /** What may leave the cluster. */
  readonly egress: EgressPolicy;
  /** The flags that shaped it: flag → value, as JSON. */
  readonly flags: Readonly<Record<string, string>>;
  /** When the system started, by its clock of that moment, in ms since 1970: it moves when the clock is set. */
  readonly bootMs: number;
}

/** When the system started, by the clock of now, in ms since 1970. */
export function bootTimeMs(nowMs: number): number {
  return nowMs - uptime() * 1000;
}

/** Checks a cluster's name: a DNS label, for it becomes a folder and part of names. */
export function checkClusterName(name: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new CliError(
    "Usage",
    `Cannot use cluster name ${JSON.stringify(name)}: wanted a DNS label (a-z, 0-9, -; at most 63)`,
  );
}

function rootDir(env: NodeJS.ProcessEnv): string {
  return join(env["XDG_STATE_HOME"] || join(homedir(), ".local", "state"), "wherry");
}

/** The state folder of `cluster`, made with mode 0700 when it is not there. */
export function openStateDir(env: NodeJS.ProcessEnv, cluster: string): string {
  const dir = stateDirOf(env, cluster);
  try {
    mkdirSync(join(dir, "logs"), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new CliError("Failed", `Cannot make state folder ${dir}: ${(error as Error).message} (set XDG_STATE_HOME)`);
  }
  return dir;
}

export function stateDirOf(env: NodeJS.ProcessEnv, cluster: string): string {
  return join(rootDir(env), cluster);
}

/**
 * Makes this process the one that runs the cluster in `dir`, until it ends. Throws CliError Failed when another one is.
 * What a killed launcher left is taken over.
 */
export function claim(dir: string): void {
  const file = join(dir, "launcher.lock");
  const own = `${process.pid} ${startTicksOf(process.pid) ?? ""}`;
  for (let tries = 0; tries < 3; tries += 1) {
    // A link appears with its content: nobody ever reads a half-written lock.
    const draft = `${file}.${process.pid}`;
    writeFileSync(draft, own, { mode: 0o600 });
    try {
      linkSync(draft, file);
      return;
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
    } finally {
      rmSync(draft, { force: true });
    }
    const [pid = "", ticks = ""] = readFileSync(file, "utf8").split(" ");
    if (startTicksOf(Number(pid)) === ticks) {
      throw new CliError(
        "Failed",
        `Cannot start cluster in ${dir}: process ${pid} is starting or running it (see: wherry status)`,
      );
    }
    rmSync(file, { force: true });
  }
  throw new CliError("Failed", `Cannot start cluster in ${dir}: others start it at the same time (try again)`);
}

/** Lets go of what `claim` took. */
export function release(dir: string): void {
  rmSync(join(dir, "launcher.lock"), { force: true });
}

const recordFile = (dir: string): string => join(dir, "launcher.json");

/** Writes the record so that no reader ever sees half of it. */
export function writeRecord(dir: string, record: LauncherRecord): void {
  const draft = `${recordFile(dir)}.new`;
  writeFileSync(draft, JSON.stringify(record), { mode: 0o600 });
  renameSync(draft, recordFile(dir));
}

export function removeRecord(dir: string): void {
  rmSync(recordFile(dir), { force: true });
}

/** The record of the cluster that runs in `dir`, or undefined when none runs (a stale record counts as none). */
export function readRecord(dir: string): LauncherRecord | undefined {
  let record: LauncherRecord;
  try {
    record = JSON.parse(readFileSync(recordFile(dir), "utf8")) as LauncherRecord;
  } catch {
    return undefined; // Absent, or left half-written by a crash of an older version: either way nothing runs by it.
  }
  return startTicksOf(record.pid) === record.startTicks ? record : undefined;
}

/** The pid in the record of a launcher that has ended without removing it; undefined when there is no such record. */
export function readLeftover(dir: string): number | undefined {
  try {
    const { pid, startTicks } = JSON.parse(readFileSync(recordFile(dir), "utf8")) as LauncherRecord;
    return startTicksOf(pid) === startTicks ? undefined : pid;
  } catch {
    return undefined; // No record, which is how it should be.
  }
}

/** The record of a cluster that must be running. */
export function requireRunning(env: NodeJS.ProcessEnv, cluster: string): { dir: string; record: LauncherRecord } {
  const dir = stateDirOf(env, checkClusterName(cluster));
  const record = readRecord(dir);
  if (record === undefined) {
    const others = runningClusters(env).map((name) => `--name ${name}`);
    const hint = others.length === 0 ? `start it: wherry up --name ${cluster}` : `these run: ${others.join(", ")}`;
    throw new CliError("Failed", `Cannot reach cluster ${cluster}: it is not running (${hint})`);
  }
  return { dir, record };
}

/** Names of the clusters that run, in order. */
function runningClusters(env: NodeJS.ProcessEnv): readonly string[] {
  try {
    const names = readdirSync(rootDir(env));
    return names.filter((name) => readRecord(join(rootDir(env), name)) !== undefined).sort();
  } catch {
    return []; // No cluster ever ran: there is no folder.
  }
}
