/**
 * The HTTP engine as the node has it: one cluster and one listener for each address and port of a Service that is
 * balanced per request. Loaded when there is the first one.
 *
 *   server.ts ─ frontends ─▶ Envoy's resources ─▶ proxy/l7 ◀─ accepted connections with their original destination
 *
 * Requests go round over keep-alive connections, each by the protocol that it came in. One that could not have had an
 * effect is tried again elsewhere; an endpoint that cannot be connected to is left out for a while. What is no HTTP is
 * passed on as TCP. The endpoint sees the node; the caller's address is in x-forwarded-for.
 */
import { connect, type Socket } from "node:net";
import { typeUrls } from "#api/xds/envoy.ts";
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { Cluster } from "#proxy/l7/cluster.ts";
import { compileCluster } from "#proxy/l7/config/cluster.ts";
import { type CompiledListener, compileListener } from "#proxy/l7/config/listener.ts";
import type { ExchangeRecord } from "#proxy/l7/context.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import { ListenerSet, type LiveConfig } from "#proxy/l7/listener.ts";
import { upstreamOptionsDefault } from "#proxy/l7/options.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { createCounters, type EngineCounters, type EngineDeps, type SocketAddress } from "#proxy/l7/types.ts";
import type { Target } from "../l4/categories.ts";

export interface RequestEngineOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** A request is done. `frontend` is what `put` named it. */
  readonly observe: (frontend: string, record: ExchangeRecord) => void;
}

/** Time for an endpoint to take a connection, before another one is tried. */
const connectTimeout = "1s";
/** A client that says nothing for this long waits for the server to speak first: that is no HTTP. */
const detectTimeout = "1s";
/** An endpoint that refused this often in a row is left out, at first for `ejectionTime`. */
const refusalsMax = 2;
const ejectionTime = "5s";

export class RequestEngine {
  readonly counters: EngineCounters = createCounters();
  readonly #deps: EngineDeps;
  readonly #listeners: ListenerSet;
  #live: LiveConfig = {
    version: 0,
    listeners: new Map(),
    listenersByAddress: new Map(),
    routes: new Map(),
    clusters: new Map(),
  };

  constructor({ clock, random, log, observe }: RequestEngineOptions) {
    this.#deps = {
      dial: (host, port, options) => connect({ host, port, ...options }),
      wheel: new TimerWheel(clock),
      nowMs: () => clock.monotonicMs(),
      wallMs: () => clock.nowMs(),
      after: (delayMs, callback) => void clock.after(delayMs, callback),
      log,
      random,
      counters: this.counters,
    };
    this.#listeners = new ListenerSet({
      deps: this.#deps,
      observer: {
        onExchange: (record) => observe(record.cluster?.name ?? "", record),
        onTCPOpen: () => undefined,
        onTCPClose: () => undefined,
      },
      live: () => this.#live,
    });
  }

  /**
   * Serves each frontend by its targets from now on, and requests under way end where they are; or, without targets, no
   * more: then connections are asked to end after their requests.
   */
  update(changes: ReadonlyMap<string, readonly Target[] | undefined>): void {
    const { version, listeners, clusters, ...rest } = this.#live;
    const isMember = ([frontend, targets]: [string, unknown]): boolean =>
      clusters.has(frontend) && targets !== undefined;
    for (const [frontend, targets] of [...changes].filter(isMember))
      clusters.get(frontend)?.update((targets ?? []).map(toEndpoint));
    const others = [...changes].filter((change) => !isMember(change));
    if (others.length === 0) return;
    // Copied once for all that come and go together.
    const [byName, known] = [new Map(listeners), new Map(clusters)];
    for (const [frontend, targets] of others) {
      known.get(frontend)?.close();
      known.delete(frontend);
      byName.delete(frontend);
      if (targets === undefined) continue;
      known.set(frontend, new Cluster({ ...clusterOf(frontend), endpoints: targets.map(toEndpoint) }, this.#deps));
      byName.set(frontend, transparent(compileListener(listenerOf(frontend))));
    }
    this.#live = { ...rest, version: version + 1, listeners: byName, clusters: known };
  }

  /** Takes a connection that was meant for `frontend`. */
  accept(socket: Socket, frontend: string, destination: SocketAddress): void {
    const listener = this.#live.listeners.get(frontend);
    if (listener === undefined) socket.resetAndDestroy();
    else this.#listeners.accept(socket, listener, destination);
  }

  close(): void {
    this.#listeners.destroy();
    for (const cluster of this.#live.clusters.values()) cluster.close();
  }
}

function toEndpoint({ address, port }: Target): EndpointSpec {
  return { address, port, workload: "", isServing: true, priority: 0 };
}

function clusterOf(name: string): ReturnType<typeof compileCluster> {
  const spec = compileCluster({
    name,
    type: "STATIC",
    connect_timeout: connectTimeout,
    load_assignment: { cluster_name: name, endpoints: [] },
    outlier_detection: {
      split_external_local_origin_errors: true,
      consecutive_local_origin_failure: refusalsMax,
      // What an application answers is its own affair.
      enforcing_consecutive_5xx: 0,
      enforcing_success_rate: 0,
      base_ejection_time: ejectionTime,
      max_ejection_percent: 50,
    },
  });
  // As the request came: an endpoint is not asked to speak what its caller does not.
  return { ...spec, upstream: { ...upstreamOptionsDefault, protocol: "downstream" } };
}

/** An application may ask for any upgrade without a proxy, too; configuration would have to name each. */
function transparent(listener: CompiledListener): CompiledListener {
  const chains = listener.chains.map((chain) => {
    const { filter } = chain;
    if (filter.kind !== "http") return chain;
    return { ...chain, filter: { ...filter, policy: { ...filter.policy, allowsAnyUpgrade: true } } };
  });
  return { ...listener, chains };
}

function listenerOf(name: string): unknown {
  const retry_policy = { retry_on: "connect-failure,reset", num_retries: 2 };
  const routes = [{ match: { prefix: "/" }, route: { cluster: name, timeout: "0s", retry_policy } }];
  const http = {
    "@type": typeUrls.httpConnectionManager,
    stat_prefix: name,
    use_remote_address: true,
    // Callers are the cluster's own: what one pod calls a request, the next must call it, too.
    preserve_external_request_id: true,
    forward_client_cert_details: "ALWAYS_FORWARD_ONLY",
    // What an application may do without a proxy: HTTP/1.0, and WebSocket over HTTP/2.
    http_protocol_options: { accept_http_10: true },
    http2_protocol_options: { allow_connect: true },
    stream_idle_timeout: "0s",
    route_config: { name, virtual_hosts: [{ name, domains: ["*"], routes }] },
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": typeUrls.router } }],
  };
  const tcp = { "@type": typeUrls.tcpProxy, stat_prefix: name, cluster: name };
  return {
    name,
    // Connections come by their original destination; this one is nobody's.
    address: { socket_address: { address: "0.0.0.0", port_value: 1 } },
    traffic_direction: "OUTBOUND",
    listener_filters: [{ name: "inspector", typed_config: { "@type": typeUrls.httpInspector } }],
    listener_filters_timeout: detectTimeout,
    continue_on_listener_filters_timeout: true,
    filter_chains: [
      {
        filter_chain_match: { application_protocols: ["http/1.0", "http/1.1", "h2c"] },
        filters: [{ name: "http", typed_config: http }],
      },
      { filters: [{ name: "tcp", typed_config: tcp }] },
    ],
  };
}
