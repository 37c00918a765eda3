/**
 * The measurements of l4-traffic.bench.ts, inside namespaces of its own. Prints one JSON object.
 *
 *   unshare … node l4-traffic-inside.ts        caller in one pod ─▶ clusterIP or the endpoint itself ─▶ sink in another
 *
 * Direct and by clusterIP take turns, and what is reported is the middle of the turns' ratios: what else runs on the
 * machine is the same for both.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { realClock as clock } from "#lib/clock.ts";
import { listenTCP } from "#lib/linux.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { systemExec } from "../proxy/l4/exec.ts";
import { endpoint, named, service } from "../proxy/l4/fixture.ts";
import { createNodeProxy } from "../proxy/state.ts";
import { type Address, dial } from "../test/netns/proxy/endpoints.ts";
import { createNetwork } from "../test/netns/proxy/network.ts";
import { median } from "./measured.ts";

/** Of one number of Services. */
export interface TrafficResult {
  readonly services: number;
  /** Bytes a second by clusterIP, over those to the endpoint itself: the middle of the turns. */
  readonly throughputRatio: number;
  readonly directGbits: number;
  /** From the first packet to the connection, in µs. */
  readonly directP50Us: number;
  readonly vipP50Us: number;
  readonly directP99Us: number;
  readonly vipP99Us: number;
}

/** Many short ones: single turns differ by a tenth. */
const turns = 31;
const turnMs = 500;
/** Connections of each sort for a turn of latency. */
const connections = 90;
const chunk = Buffer.alloc(256 * 1024);

/** Reads whatever comes; at the end of a connection, answers with the number of bytes. A process of its own. */
function runSink(): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on("error", () => socket.destroy());
    socket.on("data", (data: Buffer) => (bytes += data.length));
    socket.on("end", () => socket.end(String(bytes)));
  });
  server.listen({ fd: 3 });
  process.once("disconnect", () => process.exit(0));
}

async function pour(socket: Socket): Promise<number> {
  const startMs = clock.monotonicMs();
  while (clock.monotonicMs() - startMs < turnMs) if (!socket.write(chunk)) await once(socket, "drain");
  socket.end();
  const [bytes] = (await once(socket, "data")) as [Buffer];
  const bytesPerMs = Number(bytes.toString()) / (clock.monotonicMs() - startMs);
  socket.destroy();
  return bytesPerMs;
}

async function measureRuns(): Promise<void> {
  const { node, pods } = createNetwork();
  const [caller = node, callee = node] = pods;
  const { namespace } = callee;
  const fd = listenTCP({ address: callee.address, port: 8080, ...(namespace && { namespace }) });
  const sink = spawn(process.execPath, [import.meta.filename, "sink"], {
    stdio: ["ignore", "inherit", "inherit", fd, "ipc"],
  });
  const facts = { serviceCIDRs: ["10.96.0.0/12"], dnsVIP: "", nodeIPs: [node.address] };
  const log = createLogger("bench", "error");
  const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log, facts });
  const direct = { address: callee.address, port: 8080 };
  const vip = { address: "10.96.1.1", port: 80 };
  proxy.apply(named(service("web", vip.address, { endpoints: [endpoint(`${direct.address}:8080`)] })), []);
  proxy.markSynced();
  await proxy.programmed();
  const connectUs = async (to: Address): Promise<number> => {
    const startMs = performance.now();
    const socket = await dial(caller, to);
    const tookUs = (performance.now() - startMs) * 1000;
    socket.destroy();
    return tookUs;
  };
  const results: TrafficResult[] = [];
  for (const services of [1, 10_000]) {
    const many = Array.from({ length: services - 1 }, (_, n) => {
      const address = `10.97.${n >> 8}.${n & 255}`;
      return service(`other-${n}`, address, {
        endpoints: [endpoint(`10.98.${n >> 8}.${n & 255}:80`), endpoint(`10.99.${n >> 8}.${n & 255}:80`)],
      });
    });
    proxy.apply(named(...many), []);
    await proxy.programmed();
    const [ratios, directs]: number[][] = [[], []];
    for (let turn = 0; turn < turns; turn++) {
      // Who goes first changes, too.
      const order = turn % 2 === 0 ? [direct, vip] : [vip, direct];
      const rates = new Map<Address, number>();
      for (const to of order) rates.set(to, await pour(await dial(caller, to)));
      ratios?.push((rates.get(vip) ?? 0) / (rates.get(direct) ?? 1));
      directs?.push(rates.get(direct) ?? 0);
    }
    const latencies = new Map<Address, number[]>([direct, vip].map((to) => [to, []]));
    for (let n = 0; n < turns * connections; n++)
      for (const to of n % 2 === 0 ? [direct, vip] : [vip, direct]) latencies.get(to)?.push(await connectUs(to));
    const percentile = (to: Address, share: number): number => {
      const sorted = (latencies.get(to) ?? []).sort((a, b) => a - b);
      return sorted[Math.floor(sorted.length * share)] ?? 0;
    };
    results.push({
      services,
      throughputRatio: median(ratios ?? []),
      directGbits: (median(directs ?? []) * 8) / 1e6,
      directP50Us: percentile(direct, 0.5),
      vipP50Us: percentile(vip, 0.5),
      directP99Us: percentile(direct, 0.99),
      vipP99Us: percentile(vip, 0.99),
    });
  }
  console.log(JSON.stringify(results));
  sink.disconnect();
  proxy.close();
  process.exit(0);
}

if (process.argv[2] === "sink") runSink();
else await measureRuns();
