/**
 * One try of a request at one endpoint.
 *
 *   forwarding.ts ─▶ Attempt ─▶ pool.ts (a stream) ─▶ Attempt ─▶ AttemptOwner
 *
 *   Connecting ─▶ Open ─▶ Over          judged once: by the status of its answer, or as failed
 *
 * Invariants: what it holds of its endpoint and of the cluster's limits is given back once, whatever way it ends; after
 * cancel() its owner is told nothing.
 */
import type { Cluster } from "./cluster.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Framing } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { Pool } from "./pool.ts";
import { isFailure } from "./resilience/accrual.ts";
import type { Limits } from "./resilience/limits.ts";
import type { TryResult } from "./resilience/outlier.ts";
import type { Loan, PendingStream, UpstreamFailure, UpstreamHandler, UpstreamStream } from "./stream.ts";
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";

/** The request, as its tries need it. Batches, bodies and ends are those of UpstreamHandler. */
export interface AttemptOwner extends Pick<
  UpstreamHandler,
  "onBatchStart" | "onBatchEnd" | "onInterim" | "onBody" | "onResponseEnd" | "onDrain"
> {
  /** It has a stream, which waited for a connection. */
  onAttemptOpen(attempt: Attempt, stream: UpstreamStream): void;
  onAttemptHead(attempt: Attempt, head: ResponseHead, how: { framing: Framing; mayHaveTrailers: boolean }): void;
  onAttemptTunnel(attempt: Attempt, head: ResponseHead): void;
  onAttemptBroken(attempt: Attempt, failure: UpstreamFailure): void;
  /** It waited, and the cluster has all the requests it may have. */
  onAttemptOverflow(attempt: Attempt, lacking: Lacking): void;
  /** The time of one try passed, or nothing moved for its idle time. */
  onAttemptTimeout(attempt: Attempt, kind: "try" | "idle"): void;
}

/** Longest times of one try, in ms; 0 is none. */
export interface AttemptTimes {
  /** To the head of the response. */
  readonly tryMs: number;
  /** Without a byte. */
  readonly idleMs: number;
}

/** What a cluster has no more of. */
export type Lacking = "requests that may wait" | "connections it may have" | "requests it may have";

export class Attempt implements UpstreamHandler {
  readonly endpoint: Endpoint;
  stream: UpstreamStream | undefined;
  readonly #owner: AttemptOwner;
  readonly #cluster: Cluster;
  readonly #limits: Limits;
  readonly #deps: EngineDeps;
  readonly #startMs: number;
  /** Of its endpoint's breaker, which it decides about. */
  #isProbe: boolean;
  #pending: PendingStream | undefined;
  /** What it holds of the cluster's limits: while it waits for a connection, and while it has one. */
  #holds: "pending" | "requests" | undefined;
  #isOver = false;
  /** Made where there is a longest time. */
  #deadline: Deadline | undefined;
  #idleDeadline: Deadline | undefined;
  #idleMs = 0;

  constructor(
    owner: AttemptOwner,
    endpoint: Endpoint,
    { cluster, limits, deps, nowMs }: { cluster: Cluster; limits: Limits; deps: EngineDeps; nowMs: number },
  ) {
    this.#owner = owner;
    this.endpoint = endpoint;
    this.#cluster = cluster;
    this.#limits = limits;
    this.#deps = deps;
    this.#startMs = nowMs;
    endpoint.activeRequests++;
    this.#isProbe = endpoint.accrual?.begin() === true;
  }

  /** Its times run from now on; told once more, they run on. */
  setTimes({ tryMs, idleMs }: AttemptTimes): void {
    if (this.#isOver || this.#deadline !== undefined || this.#idleDeadline !== undefined) return;
    const { wheel } = this.#deps;
    const nowMs = this.#deps.nowMs();
    if (tryMs > 0) {
      this.#deadline = new Deadline(() => this.#owner.onAttemptTimeout(this, "try"));
      wheel.arm(this.#deadline, nowMs + tryMs);
    }
    if (idleMs > 0) {
      this.#idleMs = idleMs;
      this.#idleDeadline = new Deadline(() => this.#owner.onAttemptTimeout(this, "idle"));
      wheel.arm(this.#idleDeadline, nowMs + idleMs);
    }
  }

  /** A stream on a connection that is at hand; "overflow": there is one, and the cluster has all its requests. */
  take(head: RequestHead): UpstreamStream | "overflow" | undefined {
    const pool = this.#pool;
    if (!this.#limits.hasRoom("requests")) {
      if (!pool.isReady(head)) return undefined;
      this.#limits.take("requests");
      return "overflow";
    }
    this.stream = pool.take(this, head, this.#startMs);
    if (this.stream === undefined) return undefined;
    this.endpoint.requestTotal++;
    this.#hold("requests");
    return this.stream;
  }

  /** Asks for a stream on a new connection. What the cluster has no room for comes back. */
  open(head: RequestHead): Lacking | undefined {
    if (!this.#hold("pending")) return "requests that may wait";
    this.#pending = this.#pool.open(this, head, this.#cluster.spec.connectTimeoutMs);
    return this.#pending === undefined ? "connections it may have" : undefined;
  }

  /** Asks for a connection that is a tunnel from the start. What the cluster has no room for comes back. */
  openTunnel(): Lacking | undefined {
    if (!this.#hold("pending")) return "requests that may wait";
    this.#pending = this.#pool.openTunnel(this, this.#cluster.spec.connectTimeoutMs);
    return this.#pending === undefined ? "connections it may have" : undefined;
  }

  /** Its result: its endpoint is judged by it, and counts it. */
  report(result: TryResult): void {
    if (isFailure(result)) this.endpoint.requestErrors++;
    else this.endpoint.requestSuccesses++;
    this.judge(result);
  }

  /** Its time, or that of its request, has passed. */
  reportTimeout(): void {
    this.endpoint.requestTimeouts++;
    this.report({ kind: "local" });
  }

  /** Its endpoint is judged by it; the time of the try does not count any more. The try may go on. */
  judge(result: TryResult): void {
    if (this.#deadline !== undefined) this.#deps.wheel.cancel(this.#deadline);
    if (this.#cluster.isWatching) this.#cluster.report(this.endpoint, result, this.#deps.nowMs() - this.#startMs);
    if (!this.#isProbe) return;
    this.#isProbe = false;
    this.endpoint.accrual?.judge(isFailure(result));
  }

  /** Something moved. */
  touch(): void {
    if (this.#idleDeadline !== undefined && !this.#isOver)
      this.#deps.wheel.arm(this.#idleDeadline, this.#deps.nowMs() + this.#idleMs);
  }

  /** Any => Over. */
  cancel(): void {
    this.#pending?.cancel();
    this.#pending = undefined;
    this.stream?.cancel();
    this.end();
  }

  /** Gives back what it holds. The stream is left alone: it is over, or somebody else's. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.stream = undefined;
    this.#letGo();
    this.endpoint.activeRequests--;
    if (this.#isProbe) this.endpoint.accrual?.abandon();
    if (this.#deadline !== undefined) this.#deps.wheel.cancel(this.#deadline);
    if (this.#idleDeadline !== undefined) this.#deps.wheel.cancel(this.#idleDeadline);
  }

  onConnected(stream: UpstreamStream): void {
    this.#pending = undefined;
    this.#letGo();
    this.stream = stream;
    if (this.#hold("requests")) {
      this.endpoint.requestTotal++;
      this.#owner.onAttemptOpen(this, stream);
    } else this.#owner.onAttemptOverflow(this, "requests it may have");
  }

  onBatchStart(): void {
    if (this.#idleDeadline !== undefined) this.touch();
    this.#owner.onBatchStart();
  }

  onBatchEnd(): Loan {
    return this.#owner.onBatchEnd();
  }

  onInterim(head: ResponseHead): void {
    this.#owner.onInterim(head);
  }

  onHead(head: ResponseHead, framing: Framing, mayHaveTrailers: boolean): void {
    this.report({ kind: "status", status: head.status });
    this.#owner.onAttemptHead(this, head, { framing, mayHaveTrailers });
  }

  onBody(slice: Buffer): void {
    this.#owner.onBody(slice);
  }

  onResponseEnd(trailers: Headers | undefined): void {
    this.#owner.onResponseEnd(trailers);
  }

  onTunnel(head: ResponseHead): void {
    this.report({ kind: "status", status: head.status });
    this.#owner.onAttemptTunnel(this, head);
  }

  onDrain(): void {
    this.#owner.onDrain();
  }

  onBroken(failure: UpstreamFailure): void {
    this.#pending = undefined;
    this.stream = undefined;
    this.#owner.onAttemptBroken(this, failure);
  }

  get #pool(): Pool {
    return this.#cluster.poolOf(this.endpoint, this.#limits);
  }

  #hold(what: "pending" | "requests"): boolean {
    const hasRoom = this.#limits.take(what);
    if (hasRoom) this.#holds = what;
    return hasRoom;
  }

  #letGo(): void {
    if (this.#holds === undefined) return;
    this.#limits.release(this.#holds);
    this.#holds = undefined;
  }
}
