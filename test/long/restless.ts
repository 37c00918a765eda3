/**
 * Everything around the HTTP engine moves, for as long as is wanted; the test and the bench of the long run judge it.
 *
 *   runRestless(seconds) ─▶ steady, slow and leaving clients + a change a second ─▶ what they saw, samples over time
 *
 * Steady requests while routes and endpoints change every second, downstreams leave in the middle of a response, and
 * others read and write slowly. Engine, clients and upstreams are one process: what is flat for all is flat for the
 * engine. Each request that is meant to be answered is checked to its last byte.
 */
import { once } from "node:events";
import { Agent, type IncomingMessage, type Server, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type Rig, routesTo, startRig, staticCluster } from "../../proxy/l7/fixture.ts";

const bigBytes = 1024 * 1024;
const postBytes = 64 * 1024;
/** Between two requests of a steady client, in ms: half of what one core does. */
const paceMs = 2;

/** What the clients saw. */
export interface Seen {
  answered: number;
  failed: number;
  aborted: number;
  /** Of the steady clients' requests since the last sample, in ms. */
  latencies: number[];
}

export interface Sample {
  /** After a collection, in MiB. */
  readonly heapMB: number;
  /** TCP connections and listeners of the process. */
  readonly handles: number;
  /** Of the steady clients' requests since the sample before. */
  readonly p99Ms: number;
}

export interface Restless {
  readonly seen: Seen;
  /** Six, evenly over the time. */
  readonly samples: readonly Sample[];
}

export async function runRestless(seconds: number): Promise<Restless> {
  const upstreams = await Promise.all([startUpstream(), startUpstream(), startUpstream()]);
  const ports = upstreams.map((server) => (server.address() as AddressInfo).port);
  const clusters = [staticCluster("a", ports), staticCluster("b", ports)];
  await using rig = await startRig({ routes: routesTo("a"), clusters });
  const seen: Seen = { answered: 0, failed: 0, aborted: 0, latencies: [] };
  const agent = new Agent({ keepAlive: true });
  const state = { isOver: false };
  const clients = [
    ...Array.from({ length: 8 }, async () => until(state, () => steady(rig.port, agent, seen))),
    ...Array.from({ length: 2 }, async () => until(state, () => slowReader(rig.port, agent, seen))),
    ...Array.from({ length: 2 }, async () => until(state, () => slowWriter(rig.port, agent, seen))),
    ...Array.from({ length: 2 }, async () => until(state, () => aborter(rig.port, seen))),
  ];
  const samples = await change(rig, ports, { seen, seconds });
  state.isOver = true;
  await Promise.all(clients);
  agent.destroy();
  for (const server of upstreams) {
    server.closeAllConnections();
    server.close();
  }
  return { seen, samples };
}

async function until(state: { readonly isOver: boolean }, step: () => Promise<void>): Promise<void> {
  while (!state.isOver) await step();
}

/** Changes routes and endpoints every second; six samples. */
async function change(
  rig: Rig,
  ports: readonly number[],
  { seen, seconds }: { readonly seen: Seen; readonly seconds: number },
): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  for (let second = 1; second <= seconds; second++) {
    await sleep(1000);
    const name = second % 2 === 0 ? "a" : "b";
    rig.setEndpoints(name, [ports[second % 3]!, ports[(second + 1) % 3]!]);
    rig.setRoutes(routesTo(name));
    rig.records.length = 0;
    if (second % Math.max(1, Math.floor(seconds / 6)) === 0) samples.push(sample(seen));
  }
  return samples;
}

function sample(seen: Seen): Sample {
  const sorted = seen.latencies.sort((a, b) => a - b);
  seen.latencies = [];
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return {
    heapMB: process.memoryUsage().heapUsed / 2 ** 20,
    handles: process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length,
    p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
  };
}

async function startUpstream(): Promise<Server> {
  const big = Buffer.alloc(bigBytes, "x");
  const server = createServer((incoming, response) => {
    let received = 0;
    incoming.on("data", (chunk: Buffer) => (received += chunk.length));
    incoming.on("end", () => response.end(incoming.url === "/big" ? big : String(received)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function steady(port: number, agent: Agent, seen: Seen): Promise<void> {
  const startMs = performance.now();
  await counted(seen, async () => {
    const response = await send({ port, agent, path: "/", method: "GET" });
    return response.statusCode === 200 && (await read(response, 0)) === 1;
  });
  seen.latencies.push(performance.now() - startMs);
  await sleep(paceMs);
}

async function slowReader(port: number, agent: Agent, seen: Seen): Promise<void> {
  await counted(seen, async () => {
    const response = await send({ port, agent, path: "/big", method: "GET" });
    return response.statusCode === 200 && (await read(response, 10)) === bigBytes;
  });
}

async function slowWriter(port: number, agent: Agent, seen: Seen): Promise<void> {
  await counted(seen, async () => {
    const parts = Array.from({ length: 16 }, () => Buffer.alloc(postBytes / 16));
    const response = await send({ port, agent, path: "/", method: "POST" }, parts);
    return response.statusCode === 200 && (await read(response, 0)) === String(postBytes).length;
  });
}

/** Leaves in the middle of a response. */
async function aborter(port: number, seen: Seen): Promise<void> {
  const response = await send({ port, path: "/big", method: "GET" });
  await once(response, "data");
  response.destroy();
  seen.aborted++;
  await sleep(20);
}

async function counted(seen: Seen, step: () => Promise<boolean>): Promise<void> {
  // What went wrong shows as a request that failed.
  const isFine = await step().catch(() => false);
  if (isFine) seen.answered++;
  else seen.failed++;
}

type Sent = { readonly port: number; readonly agent?: Agent; readonly path: string; readonly method: string };

/** Sends `parts` one every 10 ms. */
async function send(options: Sent, parts: readonly Buffer[] = []): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request({ host: "127.0.0.1", ...options }, resolve);
  outgoing.on("error", reject);
  for (const part of parts) {
    outgoing.write(part);
    await sleep(10);
  }
  outgoing.end();
  return promise;
}

/** The bytes of the body, `pauseMs` after each piece. */
async function read(response: IncomingMessage, pauseMs: number): Promise<number> {
  let bytes = 0;
  for await (const chunk of response) {
    bytes += (chunk as Buffer).length;
    if (pauseMs > 0) await sleep(pauseMs);
  }
  return bytes;
}
