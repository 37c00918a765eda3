/**
 * One pod's sidecar, or one gateway: its configuration, its listeners, its metrics.
 *
 *   outbound 15001 ─┐
 *   inbound 15006  ─┼▶ original destination ─▶ ListenerSet (proxy/l7) ─▶ dial in the pod's network
 *   gateway ports  ─┘         ▲ ConfigState ◀─ ConfigSource
 *
 *   Starting ─▶ Ready ─▶ Draining ─▶ Closed
 *
 * Without configuration for it, traffic passes through as TCP to where it was going: a mesh must not lose what would
 * have worked without it. Invariant: a connection that was going to the sidecar itself is closed, so that nothing
 * loops.
 */
import type { Server, Socket } from "node:net";
import type { SidecarSocketName, SidecarSpec } from "#api/wire/sidecar.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { Cluster } from "#proxy/l7/cluster.ts";
import { type CompiledListener, plainChain } from "#proxy/l7/config/listener.ts";
import { plainTCP } from "#proxy/l7/config/tcp.ts";
import type { Direction } from "#proxy/l7/context.ts";
import { type DrainOptions, ListenerSet, type LiveConfig } from "#proxy/l7/listener.ts";
import { readClock } from "#proxy/l7/read-clock.ts";
import type { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { type Dial, type EngineDeps, type SocketAddress, createCounters } from "#proxy/l7/types.ts";
import { type AdminView, createAdminServer, createMetricsServer } from "./admin.ts";
import { SidecarError } from "./errors.ts";
import { GatewayPorts } from "./gateway.ts";
import { originOf } from "./labels.ts";
import { Metrics } from "./metrics.ts";
import { ConfigState, type ConfigSource, type ConfigStream } from "./state.ts";
import { RequestIds, Tracing, observeBoth } from "./tracing.ts";
import type { TracingConfig } from "./tracing-config.ts";
import { Ids } from "./tracing-ids.ts";
import type { SpanSink } from "./tracing-span.ts";

/** Where applications' connections are redirected to. */
export const outboundPort = 15_001;
/** Where connections to the pod are redirected to. */
export const inboundPort = 15_006;
/** Time between "no keep-alive" and the closing of idle connections in a drain, in ms. */
const drainGraceMs = 1000;

/** What is the same for all sidecars of a process. */
export interface HostDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly wheel: TimerWheel;
  readonly workloadOf: (address: string) => WorkloadResource | undefined;
  /** Undefined: no spans are recorded, and trace headers pass as they came. */
  readonly tracing?: { readonly config: TracingConfig; readonly sink: SpanSink } | undefined;
}

/** What is the pod's own. */
export interface PodDeps {
  /**
   * Listening servers in the pod's network. An application's sidecar needs outbound and inbound. Closed by the sidecar.
   */
  readonly sockets: Readonly<Partial<Record<SidecarSocketName, Server>>>;
  readonly config: ConfigSource;
  /** Connects from the pod's network, past the redirection. */
  readonly dial: Dial;
  /** Where an accepted connection was going. May throw: the connection is then closed. */
  readonly originalDst: (socket: Socket) => SocketAddress;
  /** Gateways only: a server that listens on a port of the pod. */
  readonly listen?: (port: number) => Promise<Server>;
}

type State = "starting" | "ready" | "draining" | "closed";

export class Sidecar {
  readonly spec: SidecarSpec;
  /** Resolves once the first whole configuration is in force and, for a gateway, its ports are bound. */
  readonly listening: Promise<void>;
  readonly #host: HostDeps;
  readonly #pod: PodDeps;
  readonly #log: Logger;
  readonly #deps: EngineDeps;
  readonly #config: ConfigState;
  readonly #listeners: ListenerSet;
  readonly #metrics: Metrics;
  readonly #gateway: GatewayPorts | undefined;
  readonly #passthrough: Readonly<Record<Direction, CompiledListener>>;
  readonly #builtin: ReadonlyMap<string, Cluster>;
  /** Connections to the admin pages. */
  readonly #pageSockets = new Set<Socket>();
  readonly #startMs: number;
  readonly #markListening: () => void;
  #live: LiveConfig;
  /** The listeners that take what is intercepted, and those of a gateway by port, of the live configuration. */
  #virtual: Readonly<Partial<Record<Direction, CompiledListener | undefined>>> = {};
  #byPort: ReadonlyMap<number, CompiledListener> = new Map();
  #stream: ConfigStream | undefined;
  #state: State = "starting";

  /** Checks the sockets and attaches the admin pages; traffic is served from run() on. */
  constructor(spec: SidecarSpec, host: HostDeps, pod: PodDeps) {
    this.spec = spec;
    this.#host = host;
    this.#pod = pod;
    this.#log = host.log.with({ pod: `${spec.namespace}/${spec.podName}` });
    checkSockets(spec, pod);
    const nowMs = readClock.of(() => host.clock.monotonicMs());
    this.#startMs = nowMs();
    this.#deps = {
      dial: pod.dial,
      wheel: host.wheel,
      nowMs,
      wallMs: () => host.clock.nowMs(),
      after: (delayMs, callback) => void host.clock.after(delayMs, callback),
      log: this.#log,
      random: host.random,
      counters: createCounters(),
      handsBack: true,
    };
    const { counters } = this.#deps;
    const origin = originOf(spec);
    const ids = new Ids(host.random);
    const isGateway = spec.gateway !== undefined;
    const tracing = host.tracing && new Tracing({ ...host.tracing, origin, isGateway, ids, clock: host.clock });
    this.#metrics = new Metrics({ spec, counters, spans: origin.counters, workloadOf: host.workloadOf, nowMs });
    this.#passthrough = { outbound: passthrough("outbound"), inbound: passthrough("inbound") };
    this.#builtin = new Map(
      [passthroughClusters.outbound, passthroughClusters.inbound].map((name) => [
        name,
        builtinCluster(name, this.#deps),
      ]),
    );
    this.#config = new ConfigState({
      deps: this.#deps,
      onNames: (typeUrl, names) => this.#stream?.setNames(typeUrl, names),
      onLive: (live) => this.#onLive(live),
    });
    this.#live = this.#withBuiltin(this.#config.live);
    this.#listeners = new ListenerSet({
      deps: this.#deps,
      observer: tracing === undefined ? this.#metrics : observeBoth(this.#metrics, tracing),
      requestHeaders: tracing ?? new RequestIds(ids),
      live: () => this.#live,
    });
    const { listen } = pod;
    if (spec.gateway !== undefined && listen !== undefined)
      this.#gateway = new GatewayPorts({
        listen,
        log: this.#log,
        onSocket: (socket, port) => this.acceptPublished(socket, port),
      });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.listening = promise;
    this.#markListening = resolve;
    this.#attachPages();
  }

  get isReady(): boolean {
    return this.#state === "ready";
  }

  /** Metrics in text exposition, for a page of the whole process. */
  metrics(): string {
    return this.#metrics.render();
  }

  /** Starts to serve: subscribes to the configuration and attaches to the sockets. */
  run(): void {
    const { outbound, inbound } = this.#pod.sockets;
    outbound?.on("connection", (socket: Socket) => this.#accept(socket, "outbound"));
    inbound?.on("connection", (socket: Socket) => this.#accept(socket, "inbound"));
    this.#stream = this.#pod.config.subscribe(this.#config);
  }

  /**
   * Serves a connection that was accepted elsewhere (a published port of the host) by the gateway listener of `port`.
   */
  acceptPublished(socket: Socket, port: number): void {
    const listener = this.#byPort.get(port);
    if (listener === undefined || this.#state === "closed") {
      this.#log.warn("Cannot serve published connection: no listener has the port", { port });
      socket.destroy();
      return;
    }
    this.#listeners.accept(socket, listener, { address: this.spec.podIP, port });
  }

  /** Ends keep-alive and waits for what is in flight, at most until the deadline; then cuts the rest. */
  async drain(deadlineMs: number, direction?: Direction): Promise<void> {
    if (this.#state !== "closed") this.#state = "draining";
    const options: DrainOptions = { graceMs: Math.min(drainGraceMs, deadlineMs), deadlineMs };
    await this.#listeners.drain(direction === undefined ? options : { ...options, direction });
  }

  /** Cuts everything and lets go of the sockets. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#stream?.close();
    this.#gateway?.close();
    for (const server of Object.values(this.#pod.sockets)) server.close();
    for (const socket of this.#pageSockets) socket.destroy();
    this.#listeners.destroy();
    for (const cluster of this.#live.clusters.values()) cluster.close();
  }

  #accept(socket: Socket, direction: Direction): void {
    // Nobody has a listener for errors yet; without one an early reset would end the process.
    const onError = (): void => void socket.destroy();
    socket.on("error", onError);
    let destination: SocketAddress;
    try {
      destination = this.#pod.originalDst(socket);
    } catch (error) {
      this.#log.debug("Cannot read original destination", { error: messageOf(error) });
      socket.destroy();
      return;
    }
    if (this.#isOwn(destination)) {
      this.#deps.counters.loopsRefused++;
      socket.destroy();
      return;
    }
    this.#listeners.accept(socket, this.#listenerFor(direction, destination), destination);
    socket.off("error", onError);
  }

  #isOwn({ address, port }: SocketAddress): boolean {
    if (port !== outboundPort && port !== inboundPort) return false;
    return address === this.spec.podIP || address.startsWith("127.") || address === "::1";
  }

  #listenerFor(direction: Direction, destination: SocketAddress): CompiledListener {
    if (direction === "outbound") {
      const listener = this.#listeners.find(destination);
      if (listener !== undefined && listener.direction === "outbound") return listener;
    }
    return this.#virtual[direction] ?? this.#passthrough[direction];
  }

  #onLive(live: LiveConfig): void {
    this.#live = this.#withBuiltin(live);
    // Looked up for each connection, so found once for each configuration.
    const listeners = [...this.#live.listeners.values()];
    const virtualOf = (direction: Direction, port: number): CompiledListener | undefined =>
      listeners.find((one) => one.direction === direction && one.port === port);
    this.#virtual = { outbound: virtualOf("outbound", outboundPort), inbound: virtualOf("inbound", inboundPort) };
    this.#byPort = new Map(listeners.filter((one) => one.bindsToPort).map((one) => [one.port, one]));
    void this.#becomeReady();
  }

  async #becomeReady(): Promise<void> {
    const live = this.#live;
    try {
      await this.#gateway?.bind([...live.listeners.values()].filter((one) => one.bindsToPort));
    } catch (error) {
      this.#log.error("Cannot bind gateway ports", { error: messageOf(error) });
      return;
    }
    // Overtaken: the ports that count are those of the snapshot in force.
    if (live !== this.#live || this.#state !== "starting" || !this.#config.isComplete) return;
    this.#state = "ready";
    this.#markListening();
  }

  #withBuiltin(live: LiveConfig): LiveConfig {
    const clusters = new Map([...this.#builtin, ...live.clusters]);
    const listeners = new Map(live.listeners);
    // Connections by the built-in listeners are not to be drained: those listeners never leave.
    for (const listener of Object.values(this.#passthrough)) listeners.set(listener.name, listener);
    return { ...live, clusters, listeners };
  }

  #attachPages(): void {
    const { admin, metrics } = this.#pod.sockets;
    const view: AdminView = {
      podName: this.spec.podName,
      namespace: this.spec.namespace,
      isReady: () => this.isReady,
      live: () => this.#live,
      resources: (typeUrl) => this.#config.resources(typeUrl),
      metrics: () => this.metrics(),
      uptimeSeconds: () => (this.#host.clock.monotonicMs() - this.#startMs) / 1000,
      drainListeners: () => void this.drain(45_000, "inbound"),
    };
    for (const [server, create] of [
      [admin, createAdminServer],
      [metrics, createMetricsServer],
    ] as const) {
      if (server === undefined) continue;
      const page = create(view);
      server.on("connection", (socket: Socket) => {
        this.#pageSockets.add(socket);
        socket.once("close", () => this.#pageSockets.delete(socket));
        page.emit("connection", socket);
      });
    }
  }
}

const passthroughClusters: Readonly<Record<Direction, string>> = {
  outbound: "PassthroughCluster",
  inbound: "InboundPassthroughCluster",
};

function builtinCluster(name: string, deps: EngineDeps): Cluster {
  const spec = { name, type: "ORIGINAL_DST", serviceName: name, connectTimeoutMs: 10_000 } as const;
  return new Cluster({ ...spec, service: undefined, endpoints: [] }, deps);
}

function passthrough(direction: Direction): CompiledListener {
  const cluster = passthroughClusters[direction];
  return {
    name: `builtin ${direction} passthrough`,
    address: "0.0.0.0",
    port: 0,
    takesIPv4: false,
    bindsToPort: false,
    usesOriginalDst: true,
    direction,
    chains: [],
    defaultChain: plainChain(cluster, plainTCP(cluster)),
    detects: false,
    detectMs: 0,
    continuesWhenSilent: true,
  };
}

function checkSockets(spec: SidecarSpec, pod: PodDeps): void {
  const fail = (what: string): never => {
    throw new SidecarError("MISSING_SOCKET", `Cannot start sidecar of ${spec.namespace}/${spec.podName}: no ${what}`);
  };
  if (spec.gateway !== undefined) {
    if (pod.listen === undefined) fail("listen function for the gateway's ports");
    return;
  }
  if (pod.sockets.outbound === undefined) fail("outbound socket");
  if (pod.sockets.inbound === undefined) fail("inbound socket");
}
