/**
 * One request: route → cluster → endpoint → connection → response, with retries.
 *
 *   downstream (head, body) ─▶ Exchange ─▶ UpstreamStream ─▶ Exchange ─▶ DownstreamStream
 *
 *   Trying ─▶ Sending ─▶ Responding ─▶ Ended     (Trying | Sending) ─▶ Trying on a retry     Sending ─▶ Tunnel ─▶ Ended
 *
 * One state machine with two sides, so one file. Invariants: exactly one of: a whole response, a local reply, a reset,
 * a hand-back; one record to the observer for each but the hand-back. No body byte is copied. What is held is bounded:
 * replay.ts and what the sockets buffer.
 *
 * Hand-back (inbound): when the local application refuses or breaks the connection before the first byte, the
 * downstream is ended without an answer instead of 503. The calling sidecar knows other endpoints and may retry there;
 * a 503 from here would look like the application's own answer, which nobody may repeat. The caller counts the request.
 */
import type { Cluster } from "./cluster.ts";
import type { ConnectionInfo, ExchangeRecord, HTTPContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import { type FailureAnswer, answerToFailure, answerToTimeout, noEndpoint, overflowed } from "./failures.ts";
import type { Framing } from "./http1/framing.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import { type OutgoingRequest, upgradeOf } from "./http1/write.ts";
import { Replay } from "./replay.ts";
import { type TryEnd, retryDelayMs } from "./retry.ts";
import { detailsOf } from "./accesslog/details.ts";
import { type AnswerPlan, type ForwardPlan, type Plan, headOfTry, planRequest, planResponse } from "./route/plan.ts";
import { answerHeaders } from "./route/answer.ts";
import type { CompiledRoute } from "./route/types.ts";
import { Shadows } from "./shadows.ts";
import type {
  DownstreamHandler,
  DownstreamStream,
  PendingStream,
  UpstreamFailure,
  UpstreamHandler,
  UpstreamStream,
} from "./stream.ts";
import { Tries, type TriesOwner } from "./tries.ts";
import type { ResponseFlag } from "./types.ts";

const noHeaders: AnswerPlan["headers"] = [];

type State = "trying" | "sending" | "responding" | "tunnel" | "ended";

export class Exchange implements DownstreamHandler, UpstreamHandler, TriesOwner, ExchangeRecord {
  readonly connection: ConnectionInfo;
  readonly head: RequestHead;
  cluster: Cluster | undefined;
  endpoint: Endpoint | undefined;
  response: ResponseHead | undefined;
  responseTrailers: Headers | undefined;
  /** As it is sent on. */
  sentHead: RequestHead | undefined;
  details: string | undefined;
  /** From the start, in ms: to the end of the request, to the first byte of the response. */
  requestMs: number | undefined;
  responseMs: number | undefined;
  status = 0;
  flag: ResponseFlag = "-";
  requestBytes = 0;
  responseBytes = 0;
  durationMs = 0;

  readonly #downstream: DownstreamStream;
  readonly #context: HTTPContext;
  readonly #startMs: number;
  readonly #replay = new Replay();
  #state: State = "trying";
  #plan: Plan | undefined;
  #route: CompiledRoute | undefined;
  /** Copies of the request to other clusters, whose answers nobody reads. */
  #shadows: Shadows | undefined;
  #request: OutgoingRequest | undefined;
  #pending: PendingStream | undefined;
  #upstream: UpstreamStream | undefined;
  #trailers: Headers | undefined;
  readonly #tries: Tries;
  /** The request is whole. */
  #hasRequest = false;
  /** In a tunnel: the upstream has ended its side. */
  #hasResponse = false;
  #isCorked = false;
  /** The stream must be done by then, in ms. */
  #streamDueMs = Infinity;

  constructor(downstream: DownstreamStream, context: HTTPContext, head: RequestHead, startMs: number) {
    this.#downstream = downstream;
    this.#context = context;
    this.head = head;
    this.#startMs = startMs;
    this.#tries = new Tries(context.deps, this);
    this.connection = downstream.info;
  }

  /** Routes the request and begins the first try. `isWhole`: no body follows. */
  start(isWhole: boolean): void {
    this.#hasRequest = isWhole;
    const context = this.#context;
    const plan = planRequest(this.head, {
      policy: context.policy,
      connection: this.connection,
      table: context.routes(),
      corsFilter: context.corsFilter,
      random: context.random,
      record: this,
    });
    this.#plan = plan;
    this.#route = plan.route;
    this.sentHead = plan.head;
    if (isWhole) this.#startTimeout();
    if (plan.kind === "answer") this.#answer(plan);
    else this.#forward(plan);
  }

  get routeName(): string | undefined {
    return this.#route?.name;
  }

  get virtualHostName(): string | undefined {
    return this.#route?.hostName;
  }

  /** Tries made. */
  get attempts(): number {
    return this.endpoint === undefined ? 0 : this.#tries.tried.length + 1;
  }

  #forward(plan: ForwardPlan): void {
    const { route, cluster: name } = plan;
    if (route.idleMs !== undefined) this.#downstream.setIdle(route.idleMs);
    const maxStreamMs = route.maxStreamMs ?? this.#context.maxStreamMs;
    if (maxStreamMs > 0) {
      this.#streamDueMs = this.#startMs + maxStreamMs;
      this.#downstream.setDeadline(this.#streamDueMs);
    }
    this.cluster = this.#context.cluster(name);
    if (this.cluster === undefined)
      return this.#reply(
        route.unknownCluster ?? 503,
        "NC",
        `Cannot route request: cluster ${name} of its route is unknown`,
      );
    const { destination } = this.connection;
    const added = this.#context.requestHeaders;
    this.#request = {
      head: plan.head,
      added,
      addedLines: added === undefined ? "" : added.lines(this.head),
      authority: destination === undefined ? name : `${destination.address}:${destination.port}`,
    };
    if (!this.#tries.begin(this.cluster, route.priority))
      return this.#fail(overflowed(`cluster ${name} has all the requests it may have`));
    const endpoint = this.#tries.pick(plan, this.connection);
    if (endpoint === undefined) return this.#fail(noEndpoint(name));
    if (plan.mirrors.length > 0) this.#shadows = new Shadows(this.#request, plan, this.#context, this.#hasRequest);
    this.#try(endpoint, true);
  }

  // Downstream side.

  onRequestBody(slice: Buffer): void {
    if (this.#state === "ended") return;
    this.requestBytes += slice.length;
    this.#shadows?.body(slice);
    const replay = this.#replay;
    if (this.#state === "trying") {
      replay.hold(slice);
      // While there is no connection nothing may be dropped: the downstream waits instead.
      if (replay.isFull) this.#downstream.setBlocked(true);
      return;
    }
    if (this.#route?.retry !== undefined && replay.isWhole && this.#state === "sending") {
      replay.hold(slice);
      if (replay.isFull) replay.drop();
    }
    if (!this.#upstream!.sendBody(slice)) this.#downstream.setBlocked(true);
  }

  onRequestEnd(trailers: Headers | undefined): void {
    if (this.#state === "ended") return;
    this.#hasRequest = true;
    this.#trailers = trailers;
    this.#shadows?.end(trailers);
    if (this.#state !== "tunnel") this.#startTimeout();
    this.#upstream?.end(trailers);
    if (this.#state === "tunnel" && this.#hasResponse) this.#endTunnel();
  }

  /** The bytes at hand are handled: what was gathered goes out in one write. */
  flush(): void {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#upstream?.uncork();
  }

  onDownstreamDrain(): void {
    this.#upstream?.resume();
  }

  onDownstreamGone(): void {
    if (this.#state === "ended") return;
    if (this.#state !== "tunnel") this.flag = "DC";
    this.#end();
  }

  /** A filter answered in its stead: what still comes goes nowhere. */
  onAnswered(status: number, flag: ResponseFlag): void {
    if (this.#state === "ended") return;
    this.status = status;
    this.flag = flag;
    this.#end();
  }

  onDownstreamError(status: number, sentence: string): void {
    if (this.#state === "ended") return;
    if (this.#state === "responding" || this.#state === "tunnel") return this.#abort("DPE");
    this.#reply(status, "DPE", sentence);
  }

  onTimeout(kind: "route" | "idle"): void {
    if (this.#state === "ended") return;
    if (this.#state === "responding" || this.#state === "tunnel") return this.#abort(kind === "route" ? "UT" : "SI");
    const isStreamDue = kind === "route" && this.#context.deps.nowMs() >= this.#streamDueMs;
    if (isStreamDue) this.details = "max_duration_timeout";
    this.#tries.report({ kind: "local" });
    this.#fail(answerToTimeout(isStreamDue ? "stream" : kind, this.#hasRequest));
  }

  // Upstream side.

  onConnected(stream: UpstreamStream): void {
    this.#pending = undefined;
    this.#tries.endWait();
    stream.cork();
    this.#send(stream);
    stream.uncork();
  }

  onBatchStart(): void {
    this.#downstream.touch();
    this.#downstream.cork();
  }

  onBatchEnd(): void {
    this.#downstream.uncork();
  }

  onInterim(head: ResponseHead): void {
    this.#downstream.sendInterim(head);
  }

  onHead(received: ResponseHead, framing: Framing, mayHaveTrailers: boolean): void {
    this.#tries.report({ kind: "status", status: received.status });
    if (this.#route?.retry !== undefined) {
      const end: TryEnd = { kind: "head", head: received };
      if (this.#mayRetry(end)) {
        this.#upstream?.cancel();
        this.#upstream = undefined;
        return this.#retry(end);
      }
    }
    this.responseMs = this.#context.deps.nowMs() - this.#startMs;
    this.details = "via_upstream";
    this.response = received;
    this.status = received.status;
    const head = this.#changeResponse(received);
    this.response = head;
    this.#state = "responding";
    this.#replay.close();
    this.#downstream.sendHead(head, { framing, isRequestWhole: this.#hasRequest, mayHaveTrailers });
  }

  onBody(slice: Buffer): void {
    this.responseBytes += slice.length;
    if (!this.#downstream.sendBody(slice)) this.#upstream?.pause();
  }

  onResponseEnd(trailers: Headers | undefined): void {
    this.responseTrailers = trailers;
    if (this.#state === "tunnel") {
      this.#hasResponse = true;
      if (this.#hasRequest) this.#endTunnel();
    } else {
      this.#upstream = undefined;
      this.#end();
    }
    this.#downstream.end(trailers);
  }

  /** Sending => Tunnel. The request's side is open again: what was its body is bytes now. */
  onTunnel(head: ResponseHead): void {
    if (upgradeOf(this.head) === undefined) {
      this.#upstream?.cancel();
      this.#upstream = undefined;
      return this.#reply(502, "UPE", "Cannot read response: 101 to a request that did not ask for an upgrade");
    }
    this.status = head.status;
    this.response = head;
    this.details = "via_upstream";
    this.#state = "tunnel";
    this.#hasRequest = false;
    this.#replay.close();
    this.#downstream.openTunnel(head);
  }

  onDrain(): void {
    this.#downstream.touch();
    this.#downstream.setBlocked(false);
  }

  onBroken(failure: UpstreamFailure): void {
    // Behind the end of a tunnel its connection closes by itself.
    if (this.#state === "ended") return;
    this.#pending = undefined;
    this.#upstream = undefined;
    this.#isCorked = false;
    if (this.#state === "responding" || this.#state === "tunnel")
      return this.#abort(failure.kind === "malformed" ? "UPE" : "UC");
    this.#tries.report({ kind: "local" });
    if (this.#mayRetry(failure)) return this.#retry(failure);
    const isUntouched = failure.kind !== "malformed" && (failure.kind !== "reset" || !failure.sawBytes);
    if (this.connection.direction === "inbound" && isUntouched)
      return this.#handBack(failure.kind === "connect" ? "connect" : "reset");
    this.#fail(answerToFailure(failure, this.cluster!.name));
  }

  // Steps.

  /** Envoy's route timeout runs from the end of the request, over all tries. */
  #startTimeout(): void {
    const timeoutMs = this.#plan?.kind === "forward" ? this.#plan.timeoutMs : 0;
    const nowMs = this.#context.deps.nowMs();
    this.requestMs = nowMs - this.#startMs;
    if (timeoutMs > 0) this.#downstream.setDeadline(Math.min(nowMs + timeoutMs, this.#streamDueMs));
  }

  #try(endpoint: Endpoint, mayReuse: boolean): void {
    this.endpoint = endpoint;
    const nowMs = this.#tries.tried.length === 0 ? this.#startMs : this.#context.deps.nowMs();
    this.#tries.start(endpoint, nowMs, this.#plan?.kind === "forward" ? this.#plan.perTryTimeoutMs : 0);
    const idle = mayReuse ? endpoint.pool.take(this, this.head, this.#startMs) : undefined;
    if (idle !== undefined) {
      this.#isCorked = !this.#hasRequest;
      if (this.#isCorked) idle.cork();
      return this.#send(idle);
    }
    if (!this.#tries.wait())
      return this.#fail(overflowed(`cluster ${this.cluster!.name} has all the requests that may wait`));
    this.#pending = endpoint.pool.open(this, this.head, this.cluster!.spec.connectTimeoutMs);
    if (this.#pending === undefined)
      this.#fail(overflowed(`cluster ${this.cluster!.name} has all the connections it may have`));
  }

  onTryTimeout(): void {
    if (this.#state !== "trying" && this.#state !== "sending") return;
    this.#pending?.cancel();
    this.#pending = undefined;
    this.#upstream?.cancel();
    this.#upstream = undefined;
    this.#isCorked = false;
    this.#tries.report({ kind: "local" });
    const end: TryEnd = { kind: "timeout" };
    if (this.#mayRetry(end)) return this.#retry(end);
    this.details = "upstream_per_try_timeout";
    this.#reply(504, "UT", "Cannot finish request: the time of one try passed");
  }

  #mayRetry(end: TryEnd): boolean {
    if (this.#plan?.kind !== "forward") return false;
    const { connection } = this;
    return this.#tries.mayRetry(this.#route?.retry, end, {
      head: this.head,
      retriesMax: this.#plan.retriesMax,
      isReplayable: this.#replay.isWhole,
      info: {
        isTLS: connection.isTLS === true,
        peerCertificate: connection.peerCertificate ?? "none",
        random: this.#context.random,
      },
    });
  }

  /** (Trying | Sending) => Trying. */
  #retry(end: TryEnd): void {
    this.#state = "trying";
    const { deps } = this.#context;
    const { tried } = this.#tries;
    const endpoint = this.#tries.pick(this.#plan as ForwardPlan, this.connection);
    if (endpoint === undefined) return this.#fail(noEndpoint(this.cluster!.name));
    // Another endpoint at once, where nothing was answered; else a moment later: who is overloaded needs it.
    const isElsewhere = end.kind !== "head" && !tried.includes(endpoint);
    if (isElsewhere || end.kind === "reset") return this.#try(endpoint, false);
    const delayMs = retryDelayMs(this.#route!.retry!, end, {
      retry: tried.length,
      random: deps.random,
      nowMs: deps.nowMs(),
    });
    deps.after(delayMs, () => {
      if (this.#state === "trying") this.#try(endpoint, false);
    });
  }

  /** Trying => Sending. Writes the head and what came of the body so far. */
  #send(upstream: UpstreamStream): void {
    this.#state = "sending";
    this.#upstream = upstream;
    const { slices } = this.#replay;
    const plan = this.#plan as ForwardPlan;
    const { attempts: attempt } = this;
    const endpointHost = this.endpoint!.hostname;
    const isFixed = plan.changes === undefined;
    const head = isFixed ? plan.head : headOfTry(plan, { attempt, endpointHost, isTimeoutRetry: false });
    const request = head === plan.head ? this.#request! : { ...this.#request!, head };
    let isWritable = upstream.sendHead(
      request,
      this.#hasRequest && slices.length === 0 && this.#trailers === undefined,
    );
    for (const slice of slices) isWritable = upstream.sendBody(slice);
    if (this.#replay.isFull || this.#route?.retry === undefined) this.#replay.drop();
    if (this.#hasRequest) upstream.end(this.#trailers);
    else this.#downstream.setBlocked(!isWritable);
  }

  #reply(status: number, flag: ResponseFlag, sentence: string): void {
    this.#fail({ status, flag, sentence });
  }

  #fail({ status, flag, sentence, headers = noHeaders }: FailureAnswer): void {
    this.flag = flag;
    this.#answerWith(status, sentence, { body: `${sentence}\n`, headers });
  }

  /** What the route or the listener answers itself. */
  #answer({ status, flag, details, body, headers }: AnswerPlan): void {
    this.flag = flag;
    this.details = details;
    if (flag === "-") this.#answerWith(status, "", { body, headers });
    else this.#answerWith(status, body, { body: `${body}\n`, headers });
  }

  #answerWith(
    status: number,
    sentence: string,
    { body, headers }: { readonly body: string; readonly headers: AnswerPlan["headers"] },
  ): void {
    const { flag } = this;
    this.status = status;
    this.responseBytes = body.length;
    const plan = this.#plan;
    const changed =
      plan === undefined
        ? headers
        : answerHeaders(plan, { status, body, headers, policy: this.#context.policy, record: this });
    const isRequestWhole = this.#hasRequest;
    this.#end();
    this.#downstream.reply({ status, flag, sentence, body, headers: changed }, isRequestWhole);
  }

  #changeResponse(head: ResponseHead): ResponseHead {
    const plan = this.#plan;
    return plan === undefined
      ? head
      : planResponse(plan, head, { policy: this.#context.policy, record: this, setCookie: this.#tries.setCookie });
  }

  #abort(flag: ResponseFlag): void {
    this.flag = flag;
    this.#end();
    this.#downstream.reset();
  }

  #handBack(reason: "connect" | "reset"): void {
    this.#state = "ended";
    this.#tries.end();
    this.#context.deps.counters.handedBack[reason]++;
    this.#downstream.handBack();
  }

  /** Both sides have ended: what is on its way still arrives. */
  #endTunnel(): void {
    this.#upstream = undefined;
    this.#end();
  }

  #end(): void {
    this.#state = "ended";
    this.#tries.end();
    this.#pending?.cancel();
    this.#upstream?.cancel();
    this.#upstream = undefined;
    this.#replay.close();
    this.durationMs = this.#context.deps.nowMs() - this.#startMs;
    this.details ??= detailsOf(this.flag);
    this.#context.observer.onExchange(this);
  }
}
