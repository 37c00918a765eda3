/**
 * A TCP connection through a tunnel that an upstream is asked for: CONNECT over HTTP/1.1 or HTTP/2.
 *
 *   tcp-proxy.ts ─▶ TCPTunnel ─▶ attempt.ts (CONNECT) ─▶ opened ─▶ bytes both ways
 *
 *   Asking ─▶ Open ─▶ Over        Asking ─▶ Over: told as a failure, nothing was read from the downstream
 *
 * Invariants: the downstream is not read before the tunnel is open; an end on one side is passed on as an end, a break
 * as a reset; what is held each way is what one read gave and what the two sides buffer.
 * Source: Envoy's tcp_proxy, "Tunneling TCP over HTTP": over HTTP/1.1 any 2xx opens, over HTTP/2 only 200.
 */
import type { Socket } from "node:net";
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { Cluster } from "./cluster.ts";
import type { Endpoint } from "./endpoint.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { Loan, UpstreamFailure, UpstreamStream } from "./stream.ts";
import { type SpliceCounts, resetSocket } from "./tcp.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";

export interface TCPTunnelOwner {
  readonly deps: EngineDeps;
  /** Bytes pass from now on. */
  onTunnelOpen(): void;
  /** Before it was open, and never before start() returned. */
  onTunnelFailed(why: string): void;
  /** Behind onTunnelOpen(): both sides are done. */
  onTunnelEnd(): void;
}

export interface TCPTunnelOptions {
  readonly downstream: Socket;
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly head: RequestHead;
  /** Time without bytes in either direction, in ms; 0 is none. */
  readonly idleMs: number;
  readonly counts: SpliceCounts;
}

type State = "asking" | "open" | "over";

export class TCPTunnel implements AttemptOwner {
  readonly #owner: TCPTunnelOwner;
  readonly #options: TCPTunnelOptions;
  /** Of what is written to the downstream. */
  readonly #loan: Loan;
  readonly #attempt: Attempt;
  readonly #idle: Deadline;
  #state: State = "asking";
  #lastMs: number;
  #stream: UpstreamStream | undefined;
  #hasDownstreamEnded = false;
  #hasUpstreamEnded = false;

  constructor(owner: TCPTunnelOwner, options: TCPTunnelOptions) {
    this.#owner = owner;
    this.#options = options;
    const { deps } = owner;
    const { cluster, endpoint, downstream } = options;
    this.#loan = {
      get isFree() {
        return downstream.writableLength === 0;
      },
    };
    this.#lastMs = deps.nowMs();
    this.#attempt = new Attempt(this, endpoint, {
      cluster,
      limits: cluster.limits.default,
      deps,
      nowMs: this.#lastMs,
    });
    this.#idle = new Deadline((nowMs) => this.#onIdle(nowMs));
  }

  /** Asks for the tunnel. */
  start(): void {
    this.#armIdle();
    const lacking = this.#attempt.open(this.#options.head);
    if (lacking !== undefined) queueMicrotask(() => this.#fail(`the cluster has all the ${lacking}`));
  }

  /** Gives up; nothing is told any more. */
  cancel(): void {
    if (this.#state === "over") return;
    this.#finish();
    this.#attempt.cancel();
  }

  // Of the upstream.

  onAttemptOpen(_attempt: Attempt, stream: UpstreamStream): void {
    this.#stream = stream;
    stream.sendHead({ head: this.#options.head, added: undefined, addedLines: "", authority: "" }, true);
  }

  onAttemptTunnel(_attempt: Attempt, { status, protocol }: ResponseHead): void {
    if (status === 101 || (protocol === "HTTP/2" && status !== 200))
      return this.#fail(`the upstream answered ${status}`);
    this.#state = "open";
    this.#owner.onTunnelOpen();
  }

  onAttemptHead(_attempt: Attempt, { status }: ResponseHead): void {
    this.#fail(`the upstream answered ${status}`);
  }

  onAttemptBroken(attempt: Attempt, failure: UpstreamFailure): void {
    if (this.#state === "open") return this.#break();
    if (this.#state === "over") return;
    attempt.report({ kind: "local" });
    this.#fail("why" in failure ? failure.why : "the upstream closed before its answer");
  }

  onAttemptOverflow(_attempt: Attempt, lacking: string): void {
    this.#fail(`the cluster has all the ${lacking}`);
  }

  onAttemptTimeout(): void {
    // A tunnel has no times of a try.
  }

  onInterim(): void {
    // Nobody waits for it.
  }

  onBatchStart(): void {
    this.#lastMs = this.#owner.deps.nowMs();
  }

  onBatchEnd(): Loan {
    return this.#loan;
  }

  onBody(slice: Buffer): void {
    if (this.#state !== "open") return;
    this.#options.counts.sentBytes += slice.length;
    if (!this.#options.downstream.write(slice)) this.#stream?.pause();
  }

  onResponseEnd(): void {
    if (this.#state !== "open") return;
    this.#hasUpstreamEnded = true;
    this.#options.downstream.end();
    this.#endWhenDone();
  }

  onDrain(): void {
    this.#options.downstream.resume();
  }

  /** Takes the downstream's bytes, `initial` first; behind onTunnelOpen(). */
  serve(initial: Buffer | undefined): void {
    const { downstream } = this.#options;
    downstream.on("data", (chunk: Buffer) => this.#pass(chunk));
    downstream.on("drain", () => this.#stream?.resume());
    downstream.on("end", () => this.#onDownstreamEnd());
    // "close" follows and acts.
    downstream.on("error", () => downstream.destroy());
    downstream.on("close", () => this.#onDownstreamClose());
    if (initial !== undefined && initial.length > 0) this.#pass(initial);
    downstream.resume();
    if (downstream.destroyed) this.#onDownstreamClose();
    else if (downstream.readableEnded) this.#onDownstreamEnd();
  }

  #pass(chunk: Buffer): void {
    if (this.#state !== "open") return;
    this.#lastMs = this.#owner.deps.nowMs();
    this.#options.counts.receivedBytes += chunk.length;
    if (this.#stream?.sendBody(chunk) === false) this.#options.downstream.pause();
  }

  #onDownstreamEnd(): void {
    if (this.#state !== "open" || this.#hasDownstreamEnded) return;
    this.#hasDownstreamEnded = true;
    this.#stream?.end(undefined);
    this.#endWhenDone();
  }

  /** Closed without both ends seen: the far side must not take it for whole. */
  #onDownstreamClose(): void {
    if (this.#state !== "open") return;
    this.cancel();
    this.#owner.onTunnelEnd();
  }

  #endWhenDone(): void {
    if (!this.#hasUpstreamEnded || !this.#hasDownstreamEnded) return;
    this.#finish();
    // What is on its way still arrives; the connection closes by itself.
    this.#attempt.end();
    this.#owner.onTunnelEnd();
  }

  #break(): void {
    this.#finish();
    this.#attempt.cancel();
    resetSocket(this.#options.downstream);
    this.#owner.onTunnelEnd();
  }

  /** Asking => Over. */
  #fail(why: string): void {
    if (this.#state !== "asking") return;
    this.cancel();
    this.#owner.onTunnelFailed(why);
  }

  #finish(): void {
    this.#state = "over";
    this.#owner.deps.wheel.cancel(this.#idle);
  }

  #armIdle(): void {
    const { idleMs } = this.#options;
    if (idleMs > 0) this.#owner.deps.wheel.arm(this.#idle, this.#lastMs + idleMs);
  }

  #onIdle(nowMs: number): void {
    if (nowMs < this.#lastMs + this.#options.idleMs) return this.#armIdle();
    if (this.#state === "asking") return this.#fail("it did not answer in time");
    this.#finish();
    this.#attempt.cancel();
    this.#options.downstream.destroy();
    this.#owner.onTunnelEnd();
  }
}
