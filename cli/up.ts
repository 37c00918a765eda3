/**
 * `wherry up`: starts a cluster. The launcher is a process of its own, so that `--detach` is the same path: in the
 * foreground we wait for it and it ends with us.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { splitLines } from "#api/client/lines.ts";
import { assert } from "#lib/assert.ts";
import { errnoOf } from "#lib/errors.ts";
import { dnsUpstreams } from "./dns-upstreams.ts";
import { CliError } from "./errors.ts";
import { type EgressOptions, parseEgress } from "./egress-options.ts";
import { loadImageMaps } from "./images.ts";
import type { PublishedPort } from "./ipc.ts";
import type { LauncherConfig } from "./launcher/launcher.ts";
import { formatTarget, parsePublished } from "./launcher/publish.ts";
import { type LauncherRecord, checkClusterName, openStateDir, readRecord } from "./launcher/state-dir.ts";
import { realSystem, requireSystem } from "./preflight.ts";
import { type TracingOptions, allowTracing, parseTracing } from "./telemetry/tracing-options.ts";
import { type TimingOptions, parseTiming } from "./timing.ts";

export interface UpOptions extends TimingOptions, EgressOptions, TracingOptions {
  readonly name: string;
  readonly detach?: boolean;
  readonly nodes?: string;
  readonly publish: readonly string[];
  readonly images: readonly string[];
  readonly dnsUpstream: readonly string[];
  /** The flags that shape the cluster and were given: flag → value, as JSON. */
  readonly given: Readonly<Record<string, string>>;
  readonly output: "text" | "json";
}

/** What the launcher process is told, as one line on its standard input. */
export interface LauncherStart {
  readonly config: LauncherConfig;
  /** True: it outlives the command that started it. */
  readonly detach: boolean;
}

/** What the launcher process says, as one line on standard output, to the command that started it. */
export type LauncherReport =
  | { readonly kind: "up"; readonly record: LauncherRecord }
  | { readonly kind: "failed"; readonly message: string };

const reportBytesMax = 64 * 1024;

export interface RunningCluster {
  readonly record: LauncherRecord;
  readonly stateDir: string;
  /** Resolves with the exit status when the launcher ends; only in the foreground. */
  readonly ended: Promise<number>;
  readonly wasRunning: boolean;
}

const nodesDefault = 2;

function parseNodes(text: string | undefined): number {
  if (text === undefined) return nodesDefault;
  const nodes = Number(text);
  if (Number.isInteger(nodes) && nodes >= 1 && nodes <= 250) return nodes;
  throw new CliError("Usage", `Cannot use --nodes ${text}: wanted a whole number from 1 to 250`);
}

export async function up(options: UpOptions): Promise<void> {
  const cluster = await startCluster(options, options.publish.map(parsePublished));
  report(cluster, options);
  if (options.detach !== true && !cluster.wasRunning) process.exitCode = await cluster.ended;
}

/** Starts the cluster of `options`, or finds it running. Resolves when its API server and nodes are ready. */
export async function startCluster(options: UpOptions, published: readonly PublishedPort[]): Promise<RunningCluster> {
  const cluster = checkClusterName(options.name);
  const nodes = parseNodes(options.nodes);
  const timing = parseTiming(options);
  const tracing = parseTracing(options);
  const egress = allowTracing(parseEgress(options), tracing);
  const upstreams = dnsUpstreams(options.dnsUpstream, readResolvConf());
  const images = loadImageMaps(process.env, options.images);
  requireSystem(realSystem(process.env), (line) => process.stderr.write(`${line}\n`));
  const stateDir = openStateDir(process.env, cluster);
  const running = readRecord(stateDir);
  if (running !== undefined) {
    refuseChange(running, options, published);
    return { record: running, stateDir, ended: Promise.resolve(0), wasRunning: true };
  }
  const config: LauncherConfig = {
    cluster,
    stateDir,
    nodes,
    published,
    images,
    timing,
    egress,
    tracing,
    upstreams,
    flags: options.given,
  };
  const { child, record } = await startLauncher(config, options.detach === true);
  const ended = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
  return { record, stateDir, ended, wasRunning: false };
}

/** Empty where the host has none: then only the cluster's names resolve. */
function readResolvConf(): string {
  try {
    return readFileSync("/etc/resolv.conf", "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EACCES") return "";
    throw error;
  }
}

/** A running cluster is not changed: what is asked for and not there is refused, not passed over. */
function refuseChange(
  running: LauncherRecord,
  { name, nodes, given }: UpOptions,
  published: readonly PublishedPort[],
): void {
  const refuse = (what: string): never => {
    throw new CliError("Failed", `Cannot change cluster ${name}: ${what} (stop it first: wherry down --name ${name})`);
  };
  if (nodes !== undefined && running.nodes !== Number(nodes))
    refuse(`it runs with ${running.nodes} nodes, wanted ${nodes}`);
  const missing = published.find(
    (wanted) =>
      !running.published.some(
        (port) =>
          formatTarget(port) === formatTarget(wanted) && (wanted.hostPort === 0 || wanted.hostPort === port.hostPort),
      ),
  );
  if (missing !== undefined) {
    const { hostAddress, hostPort } = missing;
    const where = hostPort === 0 ? "a port" : `${hostAddress}:${hostPort}`;
    refuse(`it does not publish ${where} for ${formatTarget(missing)}`);
  }
  for (const [flag, value] of Object.entries(given)) {
    const before = running.flags[flag];
    if (before !== value) refuse(`it runs ${before === undefined ? "without" : "with another"} ${flag}`);
  }
}

async function startLauncher(
  config: LauncherConfig,
  detach: boolean,
): Promise<{ child: ChildProcess; record: LauncherRecord }> {
  const logFd = openSync(join(config.stateDir, "logs", "launcher.log"), "a", 0o600);
  const script = join(import.meta.dirname, "launcher", "guardian.ts");
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script], {
    detached: detach,
    cwd: "/",
    env: { ...process.env, WHERRY_CLUSTER: config.cluster },
    stdio: ["pipe", "pipe", logFd],
  });
  const { stdin, stdout } = child;
  assert(stdin !== null && stdout !== null, "the launcher's standard input and output are pipes");
  // Attached, the open pipe is our life line: the launcher ends when it closes.
  stdin.on("error", () => undefined); // A launcher that is gone is reported by its silence below.
  stdin.write(`${JSON.stringify({ config, detach } satisfies LauncherStart)}\n`);
  const outcome = await readReport(stdout, config);
  if (outcome.kind === "failed") throw new CliError("Failed", outcome.message);
  if (detach) {
    stdin.end();
    child.unref();
  }
  return { child, record: outcome.record };
}

/** The launcher's one line, or that it ended without it. */
async function readReport(pipe: Readable, { cluster, stateDir }: LauncherConfig): Promise<LauncherReport> {
  for await (const line of splitLines(pipe, reportBytesMax)) {
    pipe.destroy();
    return JSON.parse(line) as LauncherReport;
  }
  const message = `Cannot start cluster ${cluster}: the launcher ended (see: ${stateDir}/logs/launcher.log)`;
  return { kind: "failed", message };
}

function report({ record, stateDir, wasRunning }: RunningCluster, { name, output, detach }: UpOptions): void {
  if (output === "json") {
    process.stdout.write(`${JSON.stringify({ name, stateDir, ...record })}\n`);
    return;
  }
  const suffix = name === "default" ? "" : ` --name ${name}`;
  const lines = [
    `Cluster ${name} ${wasRunning ? "is already up" : "is up"}: ${record.nodes} node${record.nodes === 1 ? "" : "s"}, API on https://${record.apiAddress}`,
    ...record.published.map(
      (port) =>
        `  http://${port.hostAddress}:${port.hostPort} → ${port.kind}/${port.namespace}/${port.name}:${port.port}`,
    ),
    "Try:",
    `  ./wherry get pods -A${suffix}`,
    `  export KUBECONFIG=${stateDir}/kubeconfig`,
    detach === true || wasRunning ? `  ./wherry down${suffix}` : "Ctrl-C stops it.",
    "",
  ];
  process.stdout.write(lines.join("\n"));
}
