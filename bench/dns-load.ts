/**
 * What the DNS benches share: servers pinned to one core, dnsperf on the other.
 *
 *   startOurs, startForeign ─▶ port ─▶ load() ─▶ queries a second, latency
 *
 * Our server runs as `wherry` runs it: with compiled code kept, so that no compiler stays in its memory.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** Names in every list of queries. */
export const nameCount = 1000;
const secondsDefault = 5;
const pacedRounds = 7;
const execute = promisify(execFile);
const root: string = join(import.meta.dirname, "..");

/** What dnsperf measured. */
export interface Load {
  readonly qps: number;
  readonly averageMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
  /** CPU time of the server for one query, in µs: what others do on the machine changes it least. */
  readonly cpuMicros: number;
  /** Answers that were neither NOERROR nor NXDOMAIN. */
  readonly failed: number;
}

export interface LoadOptions {
  readonly port: number;
  /** The server's process. */
  readonly pid: number | undefined;
  /** Lines of `name TYPE`. */
  readonly file: string;
  /** Default: as many as it takes. */
  readonly qps?: number;
  /** Default 5. */
  readonly seconds?: number;
  /** Reports each answer, for `p99Ms`; costs dnsperf some of its speed. */
  readonly isVerbose?: boolean;
}

export function isInstalled(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
}

/** One dnsperf run from the second core. */
export async function load({
  port,
  pid,
  file,
  qps,
  seconds = secondsDefault,
  isVerbose = false,
}: LoadOptions): Promise<Load> {
  const fixed = ["-s", "127.0.0.1", "-p", String(port), "-d", file, "-l", String(seconds), "-c", "8", "-q", "200"];
  const limit = qps === undefined ? [] : ["-Q", String(Math.floor(qps))];
  const args = ["-c", "1", "dnsperf", ...fixed, ...limit, ...(isVerbose ? ["-v"] : [])];
  const before = cpuSeconds(pid);
  const { stdout } = await execute("taskset", args, { timeout: 120_000, maxBuffer: 2 ** 28 });
  const usedSeconds = cpuSeconds(pid) - before;
  const field = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  const latencies = isVerbose
    ? [...stdout.matchAll(/^> [A-Z]+ \S+ \S+ ([0-9.]+)$/gm)].map(([, text]) => Number(text) * 1000)
    : [];
  latencies.sort((a, b) => a - b);
  const codes = [...(/^.*Response codes:\s+(.*)$/m.exec(stdout)?.[1]?.matchAll(/([A-Z]+) ([0-9]+)/g) ?? [])];
  const failed = codes.filter(([, name]) => name !== "NOERROR" && name !== "NXDOMAIN");
  return {
    qps: field(/Queries per second:\s+([0-9.]+)/),
    averageMs: field(/Average Latency \(s\):\s+([0-9.]+)/) * 1000,
    p50Ms: latencies[Math.floor(latencies.length / 2)] ?? Number.NaN,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
    lost: field(/Queries lost:\s+([0-9]+)/),
    cpuMicros: (usedSeconds * 1e6) / field(/Queries completed:\s+([0-9]+)/),
    failed: failed.reduce((sum, [, , times]) => sum + Number(times), 0),
  };
}

/** The fastest of three runs, after one that warms up: what other programs take of the core is not the server's. */
export async function loadMost(options: LoadOptions): Promise<Load> {
  await load(options);
  const runs: Load[] = [];
  for (let run = 0; run < 3; run++) runs.push(await load({ ...options, seconds: 3 }));
  const [fastest] = runs.sort((a, b) => b.qps - a.qps);
  if (fastest === undefined) throw new Error("Cannot bench: nothing was run");
  return fastest;
}

/**
 * The round with the lowest p99 of several short ones at a fixed rate: what other programs on the machine add to the
 * rest is not the server's.
 */
export async function loadPaced(options: LoadOptions & { readonly qps: number }): Promise<Load> {
  const rounds: Load[] = [];
  for (let round = 0; round < pacedRounds; round++)
    rounds.push(await load({ ...options, seconds: 1, isVerbose: true }));
  const [quietest] = rounds.sort((a, b) => a.p99Ms - b.p99Ms);
  if (quietest === undefined) throw new Error("Cannot bench: no round was run");
  return quietest;
}

/** User and system time of a process (proc(5)), in s. */
function cpuSeconds(pid: number | undefined): number {
  const [, fields = ""] = readFileSync(`/proc/${pid ?? 0}/stat`, "utf8").split(") ");
  const [user, system] = fields.split(" ").slice(11, 13).map(Number);
  // The kernel counts in hundredths, whatever its own ticks.
  return ((user ?? 0) + (system ?? 0)) / 100;
}

export async function freePort(): Promise<number> {
  const server = createServer().listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function pinned(command: string, args: readonly string[]): ChildProcess {
  const env = { NODE_COMPILE_CACHE: join(root, "build", "compile-cache"), ...process.env };
  return spawn("taskset", ["-c", "0", command, ...args], { stdio: ["pipe", "pipe", "ignore"], env });
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Waits until the server answers. */
export async function whenUp(port: number): Promise<void> {
  const at = ["@127.0.0.1", "-p", String(port), "+time=1", "+tries=1", "+short"];
  for (let attempt = 0; attempt < 100; attempt++) {
    const asked = spawnSync("dig", [...at, "svc1.default.svc.cluster.local"]);
    if (asked.status === 0 && asked.stdout.toString("utf8").startsWith("10.96.")) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("Cannot bench: the server never answered");
}

/** The clusterIP of the Service with this index. */
export function addressOf(index: number): string {
  return `10.96.${(index >> 8) & 255}.${index & 255}`;
}

export interface OurServer {
  readonly child: ChildProcess;
  readonly port: number;
  /** Sends a line (dns-server.ts); the number that comes back. Lines are answered in order. */
  readonly ask: (line: string) => Promise<number>;
}

/** The resolver of a node with `count` Services, and an upstream for other names. */
export async function startOurs(count: number, upstream?: string): Promise<OurServer> {
  const args = [
    join(import.meta.dirname, "dns-server.ts"),
    String(count),
    ...(upstream === undefined ? [] : [upstream]),
  ];
  // The flag that the launcher gives to node agents.
  const child = pinned(process.execPath, ["--max-semi-space-size=2", ...args]);
  if (child.stdout === null || child.stdin === null) throw new Error("Cannot bench: the server has no pipes");
  const { stdin } = child;
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async (): Promise<Readonly<Record<string, number>>> =>
    JSON.parse(String((await lines.next()).value)) as Readonly<Record<string, number>>;
  const { port = 0 } = await read();
  const ask = async (line: string): Promise<number> => {
    stdin.write(`${line}\n`);
    return Object.values(await read())[0] ?? 0;
  };
  return { child, port, ask };
}

/** Starts and ends our server once: what that compiled is kept, as after an installation. */
export async function warmUp(): Promise<void> {
  const { child } = await startOurs(1);
  const exit = once(child, "exit");
  child.stdin?.end();
  await exit;
}

export interface Foreign {
  /** A program in the path, or a path. */
  readonly command: string;
  readonly port: number;
  readonly args: readonly string[];
  readonly file: string;
  /** Of a further run, whose answers are reported one by one. */
  readonly pacedQPS?: number;
}

/** What another server does under the same load. */
export interface ForeignLoad {
  readonly most: Load;
  readonly paced: Load | undefined;
}

/** Undefined, and said, when it is not installed. */
export async function loadForeign({ command, port, args, file, pacedQPS }: Foreign): Promise<ForeignLoad | undefined> {
  if (!isInstalled(command)) {
    process.stderr.write(`SKIP ${command}: it is not installed\n`);
    return undefined;
  }
  const child = pinned(command, args);
  try {
    await whenUp(port);
    const { pid } = child;
    const most = await loadMost({ port, pid, file });
    const paced = pacedQPS === undefined ? undefined : await loadPaced({ port, pid, file, qps: pacedQPS });
    return { most, paced };
  } finally {
    await stop(child);
  }
}
