/**
 * A sidecar of its own, by an Envoy bootstrap: what `wherry sidecar -c envoy.yaml` runs.
 *
 *   BootstrapConfig ─▶ StandaloneSidecar.start() ─▶ ConfigState (static, then ADS) ─▶ bound listeners ─▶ ListenerSet
 *
 *   Starting ─▶ Live ─▶ Draining ─▶ Closed
 *
 * Invariants: the whole static configuration is compiled before anything is bound; every listener is bound before
 * start() resolves; an address that cannot be bound is told by name and ends the start.
 */
import type { Server, Socket } from "node:net";
import type { AdsClient } from "#api/xds/client.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import type { Clock } from "#lib/clock.ts";
import { collectGarbage } from "#lib/collect.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { asksRequestId } from "#proxy/l7/accesslog/log.ts";
import { AccessLogs } from "#proxy/l7/accesslog/sink.ts";
import { type CompiledChain, type CompiledListener, chainsOf, moduleConfigsOf } from "#proxy/l7/config/listener.ts";
import type { Observer } from "#proxy/l7/context.ts";
import type { FilterModules } from "#proxy/l7/filters/modules.ts";
import { ListenerSet, type LiveConfig } from "#proxy/l7/listener.ts";
import { readClock } from "#proxy/l7/read-clock.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { type Dial, type EngineDeps, type SocketAddress, createCounters } from "#proxy/l7/types.ts";
import type { ListeningSocket } from "../hot-restart.ts";
import { type AdminPagesView, changeBy, createAdminPages, drainURL } from "../admin/pages.ts";
import { EnvoyStats } from "../admin/stats.ts";
import type { AllStats } from "../admin/stats-page.ts";
import { statName } from "../admin/zero-stats.ts";
import { SidecarError } from "../errors.ts";
import { messageAbout } from "../place.ts";
import { ConfigState } from "../state.ts";
import { LoggedRequestIds, RequestIds } from "../tracing.ts";
import { Ids } from "../tracing-ids.ts";
import { type AdminContext, adminView, statsOf } from "./admin-view.ts";
import type { BootstrapConfig } from "./config.ts";
import { DNSClusters, type Lookup } from "./dns-clusters.ts";
import { ListenerDrain } from "./listener-drain.ts";
import type { LogLevels } from "./log-levels.ts";
import { Inherited, Ports, addressOf, listen, listening } from "./ports.ts";

/** A heap beyond is mostly what the configuration was read from, in bytes; without one it is 15 MB. */
const largeHeapBytes: number = 48 * 1024 * 1024;

export interface StandaloneDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly dial: Dial;
  readonly lookup: Lookup;
  /** Where an intercepted connection was going. May throw: the connection is then closed. */
  readonly originalDst: (socket: Socket) => SocketAddress;
  /** The client of the control plane at `target`; asked for once, when the bootstrap has one. */
  readonly createADS: (target: string, node: BootstrapConfig["node"], isDelta: boolean) => AdsClient;
  readonly levels: LogLevels;
  /** POST /quitquitquit. */
  readonly onQuit: () => void;
  /** What the processes beside this one have counted; default: there are none. */
  readonly siblingStats?: () => Promise<readonly AllStats[]>;
  /** What a POST to an admin page changed here changes in them, too; default: there are none. */
  readonly changeSiblings?: (url: string) => void;
  /** Time before listeners close in a graceful drain that /drain_listeners starts, in ms; default: Envoy's, 10 minutes. */
  readonly drainMs?: number;
  /** Processes that serve side by side, this one among them; default 1. */
  readonly concurrency?: number;
  /** Filters that are modules of their own; undefined: there are none. */
  readonly filterModules?: FilterModules | undefined;
  /** Descriptors that listen, of the process whose place this one takes, by what sockets() calls them. */
  readonly inherited?: ReadonlyMap<string, number> | undefined;
}

/** Envoy's --drain-time-s default, in ms. */
const defaultDrainMs = 600_000;

export interface DrainTimes {
  /** Time for what is in flight, in ms. */
  readonly drainMs: number;
}

/** Time between "no keep-alive" and the closing of idle connections in a drain, in ms. */
const drainGraceMs = 1000;
/** What the socket of the admin pages is called towards the process that follows. */
export const adminKey: string = "admin";

export class StandaloneSidecar implements AdminContext {
  readonly config: BootstrapConfig;
  readonly deps: StandaloneDeps;
  readonly stats: EnvoyStats = new EnvoyStats();
  readonly state: ConfigState;
  readonly engine: EngineDeps;
  readonly startMs: number;
  isDraining: boolean = false;
  /** By /drain_listeners, so far. */
  stoppedListeners: number = 0;
  isLive: boolean = false;
  readonly listenerDrain: ListenerDrain;
  readonly #listeners: ListenerSet;
  readonly #inherited: Inherited;
  readonly #ports: Ports;
  readonly #dns: DNSClusters;
  readonly #logs: AccessLogs;
  readonly #requestIds: RequestIds;
  readonly #loggedIds: LoggedRequestIds;
  readonly #observers = new WeakMap<CompiledChain, Observer>();
  readonly #stopped = new AbortController();
  #ads: AdsClient | undefined;
  #admin: Server | undefined;
  #live: LiveConfig;
  /** The control plane has sent what was waited for. */
  #hasDynamic = false;
  #whenComplete: (() => void) | undefined;

  /** Compiles the static configuration; throws an error with the field's path. */
  constructor(config: BootstrapConfig, deps: StandaloneDeps) {
    this.config = config;
    this.deps = deps;
    this.startMs = deps.clock.nowMs();
    this.engine = {
      dial: deps.dial,
      wheel: new TimerWheel(deps.clock),
      nowMs: readClock.of(() => deps.clock.monotonicMs()),
      wallMs: () => deps.clock.nowMs(),
      after: (delayMs, callback) => void deps.clock.after(delayMs, callback),
      log: deps.log,
      random: deps.random,
      counters: createCounters(),
      serviceCluster: config.node.cluster,
    };
    this.#logs = new AccessLogs({ clock: deps.clock, log: deps.log, random: () => deps.random.next() });
    const ids = new Ids(deps.random);
    this.#requestIds = new RequestIds(ids);
    this.#loggedIds = new LoggedRequestIds(ids);
    this.#dns = new DNSClusters({ ...deps, onWarm: () => this.state.refresh() });
    this.#inherited = new Inherited(deps.inherited ?? new Map());
    this.#ports = new Ports({
      onSocket: (socket, name) => this.#accept(socket, name),
      inherited: this.#inherited,
    });
    this.listenerDrain = new ListenerDrain({
      clock: deps.clock,
      drainMs: this.drainMs,
      endKeepAlive: (directions) => this.#listeners.endKeepAlive(directions),
      onStop: (directions) => {
        for (const { direction } of this.#live.listeners.values())
          if (directions.includes(direction)) this.stoppedListeners++;
        if (this.isLive) this.#bindAgain();
      },
      tell: (request) => deps.changeSiblings?.(drainURL(request)),
    });
    this.state = new ConfigState({
      deps: this.engine,
      hasAllClusters: config.ads?.hasClusters !== true,
      onNames: (typeUrl, names) => this.#ads?.setNames(typeUrl, names),
      onLive: (live) => this.#onLive(live),
    });
    this.#live = this.state.live;
    this.#listeners = new ListenerSet({
      deps: this.engine,
      observer: silent,
      observerFor: (_listener, chain, socket) => this.#observerOf(chain, socket),
      requestHeadersFor: ({ accessLogs }) => (asksForId(accessLogs) ? this.#loggedIds : this.#requestIds),
      live: () => this.#live,
      ...(deps.filterModules === undefined ? {} : { filterModules: deps.filterModules }),
    });
    this.state.apply(typeUrls.cluster, config.clusters, []);
    this.state.apply(typeUrls.listener, config.listeners, []);
    // A control plane's come later.
    const unknown = config.ads?.hasClusters === true ? [] : this.state.unknownClusters();
    if (unknown.length > 0) throw new SidecarError("BAD_BOOTSTRAP", unknown.slice(0, 10).join("; "));
  }

  get live(): LiveConfig {
    return this.#live;
  }

  /** What /healthcheck/fail says. While it is false keep-alive ends, too. */
  get isHealthy(): boolean {
    return this.#listeners.keepsAlive;
  }

  set isHealthy(isHealthy: boolean) {
    this.#listeners.keepsAlive = isHealthy;
  }

  get addresses(): ReadonlyMap<string, SocketAddress> {
    return this.#ports.addresses;
  }

  /** Time between a graceful drain's begin and the end of listening, in ms. */
  get drainMs(): number {
    return this.deps.drainMs ?? defaultDrainMs;
  }

  get adminAddress(): SocketAddress | undefined {
    return this.#admin === undefined ? undefined : addressOf(this.#admin);
  }

  /** Of this process alone. */
  get ownStats(): AllStats {
    return statsOf(this);
  }

  get connectionCount(): number {
    return this.#listeners.connectionCount;
  }

  /** What listens now, for the process that follows. */
  sockets(): readonly ListeningSocket[] {
    const admin = this.#admin === undefined ? [] : listening(adminKey, this.#admin);
    return [...this.#ports.sockets(), ...admin];
  }

  /** Loads the filter modules of all listeners; throws what is wrong with one. */
  async checkModules(): Promise<void> {
    for (const listener of this.state.listeners)
      for (const config of moduleConfigsOf(listener))
        try {
          await this.deps.filterModules?.check(config);
        } catch (error) {
          const path = this.state.placeOf(listener.name)?.path ?? listener.name;
          throw this.#refusal(listener, `Cannot use ${path}: ${messageOf(error)}`, error);
        }
  }

  /** Throws for an access log that could not be written; makes none. */
  checkLogs(): void {
    for (const listener of this.state.listeners) this.#withLogs(listener, (specs) => this.#logs.check(specs));
  }

  /** Resolves when every listener of the first whole configuration is bound. */
  async start(): Promise<void> {
    const { admin } = this.config;
    if (admin !== undefined) {
      this.#admin = createAdminPages(this.#view());
      await listen(this.#admin, admin, { what: "admin", fd: this.#inherited.take(adminKey) });
    }
    this.#subscribe();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenComplete = resolve;
    this.#onLive(this.#live);
    await promise;
    // Reading a large configuration leaves several times its size behind: it is given back before anything is served.
    if (process.memoryUsage().heapUsed > largeHeapBytes) collectGarbage("major");
    for (const listener of this.#live.listeners.values()) this.#prepare(listener);
    await this.#bind();
    this.#inherited.close();
    this.isLive = true;
    // Without what was stopped meanwhile.
    await this.#bind();
  }

  /** What requests would have to wait for, or find missing. */
  #prepare(listener: CompiledListener): void {
    this.#listeners.prepare(listener);
    this.#withLogs(listener, (specs) => this.#logs.create(specs));
  }

  #withLogs(listener: CompiledListener, step: (specs: CompiledChain["filter"]["accessLogs"]) => void): void {
    try {
      for (const { filter } of chainsOf(listener)) step(filter.accessLogs);
    } catch (error) {
      throw this.#refusal(listener, messageOf(error), error);
    }
  }

  #refusal({ name }: CompiledListener, message: string, cause: unknown): SidecarError {
    return new SidecarError("BAD_BOOTSTRAP", messageAbout({ name, place: this.state.placeOf(name) }, message), {
      cause,
    });
  }

  /** Ends keep-alive and waits for what is in flight, at most `drainMs`; then closes. */
  async shutDown({ drainMs }: DrainTimes): Promise<void> {
    this.#ports.close();
    this.isDraining = true;
    // Neither the engine's timers nor sockets that are not read from keep the process alive until it is drained.
    const drained = new AbortController();
    const waiting = this.deps.clock.sleep(drainMs + drainGraceMs, drained.signal).catch(() => undefined);
    await this.#listeners.drain({ graceMs: Math.min(drainGraceMs, drainMs), deadlineMs: drainMs });
    drained.abort();
    await waiting;
    this.#inherited.close();
    this.#stopped.abort();
    this.deps.filterModules?.close();
    this.#dns.close();
    this.#listeners.destroy();
    for (const cluster of this.#live.clusters.values()) cluster.close();
    await this.#logs.close();
    const admin = this.#admin;
    if (admin?.listening !== true) return;
    await new Promise<void>((resolve) => {
      admin.close(() => resolve());
      if ("closeAllConnections" in admin && typeof admin.closeAllConnections === "function")
        admin.closeAllConnections();
    });
  }

  /** Access logs are made anew, for rotation. */
  reopenLogs(): void {
    this.#logs.reopen();
  }

  /** As a POST to the admin page with this path and query does. */
  change(url: string): void {
    changeBy(this.#view(), url);
  }

  /** What POSTs to the admin pages have changed so far, as their paths and queries: for a process beside this one. */
  get standing(): readonly string[] {
    const health = this.isHealthy ? [] : ["/healthcheck/fail"];
    return [`/logging?level=${this.deps.levels.current}`, ...health, ...this.listenerDrain.standing.map(drainURL)];
  }

  #view(): AdminPagesView {
    return adminView(this);
  }

  #subscribe(): void {
    const { ads, node, clusters } = this.config;
    if (ads === undefined) return;
    const client = this.deps.createADS(targetOf(ads.cluster, clusters), node, ads.isDelta);
    this.#ads = client;
    const take = (typeUrl: string, names: readonly string[] | "*"): void =>
      client.subscribe(typeUrl, names, {
        apply: (updated, removed) => {
          if (typeUrl === typeUrls.listener || !ads.hasListeners) this.#hasDynamic = true;
          this.state.apply(typeUrl, updated, removed);
        },
      });
    if (ads.hasClusters) take(typeUrls.cluster, "*");
    take(typeUrls.endpoint, this.state.namesOf(typeUrls.endpoint));
    if (ads.hasListeners) take(typeUrls.listener, "*");
    take(typeUrls.route, this.state.namesOf(typeUrls.route));
    void client.run(this.#stopped.signal);
  }

  #accept(socket: Socket, name: string): void {
    const listener = this.#live.listeners.get(name);
    // An early reset must not end the process while nobody else listens.
    socket.on("error", () => socket.destroy());
    if (listener === undefined) return void socket.destroy();
    this.stats.countAccepted(statName(listener), socket);
    let destination: SocketAddress | undefined;
    if (listener.usesOriginalDst) {
      try {
        destination = redirectedFrom(this.deps.originalDst(socket), socket);
      } catch (error) {
        this.deps.log.debug("Cannot read original destination", { error: messageOf(error) });
        return void socket.destroy();
      }
    }
    const found = destination === undefined ? undefined : this.#listeners.find(destination);
    this.#listeners.accept(socket, found ?? listener, destination);
  }

  #onLive(live: LiveConfig): void {
    this.#live = live;
    this.#dns.follow(live.clusters.values());
    if (this.isLive) return this.#bindAgain();
    const { ads } = this.config;
    // With a control plane its clusters and listeners have to have come, too.
    const isAnswered = ads === undefined || this.#ads?.state === "synced" || this.#hasDynamic;
    if (this.state.isComplete && isAnswered) this.#whenComplete?.();
  }

  async #bind(): Promise<void> {
    const wanted = [...this.#live.listeners.values()].filter(
      ({ bindsToPort, direction }) => bindsToPort && !this.listenerDrain.stops(direction),
    );
    await this.#ports.bind(
      wanted.map(({ name, address, port, takesIPv4 }) => {
        const place = this.state.placeOf(name);
        // The name of one that has none stands nowhere in the file.
        const what = place !== undefined && place.title === undefined ? place.path : `listener ${JSON.stringify(name)}`;
        return { name, address, port, what, takesIPv4 };
      }),
    );
  }

  #bindAgain(): void {
    this.#bind().catch((error: unknown) => this.deps.log.error(messageOf(error)));
  }

  /** Counts, then writes access logs. */
  #observerOf(chain: CompiledChain, socket: Socket): Observer {
    const { filter } = chain;
    if (filter.kind === "http") this.stats.countHTTP(filter.statPrefix, socket);
    const known = this.#observers.get(chain);
    if (known !== undefined) return known;
    const logged = this.#logged(filter.accessLogs);
    const observer =
      filter.kind === "http"
        ? this.stats.observeHTTP(filter.statPrefix, logged)
        : this.stats.observeTCP(filter.statPrefix, logged);
    this.#observers.set(chain, observer);
    return observer;
  }

  #logged(specs: CompiledChain["filter"]["accessLogs"]): Observer {
    if (specs.length === 0) return silent;
    const { clock } = this.deps;
    const asksId = asksForId(specs);
    return {
      onExchange: (record) => {
        const { head, sentHead = head } = record;
        const requestId =
          asksId && head !== undefined && sentHead !== undefined ? this.#loggedIds.idOf(head, sentHead) : undefined;
        this.#logs.write(specs, record, { startMs: clock.nowMs() - record.durationMs, requestId });
      },
      onTCPOpen: () => undefined,
      onTCPClose: (record) =>
        this.#logs.write(
          specs,
          {
            ...noRequest,
            connection: record.connection,
            cluster: record.cluster,
            endpoint: record.endpoint,
            flag: record.flag,
            upstream: record.upstream,
            upstreamFailure: record.upstreamFailure,
            requestBytes: record.receivedBytes,
            responseBytes: record.sentBytes,
            durationMs: record.durationMs,
          },
          { startMs: record.startMs },
        ),
    };
  }
}

const noRequest = { head: undefined, status: 0 } as const;

const silent: Observer = { onExchange: () => undefined, onTCPOpen: () => undefined, onTCPClose: () => undefined };

/** `original`, unless it is where the socket came to: nobody redirected it, and it would be sent to this very listener. */
function redirectedFrom(original: SocketAddress, { localAddress, localPort }: Socket): SocketAddress | undefined {
  const plain = (address = ""): string => address.replace(/^::ffff:/, "");
  const isOwn = original.port === localPort && plain(original.address) === plain(localAddress);
  return isOwn ? undefined : original;
}

function asksForId(specs: CompiledChain["filter"]["accessLogs"]): boolean {
  return specs.some(({ format }) => asksRequestId(format));
}

interface RawCluster {
  readonly load_assignment?: {
    readonly endpoints?: readonly {
      readonly lb_endpoints?: readonly {
        readonly endpoint?: {
          readonly address?: { readonly socket_address?: { readonly address?: string; readonly port_value?: number } };
        };
      }[];
    }[];
  };
}

/** "host:port" of the first endpoint of the control plane's cluster, which gRPC dials itself. */
function targetOf(name: string, clusters: BootstrapConfig["clusters"]): string {
  const resource = clusters.find((cluster) => cluster.name === name)?.resource as RawCluster | undefined;
  const at = resource?.load_assignment?.endpoints?.[0]?.lb_endpoints?.[0]?.endpoint?.address?.socket_address;
  return `${at?.address ?? "127.0.0.1"}:${at?.port_value ?? 0}`;
}
