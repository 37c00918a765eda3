/**
 * Accepted connection → listener → filter chain → HTTP or TCP.
 *
 *   sidecar/ (accept, original destination) ─▶ ListenerSet ─▶ detect.ts ─▶ downstream.ts or tcp-proxy.ts
 *
 * The configuration is asked for at each connection and each request, so a new snapshot takes effect at once and breaks
 * nothing: a connection keeps the chain it started with, and is asked to close once its listener changed or left.
 * Invariant: at most `connectionsMax` connections; one beyond is closed at once and counted.
 */
import type { Socket } from "node:net";
import type { Cluster } from "./cluster.ts";
import { type CompiledChain, type CompiledListener, chainsForPort, pickChain } from "./config/listener.ts";
import type { ConnectionInfo, Direction, HTTPContext, Observer } from "./context.ts";
import { type DetectedProtocol, detectProtocol } from "./detect.ts";
import { DownstreamConnection } from "./downstream.ts";
import type { RequestHeaderSource } from "./http1/write.ts";
import type { RouteTable } from "./route/table.ts";
import { prepareSocket } from "./tcp.ts";
import { TCPProxy } from "./tcp-proxy.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

/** Most downstream connections of one set. */
export const connectionsMax = 16_384;

/** What is in force: an immutable snapshot; the clusters in it move on their own. */
export interface LiveConfig {
  readonly version: number;
  readonly listeners: ReadonlyMap<string, CompiledListener>;
  /** By "address:port". */
  readonly listenersByAddress: ReadonlyMap<string, CompiledListener>;
  readonly routes: ReadonlyMap<string, RouteTable>;
  readonly clusters: ReadonlyMap<string, Cluster>;
}

export interface ListenerSetOptions {
  readonly deps: EngineDeps;
  readonly observer: Observer;
  /** Headers set on each request, such as trace context. */
  readonly requestHeaders?: RequestHeaderSource;
  readonly live: () => LiveConfig;
}

export interface DrainOptions {
  /** What is drained; default both. */
  readonly direction?: Direction;
  /** Time before idle connections are closed, in ms: for answers already on their way to say so first. */
  readonly graceMs: number;
  /** Time before what is left is cut, in ms, >= `graceMs`. */
  readonly deadlineMs: number;
}

interface Served {
  readonly direction: Direction;
  closeIfIdle(): void;
  destroy(): void;
}

export class ListenerSet {
  readonly #options: ListenerSetOptions;
  readonly #served = new Map<Socket, Served>();
  readonly #draining = new Set<Direction>();
  readonly #waiting = new Set<() => void>();

  constructor(options: ListenerSetOptions) {
    this.#options = options;
  }

  get connectionCount(): number {
    return this.#served.size;
  }

  /** The listener for an original destination: its own address and port, then any address and its port. */
  find(destination: SocketAddress): CompiledListener | undefined {
    const { listenersByAddress } = this.#options.live();
    return (
      listenersByAddress.get(`${destination.address}:${destination.port}`) ??
      listenersByAddress.get(`0.0.0.0:${destination.port}`) ??
      listenersByAddress.get(`:::${destination.port}`)
    );
  }

  /** Serves an accepted socket by `listener`. The socket must not have been read from. */
  accept(socket: Socket, listener: CompiledListener, destination: SocketAddress): void {
    const { counters } = this.#options.deps;
    if (this.#served.size >= connectionsMax) {
      counters.downstreamRefused++;
      socket.destroy();
      return;
    }
    prepareSocket(socket);
    counters.downstreamOpen++;
    socket.once("close", () => this.#forget(socket));
    const info = { direction: listener.direction, remoteAddress: addressOf(socket), destination };
    const candidates = chainsForPort(listener, destination.port);
    const serve = (protocol: DetectedProtocol | undefined, initial: Buffer | undefined): void =>
      this.#serve(socket, info, { listener, chain: pickChain(listener, candidates, protocol), initial });
    if (listener.detects && candidates.some((chain) => chain.protocols.length > 0))
      this.#detect(socket, listener, serve);
    else serve(undefined, undefined);
  }

  /** Resolves when no connection is left. Answers carry `Connection: close` from now on; accepting goes on. */
  async drain(options: DrainOptions): Promise<void> {
    const directions: readonly Direction[] =
      options.direction === undefined ? ["inbound", "outbound"] : [options.direction];
    for (const direction of directions) this.#draining.add(direction);
    const members = (): Served[] =>
      [...this.#served.values()].filter(({ direction }) => directions.includes(direction));
    const { after } = this.#options.deps;
    after(options.graceMs, () => members().forEach((served) => served.closeIfIdle()));
    await new Promise<void>((resolve) => {
      const check = (): void => {
        if (members().length > 0) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      after(options.deadlineMs, () => {
        // Drained long ago: what came since is none of this drain's.
        if (!this.#waiting.has(check)) return;
        members().forEach((served) => served.destroy());
        check();
      });
      check();
    });
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const served of this.#served.values()) served.destroy();
  }

  #serve(
    socket: Socket,
    info: ConnectionInfo,
    {
      listener,
      chain,
      initial,
    }: { listener: CompiledListener; chain: CompiledChain | undefined; initial: Buffer | undefined },
  ): void {
    const { deps, observer, live } = this.#options;
    if (chain === undefined) {
      deps.log.debug("Cannot serve connection: no filter chain matches", { listener: listener.name });
      socket.destroy();
      return;
    }
    if (chain.filter.kind === "tcp") {
      const { cluster } = chain.filter;
      const proxy = new TCPProxy(socket, info, { deps, observer, cluster: () => live().clusters.get(cluster) });
      this.#served.set(socket, {
        direction: info.direction,
        // A TCP connection does not say when it is idle.
        closeIfIdle: () => undefined,
        destroy: () => proxy.destroy(),
      });
      proxy.start(initial);
      return;
    }
    const connection = new DownstreamConnection(socket, info, this.#httpContext(listener, chain.filter));
    this.#served.set(socket, {
      direction: info.direction,
      closeIfIdle: () => connection.closeIfIdle(),
      destroy: () => connection.destroy(),
    });
    connection.start(initial);
  }

  #httpContext(listener: CompiledListener, filter: Extract<CompiledChain["filter"], { kind: "http" }>): HTTPContext {
    const { deps, observer, requestHeaders, live } = this.#options;
    const { routeName } = filter;
    // Kept for the last requests of a connection whose listener, and with it the routes, has left.
    let last: RouteTable | undefined;
    return {
      deps,
      observer,
      requestHeaders,
      streamIdleMs: filter.streamIdleMs,
      routes: () => {
        if (routeName === undefined) return filter.inline;
        last = live().routes.get(routeName) ?? last;
        return last;
      },
      cluster: (name) => live().clusters.get(name),
      isDraining: () => this.#draining.has(listener.direction) || live().listeners.get(listener.name) !== listener,
    };
  }

  /** Reads until the protocol is known, the downstream ends, or it was silent for too long. */
  #detect(
    socket: Socket,
    listener: CompiledListener,
    serve: (protocol: DetectedProtocol | undefined, initial: Buffer | undefined) => void,
  ): void {
    const { wheel, nowMs, counters } = this.#options.deps;
    let bytes: Buffer | undefined;
    const settle = (protocol: DetectedProtocol | undefined): void => {
      wheel.cancel(deadline);
      socket.off("data", onData).off("end", onEnd).off("error", onError);
      serve(protocol, bytes);
    };
    const onData = (chunk: Buffer): void => {
      bytes = bytes === undefined ? chunk : Buffer.concat([bytes, chunk]);
      const protocol = detectProtocol(bytes);
      if (protocol !== undefined) settle(protocol);
    };
    const onEnd = (): void => settle("other");
    const onError = (): void => void socket.destroy();
    const deadline = new Deadline(() => {
      counters.detectTimeouts++;
      if (listener.continuesWhenSilent) settle(undefined);
      else socket.destroy();
    });
    if (listener.detectMs > 0) wheel.arm(deadline, nowMs() + listener.detectMs);
    this.#served.set(socket, {
      direction: listener.direction,
      closeIfIdle: () => socket.destroy(),
      destroy: () => socket.destroy(),
    });
    socket.on("data", onData).on("end", onEnd).on("error", onError);
    socket.once("close", () => wheel.cancel(deadline));
  }

  #forget(socket: Socket): void {
    this.#options.deps.counters.downstreamOpen--;
    this.#served.delete(socket);
    for (const check of this.#waiting) check();
  }
}

/** The peer's address without the prefix that a dual-stack socket gives IPv4. */
function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
