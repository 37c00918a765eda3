/**
 * How many queries of cluster names does one core answer, and how late?
 *
 * dnsperf over loopback UDP against the resolver of a node, Unbound, dnsmasq and CoreDNS (`coredns` in the path, or
 * WHERRY_COREDNS), each pinned to the same core, the same 1000 names, in the same run. Then latency at half of the
 * highest load, and outside names out of the cache. What is not installed is said and left out.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createSocket, type Socket } from "node:dgram";
import { tmpdir } from "node:os";
import { join } from "node:path";
import dnsPacket from "dns-packet";
import {
  addressOf,
  freePort,
  isInstalled,
  type ForeignLoad,
  type Load,
  loadMost,
  loadForeign,
  loadPaced,
  nameCount,
  startOurs,
  stop,
  warmUp,
  whenUp,
} from "./dns-load.ts";
import type { Measured } from "./measured.ts";

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
  const all = Array.from({ length: nameCount }, (_, index) => `h${index}.outside.test A`);
  writeFileSync(file, `${all.join("\n")}\n`);
  const upstream = await startUpstream();
  const { port } = upstream.address();
  const ours = await startOurs(nameCount, `127.0.0.1:${port}`);
  try {
    await whenUp(ours.port);
    const target = { port: ours.port, pid: ours.child.pid, file };
    const most = await loadMost(target);
    await stop(ours.child);
    const unboundPort = await freePort();
    const unbound = await loadForeign({
      command: "unbound",
      port: unboundPort,
      args: ["-c", unboundConf(folder, unboundPort, port)],
      file,
    });
    return {
      question: "DNS, outside names from the cache, one core",
      measured: `${Math.round(most.qps)} queries/s, ${most.cpuMicros.toFixed(1)} µs CPU each${beside(most, unbound, "Unbound")}`,
      budget: "≥ 0.7 × Unbound",
    };
  } finally {
    await stop(ours.child);
    upstream.close();
  }
}

function latency({ p50Ms, p99Ms, averageMs }: Load): string {
  return `p50 ${p50Ms.toFixed(3)} ms, p99 ${p99Ms.toFixed(3)} ms, average ${averageMs.toFixed(3)} ms`;
}

/** Ratios of queries a second, and of CPU time a query: more than 1 is better. */
function beside(ours: Load, other: ForeignLoad | undefined, name: string): string {
  if (other === undefined) return "";
  const { qps, cpuMicros } = other.most;
  const cpu = `${cpuMicros.toFixed(1)} µs, ratio ${(cpuMicros / ours.cpuMicros).toFixed(2)}`;
  return `; ${name} ${Math.round(qps)}, ratio ${(ours.qps / qps).toFixed(2)}, ${cpu}`;
}

function unboundConf(folder: string, port: number, upstream?: number): string {
  const data = Array.from(
    { length: nameCount },
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
    Array.from({ length: nameCount }, (_, index) => `${addressOf(index)} svc${index}.default.svc.cluster.local`).join(
      "\n",
    ),
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

/** CoreDNS with the same names in a zone file and nothing else in its chain; undefined, and said, where it is not. */
async function measureCoreDNS(folder: string, file: string): Promise<ForeignLoad | undefined> {
  const port = await freePort();
  const zone = Array.from({ length: nameCount }, (_, index) => `svc${index}.default.svc 5 IN A ${addressOf(index)}`);
  const soa = "@ 5 IN SOA ns host 1 7200 1800 86400 5";
  writeFileSync(join(folder, "db.cluster.local"), `${[soa, ...zone].join("\n")}\n`);
  const conf = join(folder, "Corefile");
  writeFileSync(conf, `cluster.local:${port} {\n  bind 127.0.0.1\n  file ${join(folder, "db.cluster.local")}\n}\n`);
  return loadForeign({ command: process.env["WHERRY_COREDNS"] ?? "coredns", port, args: ["-conf", conf], file });
}

/** Queries a second on one core, beside Unbound, dnsmasq and CoreDNS; latency at half load; outside names from the cache. */
export async function run(): Promise<readonly Measured[]> {
  if (!isInstalled("dnsperf")) {
    process.stderr.write("SKIP dns: dnsperf is not installed (apt install dnsperf)\n");
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-"));
  const file = join(folder, "queries");
  writeFileSync(
    file,
    `${Array.from({ length: nameCount }, (_, index) => `svc${index}.default.svc.cluster.local A`).join("\n")}\n`,
  );
  await warmUp();
  const ours = await startOurs(nameCount);
  try {
    await whenUp(ours.port);
    const target = { port: ours.port, pid: ours.child.pid, file };
    const most = await loadMost(target);
    const half = await loadPaced({ ...target, qps: most.qps / 2 });
    await stop(ours.child);
    const [unboundPort, dnsmasqPort] = [await freePort(), await freePort()];
    const unbound = await loadForeign({
      command: "unbound",
      port: unboundPort,
      args: ["-c", unboundConf(folder, unboundPort)],
      file,
      pacedQPS: most.qps / 2,
    });
    const dnsmasq = await loadForeign({
      command: "dnsmasq",
      port: dnsmasqPort,
      args: dnsmasqArgs(folder, dnsmasqPort),
      file,
    });
    const coreDNS = await measureCoreDNS(folder, file);
    const forwarding = await measureForwarding(folder);
    return [
      {
        question: "DNS, cluster names over UDP, one core",
        measured: `${Math.round(most.qps)} queries/s, lost ${most.lost}, ${most.cpuMicros.toFixed(1)} µs CPU each${beside(most, unbound, "Unbound")}${beside(most, dnsmasq, "dnsmasq")}${beside(most, coreDNS, "CoreDNS")}`,
        budget: "≥ 0.8 × Unbound, ≥ 3 × CoreDNS (51,000/s where it is not there: 3 × its published 17,000)",
      },
      {
        question: "DNS at half of that load, the quietest of 7 rounds",
        measured: `${latency(half)}, lost ${half.lost}${unbound?.paced === undefined ? "" : `; Unbound at as many ${latency(unbound.paced)}`}`,
        budget: "p99 < 1 ms",
      },
      forwarding,
    ];
  } finally {
    await stop(ours.child);
    rmSync(folder, { recursive: true });
  }
}
