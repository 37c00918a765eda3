/**
 * The upstream side of a request: tries until one answers, then its response, handed to the downstream as it comes.
 *
 *   exchange.ts (head, body) ─▶ Forwarding ─▶ attempt.ts ─▶ Forwarding ─▶ DownstreamStream
 *
 *   Trying ─▶ Sending ─▶ Responding ─▶ Over     (Trying | Sending) ─▶ Trying on a retry     Sending ─▶ Tunnel ─▶ Over
 *
 * With hedging a try whose time passed goes on beside the next one, and the first that answers is the one. The time of
 * a try begins when it has a connection and the request is whole, as Envoy's: hedged tries have all of it.
 * Invariants: what is held of the body is bounded (replay.ts, and what the sockets buffer); how the request ends is
 * told to the owner once, and nothing after that.
 */
import type { Attempt, AttemptOwner, Lacking } from "./attempt.ts";
import type { Cluster } from "./cluster.ts";
import type { HTTPContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import { answerToFailure, answerToTryTimeout, cutFlag, noEndpoint, overflowed } from "./failures.ts";
import type { ForwardingOwner } from "./forwarding-owner.ts";
import type { Framing } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import type { ResponseHead } from "./http1/response.ts";
import { upgradeOf } from "./http1/write.ts";
import { RequestSource } from "./request-source.ts";
import { type TryEnd, retryDelayMs } from "./retry.ts";
import type { ForwardPlan } from "./route/plan.ts";
import { planResponse } from "./route/plan-response.ts";
import type { DownstreamStream, Loan, UpstreamFailure, UpstreamStream } from "./stream.ts";
import { Tries } from "./tries.ts";

type State = "trying" | "sending" | "responding" | "tunnel" | "over";

export class Forwarding implements AttemptOwner {
  readonly #owner: ForwardingOwner;
  readonly #downstream: DownstreamStream;
  readonly #context: HTTPContext;
  readonly #plan: ForwardPlan;
  readonly #cluster: Cluster;
  /** When the request came, in ms. */
  readonly #startMs: number;
  readonly #source: RequestSource;
  readonly #tries: Tries;
  #state: State = "trying";
  /** In a tunnel: the upstream has ended its side. */
  #hasResponse = false;
  #isCorked = false;

  constructor(
    owner: ForwardingOwner,
    downstream: DownstreamStream,
    context: HTTPContext,
    { plan, cluster, startMs }: { readonly plan: ForwardPlan; readonly cluster: Cluster; readonly startMs: number },
  ) {
    this.#owner = owner;
    this.#downstream = downstream;
    this.#context = context;
    this.#plan = plan;
    this.#cluster = cluster;
    this.#startMs = startMs;
    this.#source = new RequestSource(owner, plan, context);
    this.#tries = new Tries(this, { facts: owner, plan, cluster, context, source: this.#source });
  }

  get isTunnel(): boolean {
    return this.#state === "tunnel";
  }

  /** The downstream has got a part of the response. */
  get hasBegun(): boolean {
    return this.#state === "responding" || this.#state === "tunnel";
  }

  /** Begins the first try. */
  start(): void {
    const endpoint = this.#tries.pick();
    if (endpoint === undefined) return this.#owner.fail(noEndpoint(this.#cluster.name));
    if (this.#plan.mirrors.length > 0) this.#source.mirror(this.#context);
    this.#try(endpoint, true);
  }

  // Of the downstream.

  body(slice: Buffer): void {
    if (this.#state === "trying") {
      if (!this.#source.hold(slice)) this.#downstream.setBlocked(true);
      return;
    }
    this.#source.sent(slice, this.#state === "sending" && this.#plan.route.retry !== undefined);
    const { last } = this.#tries;
    last!.touch();
    if (!last!.stream!.sendBody(slice)) this.#downstream.setBlocked(true);
  }

  endRequest(trailers: Headers | undefined): void {
    this.#source.end(trailers);
    this.#tries.last?.stream?.end(trailers);
    if (this.#state === "sending") this.#tries.startTimes();
    if (this.#state === "tunnel" && this.#hasResponse) this.#owner.end();
  }

  /** The bytes at hand are handled: what was gathered goes out in one write. */
  flush(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#tries.last?.stream?.uncork();
  }

  resume(): void {
    this.#tries.last?.stream?.resume();
  }

  /** The request is over, whatever way. */
  stop(): void {
    // Behind the two ends of a tunnel what is on its way still arrives.
    const isDelivering = this.#state === "tunnel" && this.#hasResponse && this.#owner.isRequestWhole;
    this.#state = "over";
    this.#tries.end(isDelivering);
    this.#source.close();
  }

  /** Whose answer did not come in time is judged by it. `isRoutes`: it was the route's time. */
  reportTimeout(isRoutes: boolean): void {
    if (isRoutes) this.#tries.last?.reportTimeout();
    else this.#tries.last?.report({ kind: "local" });
  }

  // Of the upstream.

  onAttemptOpen(_attempt: Attempt, stream: UpstreamStream): void {
    stream.cork();
    this.#send(stream);
    stream.uncork();
  }

  onBatchStart(): void {
    this.#downstream.touch();
    this.#downstream.cork();
  }

  onBatchEnd(): Loan {
    return this.#downstream.uncork();
  }

  onInterim(head: ResponseHead): void {
    this.#downstream.sendInterim(head);
  }

  onAttemptHead(
    attempt: Attempt,
    received: ResponseHead,
    { framing, mayHaveTrailers }: { readonly framing: Framing; readonly mayHaveTrailers: boolean },
  ): void {
    const owner = this.#owner;
    if (this.#triesAgain(attempt, { kind: "head", head: received })) return;
    this.#tries.choose(attempt);
    owner.responseMs = this.#context.deps.nowMs() - this.#startMs;
    owner.details = "via_upstream";
    owner.response = received;
    owner.status = received.status;
    const { policy, tellsServiceTime } = this.#context;
    const tookMs = tellsServiceTime ? owner.responseMs - (owner.requestMs ?? Infinity) : -1;
    const told = { policy, record: owner, setCookie: this.#tries.setCookie, tookMs };
    const head = planResponse(this.#plan, received, told);
    owner.response = head;
    this.#state = "responding";
    this.#source.close();
    this.#downstream.sendHead(head, { framing, isRequestWhole: owner.isRequestWhole, mayHaveTrailers });
  }

  onBody(slice: Buffer): void {
    this.#owner.responseBytes += slice.length;
    if (!this.#downstream.sendBody(slice)) this.#tries.last?.stream?.pause();
  }

  onResponseEnd(trailers: Headers | undefined): void {
    const owner = this.#owner;
    owner.responseTrailers = trailers;
    if (this.#state === "tunnel") {
      this.#hasResponse = true;
      if (owner.isRequestWhole) owner.end();
    } else {
      // The connection is its pool's again.
      this.#tries.last?.end();
      owner.endResponse();
    }
    this.#downstream.end(trailers);
  }

  /** Sending => Tunnel. The request's side is open again: what was its body is bytes now. */
  onAttemptTunnel(attempt: Attempt, head: ResponseHead): void {
    const owner = this.#owner;
    const isWanted = head.status === 101 ? upgradeOf(owner.head) !== undefined : owner.head.method === "CONNECT";
    if (!isWanted) {
      const why = "Cannot read response: 101 to a request that did not ask for an upgrade";
      return owner.fail(answerToFailure({ kind: "malformed", why }, this.#cluster.name));
    }
    this.#tries.choose(attempt);
    owner.status = head.status;
    owner.response = planResponse(this.#plan, head, { policy: this.#context.policy, record: owner });
    owner.details = "via_upstream";
    owner.isRequestWhole = false;
    this.#state = "tunnel";
    this.#source.close();
    this.#downstream.openTunnel(owner.response);
    owner.onTunnelOpen();
  }

  onDrain(): void {
    this.#downstream.touch();
    this.#downstream.setBlocked(false);
  }

  onAttemptBroken(attempt: Attempt, failure: UpstreamFailure): void {
    // Behind the end of a tunnel its connection closes by itself.
    if (this.#state === "over") return;
    const owner = this.#owner;
    if (this.hasBegun) return owner.abort(cutFlag(failure));
    attempt.report({ kind: "local" });
    if (failure.kind === "connect") owner.upstreamFailure = failure.reason;
    if (this.#triesAgain(attempt, failure)) return;
    const isUntouched = failure.kind !== "malformed" && (failure.kind !== "reset" || !failure.sawBytes);
    if (this.#context.deps.handsBack === true && owner.connection.direction === "inbound" && isUntouched)
      return owner.handBack(failure.kind === "connect" ? "connect" : "reset");
    owner.fail(answerToFailure(failure, this.#cluster.name));
  }

  onAttemptOverflow(attempt: Attempt, lacking: Lacking): void {
    if (!this.#tries.dropped(attempt)) this.#owner.fail(overflowed(this.#cluster.name, lacking));
  }

  onAttemptTimeout(attempt: Attempt, kind: "try" | "idle"): void {
    if (this.hasBegun) return this.#owner.abort("SI");
    if (this.#state === "over") return;
    if (kind === "try" && this.#plan.route.hedgesOnTimeout) {
      attempt.judge({ kind: "local" });
      // Where there may be no other its time does not matter.
      if (this.#tries.hedge(attempt)) this.#retry({ kind: "timeout" });
      return;
    }
    attempt.reportTimeout();
    if (kind === "try") this.#cluster.tryCounts.timeouts++;
    if (this.#triesAgain(attempt, { kind: "timeout" })) return;
    this.#owner.fail(answerToTryTimeout(kind));
  }

  #try(endpoint: Endpoint, mayReuse: boolean): void {
    const owner = this.#owner;
    owner.endpoint = endpoint;
    owner.upstream = undefined;
    owner.upstreamFailure = undefined;
    owner.attempts = this.#tries.count + 1;
    const attempt = this.#tries.start(endpoint, owner.attempts === 1 ? this.#startMs : this.#context.deps.nowMs());
    const isTunnel = this.#plan.route.endsConnect && owner.head.method === "CONNECT";
    const stream = mayReuse && !isTunnel ? attempt.take(owner.head) : undefined;
    if (stream === "overflow") return this.onAttemptOverflow(attempt, "requests it may have");
    if (stream !== undefined) {
      this.#isCorked = !owner.isRequestWhole;
      if (this.#isCorked) stream.cork();
      return this.#send(stream);
    }
    const lacking = isTunnel ? attempt.openTunnel() : attempt.open(owner.head);
    if (lacking !== undefined) this.onAttemptOverflow(attempt, lacking);
  }

  /** False: the end of `attempt` is that of the request. */
  #triesAgain(attempt: Attempt, end: TryEnd): boolean {
    const next = this.#tries.after(attempt, end);
    if (next === "nothing") return false;
    this.#isCorked = false;
    if (next === "retry") this.#retry(end);
    return true;
  }

  /** (Trying | Sending) => Trying. */
  #retry(end: TryEnd): void {
    this.#state = "trying";
    const endpoint = this.#tries.pick();
    if (endpoint === undefined) return this.#owner.fail(noEndpoint(this.#cluster.name));
    // Another endpoint at once, where nothing was answered; else a moment later: who is overloaded needs it.
    const isElsewhere = end.kind !== "head" && !this.#tries.hasTried(endpoint);
    if (isElsewhere || end.kind === "reset") return this.#try(endpoint, false);
    const { deps } = this.#context;
    const now = { retry: this.#tries.count, random: deps.random, wallMs: deps.wallMs() };
    const delayMs = retryDelayMs(this.#plan.route.retry!, end, now);
    deps.after(delayMs, () => {
      if (this.#state === "trying") this.#try(endpoint, false);
    });
  }

  /** Trying => Sending. */
  #send(stream: UpstreamStream): void {
    this.#state = "sending";
    this.#owner.upstream = stream;
    const isWritable = this.#source.sendTo(stream, this.#tries.isHedging);
    if (this.#owner.isRequestWhole) this.#tries.startTimes();
    else this.#downstream.setBlocked(!isWritable);
  }
}
