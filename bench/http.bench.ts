/**
 * What does a request through the HTTP engine cost, beside nginx, HAProxy, Envoy and http-proxy with the same job?
 *
 * One core for the proxy, another one for the load and the upstream (nginx); wrk for HTTP/1.1, h2load for HTTP/2. CPU
 * is the proxy's own user and system time by /proc, over the requests of the run. Those that the budgets name are
 * measured in turns, row by row, so that what else the machine does meets all of them alike: measured one behind the
 * other, minutes apart, the same proxy differed by a half. What counts is the ratio within a turn, and of those the
 * median: with three turns on a busy machine the same code was anything from 1.24 to 1.74 times its rival, with seven
 * from 1.38 to 1.56, and with a thousand new TLS connections a run from 1.19 to 1.91. So short requests have fifteen
 * turns, of one second with few connections and of two with a thousand, the others seven of three. Each is
 * warm: ten seconds at the start, for what is compiled as it runs, three before a row, and one before each run, since
 * who waited for its turn has given memory back. Then what a filter module adds, and how late the slowest of a hundred
 * is with half of the requests a second that Wherry answers at most. Bounded: WHERRY_BENCH_SECONDS (3) a run.
 */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "../proxy/l7/tls/fixture.ts";
import { type Paths, type Running, contestants, start, startUpstream, withFilter } from "./http-servers.ts";
import { type Measured, median } from "./measured.ts";

const seconds = Number(process.env["WHERRY_BENCH_SECONDS"] ?? 3);
const startSeconds = 10;
const warmSeconds = 3;
const runInSeconds = 1;
/** Of CPU the median counts, of latency the quietest: what disturbs is the machine. */
const cpuTurns = 7;
const shortTurns = 15;
const shortSeconds = 1;
const manySeconds = 2;
const otherTurns = 3;
/** Runs of `runInSeconds` that the rate for the latency is taken from. */
const rateRuns = 9;

interface Row {
  readonly name: string;
  readonly file: string;
  readonly connections: number;
  readonly protocol: "http1" | "http2";
  readonly isTLS: boolean;
  readonly turns: number;
  /** Of a run. */
  readonly seconds: number;
}

/** Those of the budgets; the others are for comparison. */
const rivals: ReadonlySet<string> = new Set(["HAProxy", "Envoy", "Wherry"]);
const row = (file: string, connections: number, isTLS = false, protocol: Row["protocol"] = "http1"): Row => ({
  name: `${protocol === "http1" ? "HTTP/1.1" : "HTTP/2"}${isTLS ? " over TLS" : ""}, ${file}, ${connections} connections`,
  file,
  connections,
  protocol,
  isTLS,
  ...(file === "1k"
    ? { turns: shortTurns, seconds: connections < 100 ? shortSeconds : manySeconds }
    : { turns: cpuTurns, seconds }),
});

const rows: readonly Row[] = [
  row("1k", 32),
  row("1k", 1000),
  row("100k", 32),
  row("100k", 1000),
  row("10m", 32),
  row("1k", 32, true),
  row("1k", 1000, true),
  row("100k", 32, true),
  row("1k", 32, false, "http2"),
  row("1k", 32, true, "http2"),
];

export async function run(): Promise<readonly Measured[]> {
  const missing = ["wrk", "h2load", "nginx", "taskset"].filter((tool) => !isInstalled(tool));
  if (missing.length > 0) {
    process.stderr.write(
      `SKIP http: ${missing.join(", ")} not installed (apt-get install -y wrk nghttp2-client nginx)\n`,
    );
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "wherry-bench-"));
  // nginx serves it as another user.
  chmodSync(folder, 0o755);
  try {
    const paths = await certificates(folder);
    await using upstream = await startUpstream(paths, { "1k": 1024, "100k": 102_400, "10m": 10_485_760 });
    const cpu = await compareCosts(upstream, paths);
    return [...cpu, await filterCost(upstream, paths), await compareLatency(upstream, paths)];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of each row, in turns. */
async function compareCosts(upstream: Running, paths: Paths): Promise<readonly Measured[]> {
  await using started = new AsyncDisposableStack();
  const running = new Map<string, Running>();
  for (const contestant of contestants) {
    if (contestant.command === undefined) process.stderr.write(`SKIP ${contestant.name}: not installed\n`);
    else running.set(contestant.name, started.use(await start(contestant, upstream.port, paths)));
  }
  for (const proxy of running.values()) load(rows[0]!, proxy, startSeconds);
  return rows.map((one) => {
    const costs = new Map<string, Cost[]>([...running.keys()].map((name) => [name, []]));
    for (const proxy of running.values()) load(one, proxy, warmSeconds);
    for (let turn = 0; turn < one.turns; turn++)
      for (const [name, proxy] of running) {
        if (turn > 0 && !rivals.has(name)) continue;
        load(one, proxy, runInSeconds);
        costs.get(name)?.push(costOf(one, proxy));
      }
    const measured = [...[...costs].map(([name, all]) => `${name} ${shown(all)}`), ...ratios(costs)].join(", ");
    process.stderr.write(`${one.name}: ${measured}\n`);
    return {
      question: `CPU of a request: ${one.name}`,
      measured,
      budget: one.protocol === "http2" ? "< Envoy" : "≤ 1.5 × HAProxy and < Envoy",
    };
  });
}

/** Of one filter module, which changes both heads: without and with it in turns. */
async function filterCost(upstream: Running, paths: Paths): Promise<Measured> {
  const [row] = rows;
  const plain = contestants.find(({ name }) => name === "Wherry");
  if (row === undefined || plain === undefined) throw new Error("Cannot compare: there is no Wherry");
  await using without = await start(plain, upstream.port, paths);
  await using filtered = await start(withFilter, upstream.port, paths);
  for (const running of [without, filtered]) load(row, running, warmSeconds);
  const rounds = Array.from({ length: otherTurns }, () =>
    [without, filtered].map((one) => costOf({ ...row, seconds }, one).micros),
  );
  const [before = 0, after = 0] = [0, 1].map((at) => median(rounds.map((round) => round[at] ?? 0)));
  return {
    question: `CPU of a filter module that sets a header of each head: ${row.name}`,
    measured: `${(after - before).toFixed(1)} µs (${before.toFixed(1)} µs without)`,
    budget: "",
  };
}

async function compareLatency(upstream: Running, paths: Paths): Promise<Measured> {
  const [row] = rows;
  const compared = contestants.filter(({ name, command }) => rivals.has(name) && command !== undefined);
  const own = compared.find(({ name }) => name === "Wherry");
  if (row === undefined || own === undefined) throw new Error("Cannot compare: there is no Wherry");
  let perSecond = 0;
  {
    await using running = await start(own, upstream.port, paths);
    load(row, running, warmSeconds);
    // A machine that stands still for a while must not set the rate.
    const rates = Array.from({ length: rateRuns }, () => load(row, running, runInSeconds) / runInSeconds);
    perSecond = Math.round(median(rates) / 2);
  }
  await using started = new AsyncDisposableStack();
  const running = new Map<string, Running>();
  for (const one of compared) running.set(one.name, started.use(await start(one, upstream.port, paths)));
  for (const proxy of running.values()) load(row, proxy, warmSeconds);
  const times = new Map<string, number[]>([...running.keys()].map((name) => [name, []]));
  for (let turn = 0; turn < otherTurns; turn++)
    for (const [name, proxy] of running)
      times.get(name)?.push(slowest(row, proxy, { perSecond, folder: paths.folder }));
  const measured = [...times].map(([name, tries]) => `${name} ${(Math.min(...tries) / 1000).toFixed(2)} ms`);
  return {
    question: `p99 at ${perSecond} requests/s: ${row.name}`,
    measured: measured.join(", "),
    budget: "≤ 1.5 × HAProxy",
  };
}

/** The time that 99 of 100 requests do not exceed, in µs, at a steady rate. */
function slowest(
  { file, connections }: Row,
  { port }: Running,
  { perSecond, folder }: { readonly perSecond: number; readonly folder: string },
): number {
  const log = join(folder, "times.tsv");
  rmSync(log, { force: true });
  const pace = [`--rps=${Math.ceil(perSecond / connections)}`, `-D${seconds}`, `--log-file=${log}`];
  const args = ["-c", "1", "h2load", "--h1", "-t1", `-c${connections}`, ...pace, `http://127.0.0.1:${port}/${file}`];
  execFileSync("taskset", args, { stdio: "ignore" });
  const lines = readFileSync(log, "utf8").trim().split("\n");
  const times = lines.map((line) => Number(line.split("\t")[2])).sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] ?? Infinity;
}

interface Cost {
  /** CPU of a request, in µs. */
  readonly micros: number;
  readonly perSecond: number;
}

/** In µs, with requests a second in brackets. */
function shown(costs: readonly Cost[]): string {
  if (costs.some(({ perSecond }) => perSecond === 0)) return "failed";
  const micros = median(costs.map((cost) => cost.micros));
  return `${micros.toFixed(1)} µs (${Math.round(median(costs.map((cost) => cost.perSecond)))}/s)`;
}

/** Of Wherry to each of its rivals, turn by turn: the median. */
function ratios(costs: ReadonlyMap<string, readonly Cost[]>): readonly string[] {
  const own = costs.get("Wherry") ?? [];
  return [...costs]
    .filter(([name, all]) => name !== "Wherry" && rivals.has(name) && all.every(({ perSecond }) => perSecond > 0))
    .map(([name, all]) => `${median(own.map(({ micros }, turn) => micros / all[turn]!.micros)).toFixed(2)} × ${name}`);
}

function costOf(one: Row, running: Running): Cost {
  const before = running.cpuMs();
  const requests = load(one, running, one.seconds);
  return { micros: ((running.cpuMs() - before) * 1000) / requests, perSecond: requests / one.seconds };
}

/** Requests that were answered with 2xx. */
function load({ file, connections, protocol, isTLS }: Row, { port, tlsPort }: Running, duration: number): number {
  const url = `${isTLS ? "https" : "http"}://127.0.0.1:${isTLS ? tlsPort : port}/${file}`;
  const options: ExecFileSyncOptionsWithStringEncoding = { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
  if (protocol === "http2") {
    const args = ["-c", "1", "h2load", "-t1", `-c${connections}`, "-m10", `-D${duration}`, url];
    const text = execFileSync("taskset", args, options);
    return Number(/status codes: (\d+) 2xx/.exec(text)?.[1] ?? 0);
  }
  const args = ["-c", "1", "wrk", "-t1", `-c${connections}`, `-d${duration}s`, url];
  const text = execFileSync("taskset", args, options);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  return Number(/(\d+) requests in/.exec(text)?.[1] ?? 0) - bad;
}

async function certificates(folder: string): Promise<Paths> {
  const authority = await createAuthority();
  const { cert, key } = await authority.issue("localhost");
  const paths = { folder, pem: join(folder, "both.pem"), cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  writeFileSync(paths.cert, cert);
  writeFileSync(paths.key, key);
  writeFileSync(paths.pem, `${cert}\n${key}`);
  return paths;
}

function isInstalled(tool: string): boolean {
  try {
    execFileSync("which", [tool], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
