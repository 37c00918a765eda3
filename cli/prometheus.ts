/**
 * `wherry prometheus`: Debian's Prometheus in the cluster's network, on a port of the host. It finds everything by itself
 * (charts/prometheus/prometheus.yaml) and keeps what it scraped in the state folder.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { splitLines } from "#api/client/lines.ts";
import { assert } from "#lib/assert.ts";
import { messageOf } from "#lib/errors.ts";
import { LinuxError, listenTCP, localAddress } from "#lib/linux.ts";
import { CliError } from "./errors.ts";
import { endsWithParent, enterCommand } from "./launcher/namespaces.ts";
import { requireRunning } from "./launcher/state-dir.ts";
import { realSystem } from "./preflight.ts";
import type { PrometheusReport, PrometheusStart } from "./telemetry/prometheus-main.ts";

export interface PrometheusOptions {
  readonly name: string;
  /** Of the host's loopback; 0: the system chooses. Default 9090. */
  readonly port?: string;
  readonly detach?: boolean;
  readonly output: "text" | "json";
}

/** Who runs it now, in `<state>/prometheus.json`. */
interface PrometheusRecord {
  /** Of the cluster it is in: another one's is stale. */
  readonly initPid: number;
  readonly url: string;
}

const portDefault = 9090;
const reportBytesMax = 64 * 1024;
/** Longest time for a running one to answer, in ms. */
const probeMs = 2000;
/** Of its log, when it fails: the last lines have the reason. */
const tailBytes = 64 * 1024;

export async function prometheus(options: PrometheusOptions): Promise<void> {
  const port = parsePort(options.port);
  const { dir, record } = requireRunning(process.env, options.name);
  if (!realSystem(process.env).has("prometheus")) {
    const hint =
      "run: sudo apt-get install --no-install-recommends prometheus; then, if its own service took port 9090: --port 9091";
    throw new CliError("Failed", `Cannot start Prometheus: there is no program prometheus (${hint})`);
  }
  const running = await findRunning(dir, record.initPid);
  if (running !== undefined) return report(options, running, dir, true);
  const fd = bind(port);
  const url = `http://127.0.0.1:${localAddress(fd).port}`;
  const child = await startInside(record.initPid, dir, fd, options.detach === true);
  writeFileSync(recordFile(dir), JSON.stringify({ initPid: record.initPid, url } satisfies PrometheusRecord));
  report(options, url, dir, false);
  if (options.detach === true) return;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.stdin?.end());
  await new Promise((resolve) => child.once("exit", resolve));
  rmSync(recordFile(dir), { force: true });
}

function parsePort(text: string | undefined): number {
  if (text === undefined) return portDefault;
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new CliError("Usage", `Cannot use --port ${text}: wanted 1 to 65535, or 0 for one that the system chooses`);
}

const recordFile = (dir: string): string => join(dir, "prometheus.json");
const logFile = (dir: string): string => join(dir, "logs", "prometheus.log");

/** Where the one of this cluster answers, if it does. */
async function findRunning(dir: string, initPid: number): Promise<string | undefined> {
  let record: PrometheusRecord;
  try {
    record = JSON.parse(readFileSync(recordFile(dir), "utf8")) as PrometheusRecord;
  } catch {
    return undefined; // None was started, or it was cut off while writing: either way there is none to find.
  }
  return record.initPid === initPid && (await answers(record.url)) ? record.url : undefined;
}

function answers(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = get(`${url}/-/ready`, { agent: false, timeout: probeMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => resolve(false));
  });
}

function bind(port: number): number {
  try {
    return listenTCP({ address: "127.0.0.1", port });
  } catch (error) {
    const why =
      error instanceof LinuxError && error.code === "EADDRINUSE" ? "another program listens there" : messageOf(error);
    throw new CliError("Failed", `Cannot publish Prometheus on 127.0.0.1:${port}: ${why} (take another: --port 0)`);
  }
}

/** Resolves when it is ready. The child is what entered the cluster; the host's socket is its descriptor 3. */
async function startInside(initPid: number, stateDir: string, fd: number, detach: boolean): Promise<ChildProcess> {
  mkdirSync(join(stateDir, "prometheus"), { recursive: true, mode: 0o700 });
  const logFd = openSync(logFile(stateDir), "a", 0o600);
  const logStart = statSync(logFile(stateDir)).size;
  const script = join(import.meta.dirname, "telemetry", "prometheus-main.ts");
  const node = [...endsWithParent, process.execPath, "--disable-warning=ExperimentalWarning", script];
  const [program = "", ...args] = enterCommand(initPid, "node1", node);
  const child = spawn(program, args, { cwd: "/", detached: detach, stdio: ["pipe", "pipe", logFd, fd] });
  const { stdin, stdout } = child;
  assert(stdin !== null && stdout !== null, "its standard input and output are pipes");
  // One that is gone is reported by its silence below.
  stdin.on("error", () => undefined);
  stdin.write(`${JSON.stringify({ stateDir, detach } satisfies PrometheusStart)}\n`);
  const outcome = await readReport(stdout);
  if (outcome.kind === "failed") {
    const said = lastError(stateDir, logStart);
    throw new CliError("Failed", `${outcome.message}${said === "" ? "" : `: ${said}`} (see: ${logFile(stateDir)})`);
  }
  if (detach) {
    stdin.end();
    child.unref();
  }
  return child;
}

async function readReport(pipe: Readable): Promise<PrometheusReport> {
  for await (const line of splitLines(pipe, reportBytesMax)) {
    pipe.destroy();
    return JSON.parse(line) as PrometheusReport;
  }
  return { kind: "failed", message: "Cannot start Prometheus: it ended" };
}

/** What it said last when it failed: logfmt's `err="…"`. */
function lastError(stateDir: string, from: number): string {
  const text = readFileSync(logFile(stateDir)).subarray(from).subarray(-tailBytes).toString();
  return [...text.matchAll(/\berr="((?:[^"\\]|\\.)*)"/g)].at(-1)?.[1] ?? "";
}

function report({ name, output, detach }: PrometheusOptions, url: string, stateDir: string, wasRunning: boolean): void {
  if (output === "json") {
    process.stdout.write(`${JSON.stringify({ name, url, dataDir: join(stateDir, "prometheus"), wasRunning })}\n`);
    return;
  }
  const lines = [
    `Prometheus of cluster ${name} ${wasRunning ? "runs already" : "is up"}: ${url}`,
    `  data in ${join(stateDir, "prometheus")}; dashboards for Grafana in charts/grafana/`,
    wasRunning || detach === true ? "It ends with the cluster." : "Ctrl-C stops it.",
    "",
  ];
  process.stdout.write(lines.join("\n"));
}
