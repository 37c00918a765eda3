/**
 * A TCP chain: one downstream connection → one endpoint of its cluster, then a splice.
 *
 *   listener.ts ─▶ TCPProxy ─▶ pick, connect (another endpoint on failure) ─▶ tcp.ts
 *
 * Nothing is read from the downstream until there is an upstream, so trying another endpoint is safe, and a downstream
 * whose protocol lets the server speak first never waits. Invariant: when no endpoint takes it, the downstream sees a
 * reset, as if its connection had been refused.
 */
import type { Socket } from "node:net";
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo, Observer, TCPRecord } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import { resetSocket, splice } from "./tcp.ts";
import { Deadline } from "./timer-wheel.ts";
import { type EngineDeps, type ResponseFlag, dialOptions } from "./types.ts";

/** Time without bytes in either direction, in ms: Envoy's tcp_proxy idle_timeout default. */
const idleMs = 3_600_000;
/** Endpoints tried for one connection. */
const triesMax = 3;

export interface TCPContext {
  readonly deps: EngineDeps;
  readonly observer: Observer;
  cluster(): Cluster | undefined;
}

export class TCPProxy implements TCPRecord {
  readonly connection: ConnectionInfo;
  cluster: Cluster | undefined;
  endpoint: Endpoint | undefined;
  flag: ResponseFlag = "-";
  receivedBytes = 0;
  sentBytes = 0;
  readonly #downstream: Socket;
  readonly #context: TCPContext;
  readonly #tried: Endpoint[] = [];
  #initial: Buffer | undefined;
  #upstream: Socket | undefined;

  constructor(downstream: Socket, connection: ConnectionInfo, context: TCPContext) {
    this.#downstream = downstream;
    this.connection = connection;
    this.#context = context;
  }

  /** Serves the socket; `initial` is what was read from it before. */
  start(initial: Buffer | undefined): void {
    this.#initial = initial;
    this.cluster = this.#context.cluster();
    this.#downstream.pause();
    // "close" follows; what there is to do is done there.
    this.#downstream.on("error", this.#destroyUpstream);
    this.#downstream.on("close", this.#destroyUpstream);
    this.#tryNext();
  }

  destroy(): void {
    this.#downstream.destroy();
    this.#upstream?.destroy();
  }

  readonly #destroyUpstream = (): void => {
    this.#downstream.destroy();
    this.#upstream?.destroy();
  };

  #tryNext(): void {
    const endpoint = this.cluster?.pick(this.#tried, this.connection.destination);
    if (endpoint === undefined) return this.#refuse(this.cluster === undefined ? "NC" : "UH");
    if (this.#tried.length >= triesMax || this.#tried.includes(endpoint)) return this.#refuse("UF");
    this.#tried.push(endpoint);
    this.endpoint = endpoint;
    this.#connect(endpoint, this.cluster!);
  }

  #connect(endpoint: Endpoint, cluster: Cluster): void {
    const { deps } = this.#context;
    let upstream: Socket;
    try {
      upstream = deps.dial(endpoint.address, endpoint.port, dialOptions);
    } catch (error) {
      deps.log.debug("Cannot dial endpoint", { cluster: cluster.name, error: String(error) });
      return this.#tryNext();
    }
    this.#upstream = upstream;
    const deadline = new Deadline(() => upstream.destroy());
    deps.wheel.arm(deadline, deps.nowMs() + cluster.spec.connectTimeoutMs);
    // "close" follows and acts.
    const onError = (): void => void upstream.destroy();
    const onClose = (): void => {
      deps.wheel.cancel(deadline);
      if (this.#downstream.destroyed) this.#fail("DC");
      else this.#tryNext();
    };
    upstream.on("error", onError);
    upstream.once("close", onClose);
    upstream.once("connect", () => {
      deps.wheel.cancel(deadline);
      upstream.off("close", onClose);
      upstream.off("error", onError);
      this.#splice(upstream);
    });
  }

  #splice(upstream: Socket): void {
    const { deps } = this.#context;
    const downstream = this.#downstream;
    downstream.off("close", this.#destroyUpstream);
    downstream.off("error", this.#destroyUpstream);
    deps.counters.upstreamOpen++;
    this.#context.observer.onTCPOpen(this);
    splice(downstream, upstream, {
      wheel: deps.wheel,
      nowMs: deps.nowMs,
      idleMs,
      downstreamBytes: this.#initial,
      counts: this,
      onEnd: () => {
        deps.counters.upstreamOpen--;
        this.#context.observer.onTCPClose(this);
      },
    });
    this.#initial = undefined;
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
