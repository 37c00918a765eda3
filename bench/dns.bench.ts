/**
 * How many queries of cluster names does one core answer, and how late?
 *
 * dnsperf over loopback UDP against the resolver of a node, Unbound and dnsmasq, each pinned to the same core, the
 * same 1000 names, in the same run. Then latency at half of the highest load, and memory with 10,000 Services under
 * churn. What is not installed is said and left out.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createSocket, type Socket } from "node:dgram";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import dnsPacket from "dns-packet";
import type { Measured } from "./measured.ts";

const names = 1000;
const seconds = 5;
const execute = promisify(execFile);

interface Load {
  readonly qps: number;
  readonly averageMs: number;
  readonly lost: number;
}

function isInstalled(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`]).status === 0;
}

/** One dnsperf run from the second core. */
async function load(port: number, file: string, qps?: number): Promise<Load> {
  const limit = qps === undefined ? [] : ["-Q", String(Math.floor(qps))];
  const args = [
    "-s",
    "127.0.0.1",
    "-p",
    String(port),
    "-d",
    file,
    "-l",
    String(seconds),
    "-c",
    "8",
    "-q",
    "200",
    ...limit,
  ];
  const { stdout } = await execute("taskset", ["-c", "1", "dnsperf", ...args], { timeout: 60_000 });
  const field = (pattern: RegExp): number => Number(pattern.exec(stdout)?.[1] ?? Number.NaN);
  return {
    qps: field(/Queries per second:\s+([0-9.]+)/),
    averageMs: field(/Average Latency \(s\):\s+([0-9.]+)/) * 1000,
    lost: field(/Queries lost:\s+([0-9]+)/),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

function pinned(command: string, args: readonly string[]): ChildProcess {
  return spawn("taskset", ["-c", "0", command, ...args], { stdio: ["pipe", "pipe", "ignore"] });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** Waits until the server answers. */
async function whenUp(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const asked = spawnSync("dig", [
      "@127.0.0.1",
      "-p",
      String(port),
      "+time=1",
      "+tries=1",
      "+short",
      "svc1.default.svc.cluster.local",
    ]);
    if (asked.status === 0 && asked.stdout.toString("utf8").startsWith("10.96.")) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("Cannot bench: the server never answered");
}

function addressOf(index: number): string {
  return `10.96.${(index >> 8) & 255}.${index & 255}`;
}

/** A resolver for outside names, for those who forward: one A each. */
async function startUpstream(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, { port, address }) => {
    const { id, questions = [] } = dnsPacket.decode(bytes);
    const answers = questions.map(({ name }) => ({ type: "A", name, ttl: 300, data: "192.0.2.1" }) as const);
    socket.send(dnsPacket.encode({ type: "response", id, flags: 0x180, questions, answers }), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/** Answers out of the cache of a forwarder: every name has been asked once before. */
async function measureForwarding(folder: string): Promise<Measured> {
  const file = join(folder, "outside");
  const all = Array.from({ length: names }, (_, index) => `h${index}.outside.test A`);
  writeFileSync(file, `${all.join("\n")}\n`);
  const upstream = await startUpstream();
  const { port } = upstream.address();
  const ours = await startOurs(names, `127.0.0.1:${port}`);
  try {
    await whenUp(ours.port);
    await load(ours.port, file);
    const { qps } = await load(ours.port, file);
    await stop(ours.child);
    const unboundPort = await freePort();
    const unbound = await foreign("unbound", unboundPort, ["-c", unboundConf(folder, unboundPort, port)], file);
    return {
      question: "DNS, outside names from the cache, one core",
      measured: `${Math.round(qps)} queries/s${beside(qps, unbound, "Unbound")}`,
      budget: "≥ 0.7 × Unbound",
    };
  } finally {
    await stop(ours.child);
    upstream.close();
  }
}

function beside(qps: number, other: Load | undefined, name: string): string {
  return other === undefined ? "" : `; ${name} ${Math.round(other.qps)}, ratio ${(qps / other.qps).toFixed(2)}`;
}

function unboundConf(folder: string, port: number, upstream?: number): string {
  const data = Array.from(
    { length: names },
    (_, index) => `  local-data: "svc${index}.default.svc.cluster.local. 5 A ${addressOf(index)}"`,
  );
  const conf = join(folder, "unbound.conf");
  const server = `server:\n  interface: 127.0.0.1\n  port: ${port}\n  num-threads: 1\n  username: ""\n  chroot: ""\n  directory: "${folder}"\n  pidfile: ""\n  do-daemonize: no\n  use-syslog: no\n  so-rcvbuf: 4m\n  module-config: "iterator"\n  do-not-query-localhost: no\n  local-zone: "test." nodefault\n  local-zone: "cluster.local." static\n`;
  const forward = upstream === undefined ? "" : `forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@${upstream}\n`;
  writeFileSync(conf, `${server}${data.join("\n")}\nremote-control:\n  control-enable: no\n${forward}`);
  return conf;
}

function dnsmasqArgs(folder: string, port: number): readonly string[] {
  const hosts = join(folder, "hosts");
  writeFileSync(
    hosts,
    Array.from({ length: names }, (_, index) => `${addressOf(index)} svc${index}.default.svc.cluster.local`).join("\n"),
  );
  return [
    "--keep-in-foreground",
    "--no-hosts",
    "--no-resolv",
    `--addn-hosts=${hosts}`,
    `--port=${port}`,
    "--listen-address=127.0.0.1",
    "--bind-interfaces",
    "--pid-file=",
    "--user=root",
    "--conf-file=/dev/null",
  ];
}

async function startOurs(
  count: number,
  upstream?: string,
): Promise<{ child: ChildProcess; port: number; ask: (line: string) => Promise<number> }> {
  const child = pinned(process.execPath, [
    join(import.meta.dirname, "dns-server.ts"),
    String(count),
    ...(upstream === undefined ? [] : [upstream]),
  ]);
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

async function foreign(
  command: string,
  port: number,
  args: readonly string[],
  file: string,
): Promise<Load | undefined> {
  if (!isInstalled(command)) {
    process.stderr.write(`SKIP ${command}: it is not installed\n`);
    return undefined;
  }
  const child = pinned(command, args);
  try {
    await whenUp(port);
    await load(port, file);
    return await load(port, file);
  } finally {
    await stop(child);
  }
}

/** Queries a second on one core, beside Unbound and dnsmasq; latency at half load; memory under churn. */
export async function run(): Promise<readonly Measured[]> {
  if (!isInstalled("dnsperf")) {
    process.stderr.write("SKIP dns: dnsperf is not installed (apt install dnsperf)\n");
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-"));
  const file = join(folder, "queries");
  writeFileSync(
    file,
    `${Array.from({ length: names }, (_, index) => `svc${index}.default.svc.cluster.local A`).join("\n")}\n`,
  );
  const ours = await startOurs(names);
  try {
    await whenUp(ours.port);
    await load(ours.port, file);
    const most = await load(ours.port, file);
    const half = await load(ours.port, file, most.qps / 2);
    await stop(ours.child);
    const [unboundPort, dnsmasqPort] = [await freePort(), await freePort()];
    const unbound = await foreign("unbound", unboundPort, ["-c", unboundConf(folder, unboundPort)], file);
    const dnsmasq = await foreign("dnsmasq", dnsmasqPort, dnsmasqArgs(folder, dnsmasqPort), file);
    const forwarding = await measureForwarding(folder);
    const memory = await measureMemory(file);
    return [
      {
        question: "DNS, cluster names over UDP, one core",
        measured: `${Math.round(most.qps)} queries/s, lost ${most.lost}${beside(most.qps, unbound, "Unbound")}${beside(most.qps, dnsmasq, "dnsmasq")}`,
        budget: "≥ 0.8 × Unbound, ≥ 51,000/s (3 × CoreDNS' published 17,000)",
      },
      {
        question: "DNS at half of that load",
        measured: `average ${half.averageMs.toFixed(3)} ms, lost ${half.lost}`,
        budget: "p99 < 1 ms",
      },
      forwarding,
      memory,
    ];
  } finally {
    await stop(ours.child);
    rmSync(folder, { recursive: true });
  }
}

async function measureMemory(file: string): Promise<Measured> {
  const server = await startOurs(10_000);
  try {
    await whenUp(server.port);
    server.child.stdin?.write("churn 100\n");
    const { qps, lost } = await load(server.port, file, 5000);
    const rss = await server.ask("rss");
    return {
      question: "DNS with 10,000 Services, 50,000 endpoints, 100 changes/s",
      measured: `${Math.round(rss / 2 ** 20)} MB RSS at ${Math.round(qps)} queries/s, lost ${lost}`,
      budget: "≤ 150 MB, none lost",
    };
  } finally {
    await stop(server.child);
  }
}
