/**
 * The engine on loopback for tests: a listening proxy with one HTTP listener, upstreams that do as they are told, and
 * raw exchanges in domain text.
 *
 *   test ─▶ startRig(routes, clusters) ─▶ port ─▶ raw(port, "GET / HTTP/1.1\r\n…") ─▶ answer as text
 */
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import type { Cluster as ClusterResource, RouteConfiguration } from "#api/xds/envoy.ts";
import { type Clock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { Cluster } from "./cluster.ts";
import { compileCluster } from "./config/cluster.ts";
import { httpDefault } from "./config/http.ts";
import { type CompiledListener, plainChain } from "./config/listener.ts";
import { compileRoutes } from "./config/route.ts";
import type { Direction, ExchangeRecord, Load, TCPRecord } from "./context.ts";
import type { FilterModules } from "./filters/modules.ts";
import { ListenerSet, type LiveConfig } from "./listener.ts";
import type { RouteTable } from "./route/table.ts";
import { TimerWheel } from "./timer-wheel.ts";
import { type Dial, type EngineCounters, type EngineDeps, createCounters } from "./types.ts";

export interface RigOptions {
  readonly direction?: Direction;
  readonly clock?: Clock;
  readonly dial?: Dial;
  readonly routes?: RouteConfiguration;
  readonly clusters?: readonly ClusterResource[];
  /** Replaces the listener's default, an HTTP chain with the routes. */
  readonly listener?: Partial<CompiledListener>;
  readonly filterModules?: FilterModules;
  readonly handsBack?: boolean;
}

export interface Rig extends AsyncDisposable {
  readonly port: number;
  readonly counters: EngineCounters;
  readonly listeners: ListenerSet;
  readonly wheel: TimerWheel;
  readonly records: ExchangeRecord[];
  readonly tcpRecords: TCPRecord[];
  readonly load: Load;
  cluster(name: string): Cluster;
  setRoutes(routes: RouteConfiguration): void;
  setEndpoints(cluster: string, ports: readonly number[]): void;
}

/** A cluster of loopback ports. */
export function staticCluster(name: string, ports: readonly number[]): ClusterResource {
  const lb_endpoints = ports.map((port) => ({
    endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } },
  }));
  return { name, type: "STATIC", load_assignment: { cluster_name: name, endpoints: [{ locality: {}, lb_endpoints }] } };
}

/** Every request to one cluster, with the retries of the default policy. */
export function routesTo(cluster: string): RouteConfiguration {
  const retry_policy = { retry_on: "connect-failure,reset", num_retries: 2 };
  const route = { match: { prefix: "/" }, route: { cluster, retry_policy, timeout: "15s" } };
  return { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] };
}

export async function startRig(options: RigOptions): Promise<Rig> {
  const clock = options.clock ?? realClock;
  const wheel = new TimerWheel(clock);
  const counters = createCounters();
  const deps: EngineDeps = {
    dial: options.dial ?? ((address, port, dialOptions) => connect({ host: address, port, ...dialOptions })),
    wheel,
    nowMs: () => clock.monotonicMs(),
    wallMs: () => clock.nowMs(),
    after: (delayMs, callback) => void clock.after(delayMs, callback),
    log: silentLogger,
    random: seededRandom(1),
    counters,
    ...(options.handsBack === undefined ? {} : { handsBack: options.handsBack }),
  };
  const listener = testListener(options);
  const clusters = new Map((options.clusters ?? []).map((one) => [one.name, new Cluster(compileCluster(one), deps)]));
  for (const cluster of clusters.values()) cluster.start();
  const routes = new Map<string, RouteTable>();
  if (options.routes !== undefined) routes.set("routes", compileRoutes(options.routes));
  const live: LiveConfig = {
    version: 1,
    listeners: new Map([[listener.name, listener]]),
    listenersByAddress: new Map(),
    routes,
    clusters,
  };
  const records: ExchangeRecord[] = [];
  const tcpRecords: TCPRecord[] = [];
  const load: Load = { requests: 0 };
  const listeners = new ListenerSet({
    deps,
    observer: {
      load,
      onExchange: (record) => void records.push(record),
      onTCPOpen: () => undefined,
      onTCPClose: (record) => void tcpRecords.push(record),
    },
    live: () => live,
    ...(options.filterModules === undefined ? {} : { filterModules: options.filterModules }),
  });
  const server = createServer((socket) => listeners.accept(socket, listener, { address: "127.0.0.1", port: 80 }));
  const port = await listenOn(server);
  return {
    port,
    counters,
    listeners,
    wheel,
    records,
    tcpRecords,
    load,
    cluster: (name) => clusters.get(name)!,
    setRoutes: (next) => void routes.set("routes", compileRoutes(next)),
    setEndpoints: (name, ports) => clusters.get(name)!.update(compileCluster(staticCluster(name, ports)).endpoints),
    async [Symbol.asyncDispose]() {
      listeners.destroy();
      for (const cluster of clusters.values()) cluster.close();
      await closeServer(server);
    },
  };
}

function testListener(options: RigOptions): CompiledListener {
  return {
    name: "test",
    address: "127.0.0.1",
    port: 80,
    takesIPv4: false,
    bindsToPort: true,
    usesOriginalDst: false,
    direction: options.direction ?? "outbound",
    chains: [],
    defaultChain: plainChain("http", { ...httpDefault, routeName: "routes", inline: undefined }),
    detects: false,
    detectMs: 1000,
    continuesWhenSilent: true,
    ...options.listener,
  };
}

export interface Upstream extends AsyncDisposable {
  readonly port: number;
  /** What was received on each connection, as text. */
  readonly received: string[];
  readonly sockets: ReadonlySet<Socket>;
}

/** A server that runs `serve` for each connection; text that arrives is recorded. */
export async function startUpstream(serve: (socket: Socket, index: number) => void): Promise<Upstream> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const index = received.push("") - 1;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // Resets are part of the tests.
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => (received[index] += chunk.toString("latin1")));
    serve(socket, index);
  });
  const port = await listenOn(server);
  return {
    port,
    received,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await closeServer(server);
    },
  };
}

/** An upstream that answers each head without a body by `answer`, keeping the connection open. */
export async function startAnswering(answer: string | (() => string)): Promise<Upstream> {
  return startUpstream((socket) => {
    let text = "";
    socket.on("end", () => socket.end());
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        text = text.slice(end + 4);
        socket.write(typeof answer === "string" ? answer : answer(), "latin1");
      }
    });
  });
}

/**
 * A port of loopback on which nothing listens, nor will while this process lives: the near end of a connection has it.
 * One that was only free for a moment may be another test's the next.
 */
export async function refusedPort(): Promise<number> {
  const server = createServer().unref();
  const far = once(server, "connection");
  connect({ port: await listenOn(server), host: "127.0.0.1" }).unref();
  const [accepted] = (await far) as [Socket];
  accepted.unref();
  // Its connection stays.
  server.close();
  return accepted.remotePort!;
}

/** Sends `text` and resolves with all that comes until the peer closes. */
export async function raw(port: number, text: string | readonly Buffer[]): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  // A reset ends the answer, as an end does; the text so far is the result.
  socket.on("error", () => socket.destroy());
  const closed = new Promise<void>((resolve) => {
    socket.once("end", resolve);
    socket.once("close", () => resolve());
  });
  for (const part of typeof text === "string" ? [Buffer.from(text, "latin1")] : text) socket.write(part);
  await closed;
  socket.destroy();
  return Buffer.concat(chunks).toString("latin1");
}

/** A connection that is read step by step. */
export class RawClient {
  readonly socket: Socket;
  text = "";
  #wake: (() => void) | undefined;
  #isOver = false;

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.socket.on("data", (chunk: Buffer) => {
      this.text += chunk.toString("latin1");
      this.#wake?.();
    });
    // The tests look at `text` and at the end, not at how it came about.
    this.socket.on("error", () => this.socket.destroy());
    for (const event of ["end", "close"])
      this.socket.on(event, () => {
        this.#isOver = true;
        this.#wake?.();
      });
  }

  send(text: string): void {
    this.socket.write(text, "latin1");
  }

  /** Resolves with the text once it has `part`; rejects when the connection ends before. */
  async until(part: string): Promise<string> {
    while (!this.text.includes(part)) {
      if (this.#isOver)
        throw new Error(`Connection ended without ${JSON.stringify(part)}: ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.text;
  }

  /** Resolves when the peer has ended or closed. */
  async over(): Promise<string> {
    while (!this.#isOver) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.text;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Resolves as soon as `test` is true; looked at once a turn of the event loop. */
export async function eventually(test: () => boolean, what: string): Promise<void> {
  for (let turn = 0; turn < 100_000; turn++) {
    if (test()) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  throw new Error(`Never came true: ${what}`);
}

export async function listenOn(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
