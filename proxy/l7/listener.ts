/**
 * Accepted connection → listener → filter chain → HTTP or TCP.
 *
 *   sidecar/ (accept, original destination) ─▶ ListenerSet ─▶ [inspect.ts] ─▶ filter chain ─▶ serve.ts
 *
 * The configuration is asked for at each connection and each request, so a new snapshot takes effect at once and breaks
 * nothing: a connection keeps the chain it started with, and is asked to close once its listener changed or left.
 * Invariant: at most `connectionsMax` connections; one beyond is closed at once and counted.
 */
import type { Socket } from "node:net";
import type { Cluster } from "./cluster.ts";
import { chainFor, inspectionOf } from "./chain-choice.ts";
import type { CompiledHTTP } from "./config/http.ts";
import { type CompiledChain, type CompiledListener, chainsOf, moduleConfigsOf } from "./config/listener.ts";
import { type CompiledTCP, pickTCPCluster } from "./config/tcp.ts";
import { Connections, type Place } from "./connections.ts";
import type { ConnectionInfo, Direction, HTTPContext, Load, Observer } from "./context.ts";
import type { HttpFilterFactory } from "./filter.ts";
import type { FilterModules } from "./filters/modules.ts";
import { filtersOf } from "./filters/registry.ts";
import type { RequestHeaderSource } from "./http1/write.ts";
import { type Inspected, Inspection, uninspected } from "./inspect.ts";
import type { RouteTable } from "./route/table.ts";
import { type Served, destroying, guarded, serveChain } from "./serve.ts";
import { prepareSocket } from "./tcp.ts";
import type { TCPContext } from "./tcp-proxy.ts";
import { tlsOf } from "./tls/certificates.ts";
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
  /** Who is told of a chain's requests and connections instead, such as its access logs; asked for each connection. */
  readonly observerFor?: (listener: CompiledListener, chain: CompiledChain, socket: Socket) => Observer;
  /** Headers set on each request, such as trace context. */
  readonly requestHeaders?: RequestHeaderSource;
  /** What sets them for a chain instead; asked for each connection. */
  readonly requestHeadersFor?: (filter: CompiledHTTP) => RequestHeaderSource;
  readonly live: () => LiveConfig;
  /** Filters that are modules of their own; undefined: there are none. */
  readonly filterModules?: FilterModules;
}

export interface DrainOptions {
  /** What is drained; default both. */
  readonly direction?: Direction;
  /** Time before idle connections are closed, in ms: for answers already on their way to say so first. */
  readonly graceMs: number;
  /** Time before what is left is cut, in ms, >= `graceMs`. */
  readonly deadlineMs: number;
}

interface Accepted {
  readonly socket: Socket;
  readonly place: Place;
  readonly listener: CompiledListener;
  readonly info: ConnectionInfo;
}

export class ListenerSet {
  readonly #options: ListenerSetOptions;
  readonly #connections = new Connections();
  /** Filters are made once for each chain. */
  readonly #filters = new WeakMap<CompiledHTTP, readonly HttpFilterFactory[]>();
  readonly #draining = new Set<Direction>();
  /** False: connections end behind their next answer, as in a drain, until it is true again. */
  keepsAlive: boolean = true;
  /** Connections so far. */
  #accepted = 0;
  readonly #waiting = new Set<() => void>();
  /** Of chains that nobody asks about. */
  readonly #load: Load = { requests: 0 };

  constructor(options: ListenerSetOptions) {
    this.#options = options;
  }

  get connectionCount(): number {
    return this.#connections.size;
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

  /**
   * Serves an accepted socket by `listener`. The socket must not have been read from. `destination` is where it was going
   * before it was intercepted; undefined: it was not.
   */
  accept(socket: Socket, listener: CompiledListener, destination: SocketAddress | undefined): void {
    const { counters } = this.#options.deps;
    if (this.#connections.size >= connectionsMax) {
      counters.downstreamRefused++;
      socket.destroy();
      return;
    }
    prepareSocket(socket);
    counters.downstreamOpen++;
    const place = this.#connections.join();
    socket.once("close", () => this.#forget(place));
    const remotePort = socket.remotePort ?? 0;
    const { localAddress, localPort } = socket;
    const local = { localAddress: localAddress?.replace(/^::ffff:/, ""), localPort };
    const peer = { remoteAddress: addressOf(socket), remotePort, id: ++this.#accepted };
    const info = { direction: listener.direction, ...peer, destination, ...local };
    const accepted = { socket, place, listener, info };
    const { wantsTLS, wantsHTTP } = inspectionOf(listener, destination?.port ?? localPort ?? 0);
    if (wantsTLS || wantsHTTP) this.#inspect(accepted, { wantsTLS, wantsHTTP });
    else this.#serve(accepted, uninspected, undefined);
  }

  /** Makes the filters of a listener with filter modules, which are loaded then instead of by the first request. */
  prepare(listener: CompiledListener): void {
    if (moduleConfigsOf(listener).length === 0) return;
    for (const { filter } of chainsOf(listener)) if (filter.kind === "http") this.#filtersOf(filter);
  }

  /** From now on connections end behind their next answer; HTTP/2 is told at once (GOAWAY). Nothing is cut. */
  endKeepAlive(directions: readonly Direction[]): void {
    for (const direction of directions) this.#draining.add(direction);
    for (const served of this.#servedOf(directions)) served.endKeepAlive();
  }

  /** Resolves when no connection is left. Answers carry `Connection: close` from now on; accepting goes on. */
  async drain(options: DrainOptions): Promise<void> {
    const directions: readonly Direction[] =
      options.direction === undefined ? ["inbound", "outbound"] : [options.direction];
    for (const direction of directions) this.#draining.add(direction);
    const members = (): Served[] => this.#servedOf(directions);
    const { after, log } = this.#options.deps;
    for (const served of members()) served.drain();
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
        const left = members();
        log.info("Cut connections: the time of the drain is over", { connections: left.length });
        for (const served of left) served.destroy();
        check();
      });
      check();
    });
  }

  #servedOf(directions: readonly Direction[]): Served[] {
    return this.#connections.served().filter(({ direction }) => directions.includes(direction));
  }

  /** Cuts every connection. */
  destroy(): void {
    for (const served of this.#connections.served()) served.destroy();
  }

  /** What fails in the set-up of a connection costs that connection. */
  #serve(accepted: Accepted, found: Inspected, initial: Buffer | undefined): void {
    const { socket, listener } = accepted;
    guarded(socket, { deps: this.#options.deps, listener: listener.name }, () =>
      this.#serveBy(accepted, found, initial),
    );
  }

  #serveBy({ socket, place, listener, info }: Accepted, found: Inspected, initial: Buffer | undefined): void {
    const { deps, live } = this.#options;
    const chain = chainFor(listener, info, found);
    if (chain === undefined) {
      deps.log.debug("Cannot serve connection: no filter chain matches", { listener: listener.name });
      socket.destroy();
      return;
    }
    const { filter } = chain;
    const observer = this.#options.observerFor?.(listener, chain, socket) ?? this.#options.observer;
    serveChain(
      socket,
      {
        deps,
        listener: listener.name,
        chain,
        info: infoOf(info, found, { listener, chain }),
        tls: tlsOf(chain),
        protocol: found.transport === "tls" ? undefined : found.protocols[0],
        httpContext: () => this.#httpContext(listener, filter as CompiledHTTP, observer),
        tcpContext: () => tcpContextOf(filter as CompiledTCP, { deps, observer, live }),
        onServed: (served) => (place.served = served),
      },
      initial,
    );
  }

  #filtersOf(filter: CompiledHTTP): readonly HttpFilterFactory[] {
    let filters = this.#filters.get(filter);
    if (filters === undefined) {
      const { deps, filterModules: modules } = this.#options;
      filters = filtersOf(filter.filters, { deps, modules, statPrefix: filter.statPrefix });
      this.#filters.set(filter, filters);
    }
    return filters;
  }

  #httpContext(listener: CompiledListener, filter: CompiledHTTP, observer: Observer): HTTPContext {
    const { deps, requestHeaders, requestHeadersFor, live } = this.#options;
    const { routeName } = filter;
    const added = requestHeadersFor?.(filter) ?? requestHeaders;
    // Kept for the last requests of a connection whose listener, and with it the routes, has left.
    let last: RouteTable | undefined;
    return {
      deps,
      observer,
      load: observer.load ?? this.#load,
      requestHeaders: added,
      newRequestId: added?.newRequestId,
      streamIdleMs: filter.streamIdleMs,
      options: filter.options,
      filters: this.#filtersOf(filter),
      policy: filter.policy,
      corsFilter: filter.corsFilter,
      maxStreamMs: filter.maxStreamMs,
      localReplies: filter.localReplies,
      tellsServiceTime: filter.tellsServiceTime,
      random: () => deps.random.next(),
      routes: () => {
        if (routeName === undefined) return filter.inline;
        last = live().routes.get(routeName) ?? last;
        return last;
      },
      cluster: (name) => live().clusters.get(name),
      isDraining: () =>
        !this.keepsAlive || this.#draining.has(listener.direction) || live().listeners.get(listener.name) !== listener,
    };
  }

  #inspect(accepted: Accepted, wants: { readonly wantsTLS: boolean; readonly wantsHTTP: boolean }): void {
    const { deps } = this.#options;
    const { socket, place, listener } = accepted;
    place.served = destroying(listener.direction, socket);
    // It lives by its listeners on the socket.
    void new Inspection(socket, {
      deps,
      ...wants,
      timeoutMs: listener.detectMs,
      onInspected: (found, bytes) => this.#serve(accepted, found, bytes),
      onSilent: (bytes) => {
        deps.counters.detectTimeouts++;
        if (listener.continuesWhenSilent) this.#serve(accepted, uninspected, bytes);
        else socket.destroy();
      },
    });
  }

  #forget(place: Place): void {
    this.#options.deps.counters.downstreamOpen--;
    this.#connections.leave(place);
    for (const check of this.#waiting) check();
  }
}

/** What is known of a connection once its chain is chosen. */
function infoOf(
  info: ConnectionInfo,
  { serverName }: Inspected,
  { listener, chain }: { readonly listener: CompiledListener; readonly chain: CompiledChain },
): ConnectionInfo {
  const { name: chainName, metadata: chainMetadata, filter } = chain;
  const trust = filter.kind === "http" ? filter.policy : undefined;
  const known = { ...info, chainName, chainMetadata, listenerMetadata: listener.metadata, trust };
  return serverName === "" ? known : { ...known, serverName };
}

/** The peer's address without the prefix that a dual-stack socket gives IPv4. */
function addressOf(socket: Socket): string {
  const address = socket.remoteAddress ?? "";
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}

function tcpContextOf(
  filter: CompiledTCP,
  { deps, observer, live }: Pick<ListenerSetOptions, "deps" | "observer" | "live">,
): TCPContext {
  return {
    deps,
    observer,
    idleMs: filter.idleMs,
    triesMax: filter.connectTries,
    tunneling: filter.tunneling,
    cluster: () => live().clusters.get(pickTCPCluster(filter)),
  };
}
