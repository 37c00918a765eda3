/**
 * What do one and two sidecars add to a request, at half of the load that two of them carry? And what do sidecars pay
 * for tracing when no request is sampled?
 */
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type TestCluster, createTestCluster } from "../test/e2e/cluster.ts";
import { clusterProcesses } from "../test/e2e/processes.ts";
import { type Measured, median } from "./measured.ts";
import { ticksOf } from "./ticks.ts";

const seconds = 6;
const rounds = 3;
/** Of the comparison with tracing: many short ones in turns, the first ones of which warm up. */
const costRounds = 30;
const costWarmUpRounds = 6;
const costSeconds = 3;
const script = join(import.meta.dirname, "latency-load.ts");
const program = "require('http').createServer((q, s) => s.end('x'.repeat(1024))).listen(80)";

const pod = (name: string, hasSidecar: boolean, command: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}, sidecar.istio.io/inject: "${hasSidecar}"}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: wherry.dev/pause${command}}]
---
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: ${name}}, ports: [{name: http, port: 80}]}
`;

const manifest = [
  pod("client-plain", false, ""),
  pod("client-meshed", true, ""),
  pod("server-plain", false, `, command: [node, -e, "${program}"], readinessProbe: {tcpSocket: {port: 80}}`),
  pod("server-meshed", true, `, command: [node, -e, "${program}"], readinessProbe: {tcpSocket: {port: 80}}`),
].join("---");

const paths = [
  ["no sidecar", "client-plain", "server-plain"],
  ["one sidecar, the client's", "client-meshed", "server-plain"],
  ["one sidecar, the server's", "client-plain", "server-meshed"],
  ["two sidecars", "client-meshed", "server-meshed"],
] as const;

interface Times {
  readonly p50: number;
  readonly p99: number;
}

export async function run(): Promise<readonly Measured[]> {
  const sink = createServer((incoming, outgoing) => {
    incoming.resume();
    incoming.on("end", () => outgoing.end("{}"));
  });
  await new Promise<void>((resolve) => sink.listen({ host: "127.0.0.1", port: 0 }, resolve));
  const endpoint = `http://127.0.0.1:${(sink.address() as AddressInfo).port}`;
  try {
    await using plain = createTestCluster();
    await using traced = createTestCluster();
    await start(plain);
    await start(traced, "--otlp-endpoint", endpoint, "--trace-sampling", "0");
    // First the cost, for which both must have served as much as the other: code warms up for a minute.
    const cost = await tracingCost(plain, traced);
    return [...(await latencies(plain)), cost];
  } finally {
    sink.close();
  }
}

async function start(cluster: TestCluster, ...flags: readonly string[]): Promise<void> {
  await cluster.run("up", "--detach", "--nodes", "1", ...flags);
  const file = join(cluster.stateHome, "pods.yaml");
  writeFileSync(file, manifest);
  await cluster.run("apply", "-f", file);
  for (const [, from, to] of paths) await untilServed(cluster, from, to);
}

async function untilServed(cluster: TestCluster, from: string, to: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const { status } = await cluster.attempt(
      "sh",
      "--pod",
      from,
      "--",
      "curl",
      "-sf",
      "-o",
      "/dev/null",
      `http://${to}/`,
    );
    if (status === 0) return;
  }
  throw new Error(`Cannot start: ${to} never answered ${from}`);
}

async function load<Result>(cluster: TestCluster, from: string, to: string, ...mode: string[]): Promise<Result> {
  const command = [process.execPath, script, `http://${to}/`, ...mode];
  return JSON.parse(await cluster.run("sh", "--pod", from, "--", ...command)) as Result;
}

async function latencies(cluster: TestCluster): Promise<readonly Measured[]> {
  const full = await load<{ rate: number }>(cluster, "client-meshed", "server-meshed", "closed", String(seconds));
  const rate = String(Math.round(full.rate / 2));
  const found = new Map<string, Times[]>(paths.map(([what]) => [what, []]));
  // In turns, so that what the machine does meanwhile is shared.
  for (let round = 0; round < rounds; round++)
    for (const [what, from, to] of paths)
      found.get(what)?.push(await load<Times>(cluster, from, to, "open", String(seconds), rate));
  const of = (what: string, key: keyof Times): number => median((found.get(what) ?? []).map((times) => times[key]));
  return paths.map(([what], at) => {
    const [p50, p99] = [of(what, "p50"), of(what, "p99")];
    const added = [p50 - of(paths[0][0], "p50"), p99 - of(paths[0][0], "p99")].map((ms) => ms.toFixed(2));
    const sums = at === 0 ? "" : `; added ${added[0] ?? ""} ms, ${added[1] ?? ""} ms`;
    return {
      question: `1 KB by ${what} at ${rate} requests/s, half of what two sidecars carry: p50, p99`,
      measured: `${p50.toFixed(2)} ms, ${p99.toFixed(2)} ms${sums}`,
      budget: "",
    };
  });
}

/**
 * CPU of the sidecars' process a request, without tracing and with tracing that samples nothing, in turns. Two clusters
 * without tracing differ by 2 % here.
 */
async function tracingCost(plain: TestCluster, traced: TestCluster): Promise<Measured> {
  const costs: readonly [number[], number[]] = [[], []];
  for (let round = 0; round < costRounds; round++)
    for (const [at, cluster] of [plain, traced].entries()) {
      const before = sidecarTicks(cluster.name);
      const { rate } = await load<{ rate: number }>(
        cluster,
        "client-meshed",
        "server-meshed",
        "closed",
        String(costSeconds),
      );
      if (round >= costWarmUpRounds) costs[at]?.push((sidecarTicks(cluster.name) - before) / (rate * costSeconds));
    }
  const percent = (median(costs[1]) / median(costs[0]) - 1) * 100;
  return {
    question: "CPU of sidecars a request with tracing on and nothing sampled, over tracing off",
    measured: `${percent > 0 ? "+" : ""}${percent.toFixed(1)} %`,
    budget: "≤ 3 %",
  };
}

function sidecarTicks(cluster: string): number {
  const hosts = clusterProcesses(cluster).filter(({ command }) =>
    command.some((word) => word.endsWith("sidecar-host.ts")),
  );
  return hosts.reduce((sum, { pid }) => sum + ticksOf(pid), 0);
}
