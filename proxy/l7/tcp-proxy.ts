/**
 * A TCP chain: one downstream connection → one endpoint of its cluster, then a splice.
 *
 *   listener.ts ─▶ TCPProxy ─▶ pick, connect (another endpoint on failure) ─▶ tcp.ts
 *
 * Nothing is read from the downstream until there is an upstream, so trying another endpoint is safe, and a downstream
 * whose protocol lets the server speak first never waits. Invariants: when no endpoint takes it, the downstream sees a
 * reset, as if its connection had been refused; a connection has its place in the cluster's max_connections from before
 * it is made until it is closed, and nobody waits for one: TCP connections last.
 */
import type { Socket } from "node:net";
import type { FormatUpstream } from "./accesslog/types.ts";
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo, Observer, TCPRecord } from "./context.ts";
import type { DialFailure } from "./dial-failure.ts";
import { type DialOwner, Dialing } from "./dial.ts";
import type { Endpoint } from "./endpoint.ts";
import { HTTP1Error } from "./http1/errors.ts";
import type { RequestHead } from "./http1/request.ts";
import { TCPTunnel, type TCPTunnelOwner } from "./tcp-tunnel.ts";
import { resetSocket, splice } from "./tcp.ts";
import { type TunnelRequest, tunnelHead } from "./tunnel-request.ts";
import type { EngineDeps, ResponseFlag } from "./types.ts";

export interface TCPContext {
  readonly deps: EngineDeps;
  readonly observer: Observer;
  /** Time without bytes in either direction, in ms; 0 is none. */
  readonly idleMs: number;
  /** Endpoints tried for one connection. */
  readonly triesMax: number;
  /** The upstream is asked for a tunnel. */
  readonly tunneling: TunnelRequest | undefined;
  cluster(): Cluster | undefined;
}

export class TCPProxy implements TCPRecord, DialOwner, TCPTunnelOwner {
  readonly deps: EngineDeps;
  readonly connection: ConnectionInfo;
  cluster: Cluster | undefined;
  endpoint: Endpoint | undefined;
  flag: ResponseFlag = "-";
  receivedBytes = 0;
  sentBytes = 0;
  readonly startMs: number;
  /** Of the last endpoint that was tried. */
  upstreamFailure: string | undefined;
  readonly #downstream: Socket;
  readonly #context: TCPContext;
  readonly #tried: Endpoint[] = [];
  /** Of the monotonic clock. */
  readonly #beganMs: number;
  #initial: Buffer | undefined;
  /** The upstream in the making. */
  #dialing: { cancel(): void } | undefined;
  #upstream: Socket | undefined;
  #tunnel: TCPTunnel | undefined;
  /** An upstream took it. */
  #isOpen = false;

  constructor(downstream: Socket, connection: ConnectionInfo, context: TCPContext) {
    this.#downstream = downstream;
    this.connection = connection;
    this.#context = context;
    this.deps = context.deps;
    this.startMs = context.deps.wallMs();
    this.#beganMs = context.deps.nowMs();
  }

  get upstream(): FormatUpstream | undefined {
    return this.#isOpen ? { socket: this.#upstream } : undefined;
  }

  get durationMs(): number {
    return this.deps.nowMs() - this.#beganMs;
  }

  /** Serves the socket; `initial` is what was read from it before. */
  start(initial: Buffer | undefined): void {
    this.#initial = initial;
    this.cluster = this.#context.cluster();
    this.#downstream.pause();
    // "close" follows; what there is to do is done there.
    this.#downstream.on("error", this.#onGone);
    this.#downstream.on("close", this.#onGone);
    this.#tryNext();
  }

  destroy(): void {
    this.#downstream.destroy();
    this.#upstream?.destroy();
  }

  readonly #onGone = (): void => {
    this.#downstream.destroy();
    if (this.#dialing === undefined) return;
    this.#dialing.cancel();
    this.#dialing = undefined;
    this.#fail("DC");
  };

  #tryNext(): void {
    const endpoint = this.cluster?.pick({ tried: this.#tried, destination: this.connection.destination });
    if (endpoint === undefined) return this.#refuse(this.cluster === undefined ? "NC" : "UH");
    if (this.#tried.length >= this.#context.triesMax || this.#tried.includes(endpoint)) return this.#refuse("UF");
    this.#tried.push(endpoint);
    this.endpoint = endpoint;
    this.upstreamFailure = undefined;
    this.#connect(endpoint, this.cluster!);
  }

  #connect(endpoint: Endpoint, cluster: Cluster): void {
    const { tunneling } = this.#context;
    if (tunneling !== undefined) return this.#ask(endpoint, cluster, tunneling);
    const { pool } = endpoint;
    if (!pool.reserve(false)) {
      this.deps.counters.upstreamOverflows++;
      return this.#refuse("UO");
    }
    const dialing = new Dialing(this, { to: endpoint, timeoutMs: cluster.spec.connectTimeoutMs, tls: pool.tls });
    this.#dialing = {
      cancel: () => {
        dialing.cancel();
        pool.release();
      },
    };
  }

  #ask(endpoint: Endpoint, cluster: Cluster, request: TunnelRequest): void {
    let head: RequestHead;
    try {
      head = tunnelHead(request, this);
    } catch (error) {
      if (!(error instanceof HTTP1Error)) throw error;
      this.deps.log.warn("Cannot ask for tunnel", { cluster: cluster.name, error: error.message });
      return this.#refuse("UF");
    }
    const { idleMs } = this.#context;
    const downstream = this.#downstream;
    const tunnel = new TCPTunnel(this, { downstream, cluster, endpoint, head, idleMs, counts: this });
    this.#dialing = tunnel;
    this.#tunnel = tunnel;
    tunnel.start();
  }

  onTunnelOpen(): void {
    this.#dialing = undefined;
    this.#begin();
    this.#tunnel!.serve(this.#initial);
    this.#initial = undefined;
  }

  onTunnelFailed(why: string): void {
    this.#onFailed(why);
  }

  onTunnelEnd(): void {
    this.#context.observer.onTCPClose(this);
  }

  onDialed(upstream: Socket): void {
    this.#dialing = undefined;
    this.#upstream = upstream;
    this.endpoint!.requestTotal++;
    // There is no status: a connection that came about counts as an answer that is none of a failure's.
    this.cluster!.outliers?.report(this.endpoint!, { kind: "status", status: 200 });
    this.#splice(upstream);
  }

  onDialFailed(failure: DialFailure): void {
    const endpoint = this.endpoint!;
    endpoint.pool.countFailure(failure, 1);
    endpoint.pool.release();
    this.cluster!.outliers?.report(endpoint, { kind: "local" });
    this.upstreamFailure = failure.reason;
    this.#onFailed(failure.why);
  }

  #onFailed(why: string): void {
    this.#dialing = undefined;
    this.deps.log.debug("Cannot dial endpoint", { cluster: this.cluster!.name, error: why });
    this.#tryNext();
  }

  #splice(upstream: Socket): void {
    const { deps } = this.#context;
    const { pool } = this.endpoint!;
    this.#begin();
    splice(this.#downstream, upstream, {
      wheel: deps.wheel,
      nowMs: deps.nowMs,
      idleMs: this.#context.idleMs,
      downstreamBytes: this.#initial,
      counts: this,
      onEnd: () => {
        pool.release();
        this.#context.observer.onTCPClose(this);
      },
    });
    this.#initial = undefined;
  }

  /** The downstream is the splice's, or the tunnel's. */
  #begin(): void {
    this.#isOpen = true;
    this.#downstream.off("close", this.#onGone);
    this.#downstream.off("error", this.#onGone);
    this.#context.observer.onTCPOpen(this);
  }

  #refuse(flag: ResponseFlag): void {
    this.#fail(flag);
    resetSocket(this.#downstream);
  }

  /** Told as an opening and a closing: the connection was there, if only on this side. */
  #fail(flag: ResponseFlag): void {
    this.flag = flag;
    this.#context.observer.onTCPOpen(this);
    this.#context.observer.onTCPClose(this);
  }
}
