/**
 * Prometheus inside the cluster: the process that `wherry prometheus` starts in node1's network.
 *
 *   start message on standard input ─▶ discovery + prometheus on node1's loopback ─▶ relay of the host's port ─▶ report
 *
 * The host's listening socket is descriptor 3. Attached, it ends when standard input does; either way it ends with the
 * cluster, as everything inside does.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { get } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { HttpKubeClient } from "#api/client/http.ts";
import { splitLines } from "#api/client/lines.ts";
import { realClock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { backlogDefault } from "#lib/linux.ts";
import { addresses } from "../ipc.ts";
import { endsWithParent } from "../launcher/namespaces.ts";
import { toHTTPDiscovery } from "./config.ts";
import { createDiscovery } from "./discovery.ts";
import { createRelay } from "./relay.ts";

/** What it is told, as one line on standard input. */
export interface PrometheusStart {
  readonly stateDir: string;
  /** True: it outlives the command that started it. */
  readonly detach: boolean;
}

/** What it says, as one line on standard output. */
export type PrometheusReport = { readonly kind: "ready" } | { readonly kind: "failed"; readonly message: string };

const listenFd = 3;
const prometheusPort = 9090;
const readyMaxMs = 15_000;
const stepMs = 100;
const startBytesMax = 64 * 1024;
/** What is kept of what was scraped. */
const retention = ["--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=1GB"];

const lines = splitLines(process.stdin, startBytesMax);
const first = await lines.next();
if (first.done === true) process.exit(1);
const start = JSON.parse(first.value) as PrometheusStart;
try {
  await run(start);
  report({ kind: "ready" });
} catch (error) {
  report({ kind: "failed", message: messageOf(error) });
  process.exit(1);
}
if (!start.detach) {
  await lines.next();
  process.exit(0);
}

async function run({ stateDir }: PrometheusStart): Promise<void> {
  const discovery = createDiscovery(createClient(stateDir));
  const port = await listen(discovery);
  const config = join(stateDir, "prometheus.yaml");
  const template = join(import.meta.dirname, "..", "..", "charts", "prometheus", "prometheus.yaml");
  const text = toHTTPDiscovery(readFileSync(template, "utf8"), { file: template, base: `http://127.0.0.1:${port}` });
  writeFileSync(config, text, { mode: 0o600 });
  const child = startPrometheus(config, join(stateDir, "prometheus"));
  await whenReady(child);
  // What it scraped stays; who asked for it sees it gone, and can start it again.
  child.once("exit", () => process.exit(1));
  createRelay({ host: "127.0.0.1", port: prometheusPort }).listen({ fd: listenFd }, backlogDefault);
}

function createClient(stateDir: string): HttpKubeClient {
  const pki = (name: string): string => readFileSync(join(stateDir, "pki", name), "utf8");
  const server = `https://${addresses.control}:${addresses.apiPort}`;
  return new HttpKubeClient({ server, ca: pki("ca.crt"), cert: pki("admin.crt"), key: pki("admin.key") });
}

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

function startPrometheus(config: string, dataDir: string): ChildProcess {
  const [program = "", ...args] = [
    ...endsWithParent,
    "prometheus",
    `--config.file=${config}`,
    `--storage.tsdb.path=${dataDir}`,
    `--web.listen-address=127.0.0.1:${prometheusPort}`,
    "--enable-feature=exemplar-storage",
    ...retention,
  ];
  // Its log goes where ours does.
  return spawn(program, args, { stdio: ["ignore", process.stderr.fd, process.stderr.fd] });
}

/** Waits until it answers; fails when it ends first. */
async function whenReady(child: ChildProcess): Promise<void> {
  for (const untilMs = realClock.monotonicMs() + readyMaxMs; realClock.monotonicMs() < untilMs;) {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`Cannot start Prometheus: it ended with ${child.exitCode ?? child.signalCode ?? "a failure"}`);
    if (await answers()) return;
    await realClock.sleep(stepMs);
  }
  throw new Error(`Cannot start Prometheus: not ready within ${readyMaxMs / 1000} s`);
}

function answers(): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = get({ host: "127.0.0.1", port: prometheusPort, path: "/-/ready", agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    sent.on("error", () => resolve(false));
  });
}

function report(message: PrometheusReport): void {
  writeSync(process.stdout.fd, `${JSON.stringify(message)}\n`);
}
