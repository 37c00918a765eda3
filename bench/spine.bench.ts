/**
 * How long does a start take, how much memory does the demo hold, what do two sidecars add to a request, and how soon
 * does an endpoint leave?
 *
 * Start: wall time of the command, from nothing, median of three. Memory: PSS of every process of Wherry's own (not the demo's
 * programs). Latency: wrk inside the cluster, one connection, from a pod with a sidecar to one with a sidecar, and
 * the same between pods without, in the same run.
 */
import type { KubeClient } from "#api/client/client.ts";
import { pods } from "#api/core/pod.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { type TestCluster, createTestCluster } from "../test/e2e/cluster.ts";
import { watchLeaving } from "../test/e2e/leaving.ts";
import { type ProcessInfo, clusterProcesses, findNode } from "../test/e2e/processes.ts";
import { type Measured, median } from "./measured.ts";
import { pssOf } from "./memory.ts";
import { ticksOf, ticksPerSecond } from "./ticks.ts";

const seconds = 4;
/** Measurements of each path, in turn; the median counts. */
const rounds = 5;
const gateway = "0=gateway/default/bookinfo-gateway:80";

export async function run(): Promise<readonly Measured[]> {
  const upMs: number[] = [];
  for (let time = 0; time < 3; time += 1) {
    await using cluster = createTestCluster();
    upMs.push(await timed(() => cluster.run("up", "--detach")));
  }
  await using cluster = createTestCluster();
  const demoMs = await timed(() => cluster.run("demo", "--detach", "-p", gateway));
  const pss = pssBytes(cluster.name);
  return [
    {
      question: "`wherry up` to a ready API and two ready nodes",
      measured: `${(median(upMs) / 1000).toFixed(2)} s`,
      budget: "≤ 2 s",
    },
    {
      question: "`wherry demo` to whole pages through sidecars",
      measured: `${(demoMs / 1000).toFixed(2)} s`,
      budget: "≤ 10 s",
    },
    {
      question: "memory of the 2-node demo, sum of Wherry's PSS",
      measured: `${Math.round(pss / 1e6)} MB`,
      budget: "≤ 350 MB",
    },
    ...(await measureLatency(cluster)),
    ...(await measureLeaving(cluster)),
    await measureIdle(cluster),
  ];
}

/** How long an endpoint stays in its slice once its pod goes: its process killed, or the pod deleted. The slowest counts. */
async function measureLeaving(cluster: TestCluster): Promise<readonly Measured[]> {
  const client = cluster.connect();
  const killedMs: number[] = [];
  const deletedMs: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const [pod] = await readyReviews(client);
    const target = findNode(cluster.name, "reviews.ts", ({ env }) => env["HOSTNAME"] === pod.name);
    if (target === undefined) throw new Error(`no process of ${pod.name}`);
    const afterKill = watchLeaving(cluster, "reviews", pod.address);
    process.kill(target.pid, "SIGKILL");
    killedMs.push((await afterKill).ms);
    await readyReviews(client); // Back, once its program runs again; a pod that is killed twice waits longer.
    const afterDelete = watchLeaving(cluster, "reviews", pod.address);
    await client.delete(pods, { namespace: "default", name: pod.name });
    deletedMs.push((await afterDelete).ms);
  }
  await client.close();
  const line = (what: string, foundMs: readonly number[]): Measured => ({
    question: `an endpoint leaves after its ${what}, the slowest of ${rounds}`,
    measured: `${Math.round(Math.max(...foundMs))} ms`,
    budget: "≤ 1000 ms",
  });
  return [line("process was killed", killedMs), line("pod was deleted", deletedMs)];
}

interface ReadyPod {
  readonly name: string;
  readonly address: string;
}

/** The pods of reviews once all three are endpoints, and their programs' restarts are behind them. */
async function readyReviews(client: KubeClient): Promise<readonly [ReadyPod, ...ReadyPod[]]> {
  for (;;) {
    const { items } = await client.list(endpointSlices, {
      namespace: "default",
      labelSelector: "kubernetes.io/service-name=reviews",
    });
    const ready = items
      .flatMap(({ endpoints }) => endpoints)
      .filter(({ conditions }) => conditions?.ready === true)
      .map(({ targetRef, addresses }) => ({ name: targetRef?.name ?? "", address: addresses[0] ?? "" }));
    const [first, ...others] = ready;
    if (first !== undefined && others.length === 2) return [first, ...others];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const idleSeconds = 20;
/** CPU of Wherry's own processes while nobody sends requests: probes, leases, heartbeats. */
async function measureIdle(cluster: TestCluster): Promise<Measured> {
  await cluster.run("delete", "deploy", "load");
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const before = cpuTicks(cluster.name);
  await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1000));
  const percent = ((cpuTicks(cluster.name) - before) / ticksPerSecond / idleSeconds) * 100;
  return {
    question: "CPU of the 2-node demo without load, of one core",
    measured: `${percent.toFixed(1)} %`,
    budget: "≤ 2 %",
  };
}

/** User and system time of Wherry's own processes. */
function cpuTicks(cluster: string): number {
  return ownProcesses(cluster).reduce((sum, { pid }) => sum + ticksOf(pid), 0);
}

async function timed(action: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await action();
  return performance.now() - startMs;
}

/** Wherry's own processes, guardian and namespaces' init included. */
function ownProcesses(cluster: string): ProcessInfo[] {
  return clusterProcesses(cluster).filter(
    ({ command }) => !command.some((word) => /^(productpage|details|ratings|reviews|load)\.ts$/.test(word)),
  );
}

function pssBytes(cluster: string): number {
  return ownProcesses(cluster).reduce((sum, { pid }) => sum + pssOf(pid), 0);
}

interface Latency {
  readonly p50Us: number;
  readonly p99Us: number;
}

async function measureLatency(cluster: TestCluster): Promise<readonly Measured[]> {
  const pods = JSON.parse(await cluster.run("get", "pods", "-o", "json")) as {
    items: { metadata: { name: string; labels: Record<string, string> } }[];
  };
  const podOf = (app: string): string =>
    pods.items.find(({ metadata }) => metadata.labels["app"] === app)?.metadata.name ?? "";
  // The same program, once from the pod's own loopback and once through two sidecars; wrk runs in the pod's network.
  const direct: Latency[] = [];
  const meshed: Latency[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const near = await wrk(cluster, podOf("details"), "http://127.0.0.1:9080/details/0");
    const far = await wrk(cluster, podOf("productpage"), "http://details:9080/details/0");
    if (near === undefined || far === undefined) {
      process.stderr.write("SKIP latency: wrk is not installed (run: apt-get install -y wrk)\n");
      return [];
    }
    direct.push(near);
    meshed.push(far);
  }
  const added = (of: (latency: Latency) => number): string =>
    `${((median(meshed.map(of)) - median(direct.map(of))) / 1000).toFixed(2)} ms`;
  return [
    {
      question: "added by two sidecars and the network between two nodes, p50",
      measured: added(({ p50Us }) => p50Us),
      budget: "",
    },
    { question: "the same, p99", measured: added(({ p99Us }) => p99Us), budget: "" },
  ];
}

/** One connection, one request at a time; undefined without wrk. */
async function wrk(cluster: TestCluster, pod: string, url: string): Promise<Latency | undefined> {
  const { stdout, status } = await cluster.attempt(
    "sh",
    "--pod",
    pod,
    "--",
    "wrk",
    "-t1",
    "-c1",
    `-d${seconds}s`,
    "--latency",
    url,
  );
  if (status === 127) return undefined;
  const number = (pattern: RegExp): number => {
    const [, value = "0", unit = ""] = pattern.exec(stdout) ?? [];
    return Number(value) * ({ us: 1, ms: 1000, s: 1_000_000 }[unit] ?? 1);
  };
  return {
    p50Us: number(/50%\s+([\d.]+)(us|ms|s)/),
    p99Us: number(/99%\s+([\d.]+)(us|ms|s)/),
  };
}
