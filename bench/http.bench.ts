/**
 * What does a request through the HTTP engine cost, beside nginx, HAProxy, Envoy and http-proxy with the same job?
 *
 * One core for the proxy, another one for the load and the upstream (nginx); wrk for HTTP/1.1, h2load for HTTP/2. CPU
 * is the proxy's own user and system time by /proc, over the requests of the run. Bounded: WHERRY_BENCH_SECONDS (2) a
 * row and contestant after one to warm up.
 */
import { type ExecFileSyncOptionsWithStringEncoding, execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "../proxy/l7/tls/fixture.ts";
import { type Paths, type Running, contestants, start, startUpstream } from "./http-servers.ts";
import type { Measured } from "./measured.ts";

const seconds = Number(process.env["WHERRY_BENCH_SECONDS"] ?? 2);

interface Row {
  readonly name: string;
  readonly file: string;
  readonly connections: number;
  readonly protocol: "http1" | "http2";
  readonly isTLS: boolean;
}

const row = (file: string, connections: number, isTLS = false, protocol: Row["protocol"] = "http1"): Row => ({
  name: `${protocol === "http1" ? "HTTP/1.1" : "HTTP/2"}${isTLS ? " over TLS" : ""}, ${file}, ${connections} connections`,
  file,
  connections,
  protocol,
  isTLS,
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
    const costs = new Map<string, string[]>(rows.map(({ name }) => [name, []]));
    for (const contestant of contestants) {
      if (contestant.command === undefined) {
        process.stderr.write(`SKIP ${contestant.name}: not installed\n`);
        continue;
      }
      await using running = await start(contestant, upstream.port, paths);
      for (const one of rows) costs.get(one.name)?.push(`${contestant.name} ${measure(one, running)}`);
    }
    return rows.map(({ name }) => ({
      question: `CPU of a request: ${name}`,
      measured: (costs.get(name) ?? []).join(", "),
      budget: name.startsWith("HTTP/1.1, 1k, 32") ? "≤ 1.5 × HAProxy and < Envoy" : "",
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** In µs, with requests a second in brackets. */
function measure(one: Row, running: Running): string {
  load(one, running, 1);
  const before = running.cpuMs();
  const requests = load(one, running, seconds);
  const usedMs = running.cpuMs() - before;
  if (requests === 0) return "failed";
  return `${((usedMs * 1000) / requests).toFixed(1)} µs (${Math.round(requests / seconds)}/s)`;
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
